/**
 * The measurement of `npm run bench -- kubernetes-cold`: a cluster with one node, Dormouse as its chart installs it, one application that sleeps in place beside one that is scaled by
 * hand. Prints a line for each step, and the results as JSON into a file.
 *
 * cold-program.ts RESULT ROUNDS WAKES REQUESTS [--keep]   --keep leaves the cluster up (for work on this bench)
 */
import { writeFileSync } from 'node:fs';
import { setTimeout as delay } from 'node:timers/promises';
import { DEPLOYMENTS } from '../../src/kubernetes/resources.ts';
import { ALWAYS, backendObject, Guarded, Scene } from '../../test/cluster/fixtures/scene.ts';
import { INSTALLATION_NAMESPACE, installDormouse } from '../../test/cluster/fixtures/installation.ts';
import { scaleWrites } from '../../test/cluster/machine/audit.ts';
import { takeDown } from '../../test/cluster/machine/down.ts';
import { appObjects, ensureCluster, until, type Cluster } from '../../test/cluster/machine/index.ts';
import { withLock } from '../../test/cluster/machine/state.ts';
import { median } from '../measure/statistics.ts';
import { ask, nowMs, poll, type Answered } from './request.ts';

export interface ColdResult {
  /** From before the connection is opened to the first byte of the answer, ms. */
  inPlaceMs: number[];
  /** From before /scale is patched to the first byte of an answer of the Service's address, ms. */
  bareMs: number[];
  /** From the first byte of a request for a sleeping target to the moment at which the API server received the write of its /scale, ms. */
  toScaleMs: number[];
  awake: { requests: number; failed: number; connections: number; requestsOfGateways: number };
  /** Medians of single steps, ms since the beginning: when the bench's own watch saw them. */
  steps: { inPlace: Steps; bare: Steps };
}

interface Steps {
  podSeen: number;
  addressSeen: number;
  readySeen: number;
  answered: number;
}

const POLL_MS = 5;
const BOUND_MS = 60_000;
const WARM_UP = 2;
/** Sleep by turns, so that they need not be waited for one after the other. */
const SLEEPERS = 4;

async function main([
  result = '',
  rounds = '',
  wakes = '',
  requests = '',
  keep = '',
]: readonly string[]): Promise<void> {
  const cluster = await ensureCluster({ nodes: 1, keda: false, images: ['app'] });
  try {
    say('Dormouse is installed');
    await installDormouse(cluster);
    const scene = await Scene.open(cluster, 'bench');
    try {
      const cold = await measureCold(scene, Number(rounds));
      const awake = await measureAwake(scene, cluster, Number(requests));
      const toScaleMs = await measureDemand(scene, Number(wakes));
      const all: ColdResult = { ...cold, awake, toScaleMs };
      writeFileSync(result, JSON.stringify(all));
    } finally {
      await scene[Symbol.asyncDispose]();
    }
  } finally {
    if (keep === '') await withLock(takeDown);
  }
}

/** Without the witness of the tests, which loads something into every program. */
async function install(
  scene: Scene,
  name: string,
  replicas: number,
  spec: Record<string, unknown> | null,
): Promise<Guarded> {
  await scene.namespace.apply(appObjects({ name, replicas }));
  await scene.services.until(`Service ${name}`, () => scene.services.get(name)?.spec.clusterIP);
  const guarded = new Guarded(scene, name);
  if (replicas > 0) {
    await guarded.untilReady(replicas);
    await until(`${name} answers`, async () => (await guarded.get('/healthz')).status === 200);
  }
  if (spec !== null) await scene.namespace.apply([backendObject(name, spec)]);
  return guarded;
}

/** Nothing of it is left, and what its end costs is over. */
async function untilGone(scene: Scene, name: string): Promise<void> {
  await scene.pods.until(`no pod of ${name}`, () =>
    scene.pods.list().every(({ metadata }) => metadata.labels?.['app'] !== name),
  );
}

async function measureCold(scene: Scene, rounds: number): Promise<Pick<ColdResult, 'inPlaceMs' | 'bareMs' | 'steps'>> {
  const bare = await install(scene, 'bare', 1, null);
  const guarded = await install(scene, 'in-place', 1, {
    scale: { idleAfter: '2s' },
    idle: { ...ALWAYS, settle: '500ms' },
  });
  await bare.scale(0);
  const taken = { inPlace: [] as Steps[], bare: [] as Steps[] };
  for (let round = -WARM_UP; round < rounds; round++) {
    const turns = [
      async () => {
        await guarded.untilAsleep();
        await quiet(scene);
        const steps = await stepsOf(scene, 'in-place', () => ask(guarded.host, 80, BOUND_MS));
        if (round >= 0) taken.inPlace.push(steps);
      },
      async () => {
        await quiet(scene);
        const steps = await stepsOf(scene, 'bare', async () => {
          const beganAtMs = nowMs();
          const [answered] = await Promise.all([poll(bare.host, 80, POLL_MS, BOUND_MS), scale(scene, 'bare', 1)]);
          return { ...answered, beganAtMs };
        });
        if (round >= 0) taken.bare.push(steps);
        await scale(scene, 'bare', 0);
        await untilGone(scene, 'bare');
      },
    ];
    for (const turn of round % 2 === 0 ? turns : turns.toReversed()) await turn();
    const [last, other] = [taken.inPlace.at(-1), taken.bare.at(-1)];
    if (last && other) say(`round ${round + 1} of ${rounds}: in place ${text(last)}; bare ${text(other)}`);
  }
  const totals = (steps: readonly Steps[]): number[] => steps.map(({ answered }) => answered);
  return {
    inPlaceMs: totals(taken.inPlace),
    bareMs: totals(taken.bare),
    steps: { inPlace: medians(taken.inPlace), bare: medians(taken.bare) },
  };
}

function text(steps: Steps): string {
  return Object.values(steps)
    .map((ms) => (ms as number).toFixed(0))
    .join('/');
}

/** No pod comes or goes, and kube-proxy and the controllers have had time to follow. */
async function quiet(scene: Scene): Promise<void> {
  const isCalm = (): boolean =>
    scene.pods.list().every(({ metadata, status }) => {
      const isReady = status.conditions?.some(({ type, status: is }) => type === 'Ready' && is === 'True') ?? false;
      return metadata.deletionTimestamp === undefined && isReady;
    });
  await scene.pods.until('pods neither come nor go', isCalm);
  await delay(1500);
}

async function stepsOf(scene: Scene, name: string, run: () => Promise<Answered>): Promise<Steps> {
  const seen: Partial<Record<keyof Steps, number>> = {};
  const beforehand = new Set(scene.pods.list().map(({ metadata }) => metadata.uid));
  const stop = scene.pods.onChange(({ metadata, status }) => {
    if (metadata.labels?.['app'] !== name || beforehand.has(metadata.uid)) return;
    seen.podSeen ??= nowMs();
    if (status.podIP !== undefined) seen.addressSeen ??= nowMs();
    if (status.conditions?.some(({ type, status: is }) => type === 'Ready' && is === 'True') === true)
      seen.readySeen ??= nowMs();
  });
  const { beganAtMs, firstByteAtMs, status } = await run();
  if (status !== 200) throw new Error(`${name} was answered ${status}`);
  await scene.pods.until(`${name} is ready`, () => seen.readySeen !== undefined);
  stop();
  const since = (ms: number | undefined): number => (ms ?? Number.NaN) - beganAtMs;
  return {
    podSeen: since(seen.podSeen),
    addressSeen: since(seen.addressSeen),
    readySeen: since(seen.readySeen),
    answered: firstByteAtMs - beganAtMs,
  };
}

function medians(all: readonly Steps[]): Steps {
  const of = (key: keyof Steps): number => median(all.map((steps) => steps[key]));
  return {
    podSeen: of('podSeen'),
    addressSeen: of('addressSeen'),
    readySeen: of('readySeen'),
    answered: of('answered'),
  };
}

/** On a connection that is kept. */
async function scale(scene: Scene, name: string, replicas: number): Promise<void> {
  await scene.client.patch(
    DEPLOYMENTS,
    { namespace: scene.namespace.name, name },
    { type: 'merge', body: { spec: { replicas } } },
    { subresource: 'scale' },
  );
}

// ---- awake

async function measureAwake(scene: Scene, cluster: Cluster, requests: number): Promise<ColdResult['awake']> {
  const app = await install(scene, 'awake', 1, { scale: { idleAfter: '1h' } });
  await app.untilCondition('Ready', 'True');
  await scene.backends.until('it is awake', () => app.object?.status?.state === 'awake');
  const before = await gatewayCounters(cluster);
  let failed = 0;
  for (let index = 0; index < requests; index++) {
    const answered = await ask(app.host, 80, BOUND_MS).catch(() => null);
    if (answered?.status !== 200) failed++;
  }
  // What a gateway has counted by now it has told by then.
  await delay(2000);
  const after = await gatewayCounters(cluster);
  return {
    requests,
    failed,
    connections: after.connections - before.connections,
    requestsOfGateways: after.requests - before.requests,
  };
}

interface PodList {
  items: { metadata: { name: string }; status: { podIP?: string } }[];
}

/** Of all gateways together, as they tell Prometheus. */
async function gatewayCounters(cluster: Cluster): Promise<{ connections: number; requests: number }> {
  const selector = encodeURIComponent('app.kubernetes.io/component=gateway');
  const pods = await cluster.read<PodList>(
    `/api/v1/namespaces/${INSTALLATION_NAMESPACE}/pods?labelSelector=${selector}`,
  );
  const sum = { connections: 0, requests: 0 };
  for (const { status } of pods?.items ?? []) {
    const response = await fetch(`http://${status.podIP}:8082/metrics`, { signal: AbortSignal.timeout(5000) });
    const page = await response.text();
    if (!page.includes('# TYPE dormouse_client_connections_total'))
      throw new Error('a gateway does not tell its connections');
    for (const line of page.split('\n')) {
      const value = Number(line.slice(line.lastIndexOf(' ') + 1));
      if (/^dormouse_client_connections_total[ {]/.test(line)) sum.connections += value;
      if (/^dormouse_requests_total[ {]/.test(line)) sum.requests += value;
    }
  }
  return sum;
}

// ---- from demand to the write

async function measureDemand(scene: Scene, wakes: number): Promise<number[]> {
  const names = Array.from({ length: SLEEPERS }, (_, index) => `sleeper-${index}`);
  const apps: Guarded[] = [];
  for (const name of names)
    apps.push(await install(scene, name, 1, { scale: { idleAfter: '1s' }, idle: { ...ALWAYS, settle: '500ms' } }));
  const asked: { name: string; sentAtMs: number }[] = [];
  while (asked.length < wakes) {
    for (const app of apps) await app.untilAsleep();
    for (const { name } of apps) await untilGone(scene, name);
    for (const app of apps) {
      if (app.step !== 'asleep') continue;
      await delay(500);
      const { sentAtMs, status, isCold } = await ask(app.host, 80, BOUND_MS);
      if (status !== 200 || !isCold) throw new Error(`${app.name} was answered ${status}, cold: ${isCold}`);
      asked.push({ name: app.name, sentAtMs });
    }
    say(`${asked.length} of ${wakes} wakes`);
  }
  const writes = scaleWrites().filter(
    ({ namespace, status, userAgent }) =>
      namespace === scene.namespace.name && status === 200 && userAgent.startsWith('dormouse'),
  );
  return asked.map(({ name, sentAtMs }) => {
    const write = writes.find((one) => one.name === name && one.receivedAtMs >= sentAtMs);
    if (write === undefined) throw new Error(`no write of ${name} is in the audit log`);
    return write.receivedAtMs - sentAtMs;
  });
}

function say(line: string): void {
  console.log(line);
}

await main(process.argv.slice(2));
