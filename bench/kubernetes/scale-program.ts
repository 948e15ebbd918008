/**
 * The measurement of `npm run bench -- kubernetes-scale`, run in a network of its own: a control plane, an operator and a gateway as processes, and many Backends whose targets are at
 * zero. Prints a line for each step, and the results as JSON into a file.
 *
 * scale-program.ts DIR RESULT QUIET_SECONDS SIZE…   sizes rise; each adds to the one before
 */
import { mkdirSync, writeFileSync } from 'node:fs';
import { homedir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { createClient, type ApiClient } from '../../src/kubernetes/api-client.ts';
import type { Informer, KubernetesObject, Resource } from '../../src/kubernetes/client.ts';
import { loadClusterConfig } from '../../src/kubernetes/cluster-config.ts';
import { DEPLOYMENTS, NAMESPACES, PODS, SECRETS, SERVICES } from '../../src/kubernetes/resources.ts';
import { silentLogger, systemClock } from '../../src/model/ports.ts';
import { BACKENDS, type BackendObject } from '../../src/operator/backend-object.ts';
import { CRDS } from '../../test/cluster/chart/chart.ts';
import { takeDown } from '../../test/cluster/machine/down.ts';
import { ensureCluster, type Cluster } from '../../test/cluster/machine/index.ts';
import { readState, withLock } from '../../test/cluster/machine/state.ts';
import { cpuTimeMs, peakBytes, rssBytes } from '../measure/process-tree.ts';
import { startProgram, untilListening, type Program } from '../processes.ts';
import { apiWrites, writesBetween } from './api-writes.ts';
import { appObjects, eachOf, nameOf } from './apps.ts';
import { chartEnvironment } from './chart-environment.ts';
import { buildCopy } from './package-copy.ts';

export interface ScaleResult {
  size: number;
  /** Backends made, until the last one is asleep and says so; for those that were added. */
  takeIn: { added: number; ms: number; operatorCpuMs: number };
  /** From the start of the process until a gateway that has just started is ready, everything being asleep. */
  start: { ms: number; operatorCpuMs: number; writes: [string, number][] };
  operatorMb: number;
  operatorPeakMb: number;
  gatewayMb: number;
  gatewayPeakMb: number;
  /** While nothing changes. */
  quiet: { seconds: number; writes: [string, number][]; operatorPercent: number; gatewayPercent: number };
  /** A key of each object is changed: until the last one says that it was seen. */
  change: {
    totalMs: number;
    patchingMs: number;
    writes: [string, number][];
    operatorCpuMs: number;
    gatewayCpuMs: number;
    apiServerCpuMs: number;
  };
  /** One object is changed, alone: until it says so, and what that costs. */
  single: { seenMs: number[]; operatorCpuMs: number; gatewayCpuMs: number };
}

const NAMESPACE = 'dormouse-system';
const APPS = 'apps';
const GATEWAY = 'gateway-0';
const LABELS = { 'app.kubernetes.io/name': 'dormouse', 'app.kubernetes.io/component': 'gateway' };
const LINK_PORT = 8443;
const OBSERVE = { operator: 8082, gateway: 8083 };
const WRITERS = 16;
const STEP_MS = 600_000;
const SINGLES = 20;
/** Not the default, and below the most that the key takes. */
const LEAST_TIMEOUT_SECONDS = 400;

interface Workload extends KubernetesObject {
  status?: { conditions?: { type: string; status: string }[] };
}

interface Cpu {
  operator: number;
  gateway: number;
  apiServer: number;
}

async function main([dir = '', result = '', quiet = '', ...sizes]: readonly string[]): Promise<void> {
  mkdirSync(dir, { recursive: true });
  const command = process.env['DORMOUSE_BENCH_COMMAND']?.split(' ') ?? (await buildCopy(join(dir, 'package')));
  const cluster = await ensureCluster({ nodes: 0, keda: false, gatewayApi: false, images: [] });
  try {
    const scale = await Scale.open(cluster, command, dir);
    const results: ScaleResult[] = [];
    for (const size of sizes) {
      results.push(await scale.measure(Number(size), Number(quiet)));
      writeFileSync(result, JSON.stringify(results));
    }
    await scale.close();
  } finally {
    await withLock(takeDown);
  }
}

class Scale {
  readonly #client: ApiClient;
  readonly #backends: Informer<BackendObject>;
  readonly #command: readonly string[];
  readonly #dir: string;
  readonly #kubeconfig: string;
  readonly #ending: AbortController;
  #operator: Program | null = null;
  #gateway: Program | null = null;
  #size = 0;
  #patches = 0;

  private constructor(
    client: ApiClient,
    backends: Informer<BackendObject>,
    of: { command: readonly string[]; dir: string; kubeconfig: string; ending: AbortController },
  ) {
    this.#client = client;
    this.#backends = backends;
    this.#command = of.command;
    this.#dir = of.dir;
    this.#kubeconfig = of.kubeconfig;
    this.#ending = of.ending;
  }

  static async open(cluster: Cluster, command: readonly string[], dir: string): Promise<Scale> {
    const kubeconfig = cluster.kubeconfigPath;
    const { code, stderr } = await cluster.kubectl(['apply', '--server-side', '--force-conflicts', '-f', CRDS]);
    if (code !== 0) throw new Error(`the CRDs: ${stderr}`);
    const config = await loadClusterConfig({ env: process.env, home: homedir(), clock: systemClock, kubeconfig });
    const client = createClient(config, {
      logger: silentLogger,
      clock: systemClock,
      random: Math.random,
      userAgent: 'dormouse-bench',
    });
    for (const name of [NAMESPACE, APPS]) {
      const body = { apiVersion: 'v1', kind: 'Namespace', metadata: { name } };
      await client.patch(NAMESPACES, { name }, { type: 'apply', fieldManager: 'bench', body });
    }
    await until('the CRDs are served', async () => {
      try {
        await client.list(BACKENDS, { namespace: APPS });
        return true;
      } catch {
        return false;
      }
    });
    const ending = new AbortController();
    const backends = client.informer<BackendObject>(BACKENDS, { namespace: APPS });
    backends.start(ending.signal);
    await backends.synced(AbortSignal.timeout(STEP_MS));
    const scale = new Scale(client, backends, { command, dir, kubeconfig, ending });
    await scale.#pretendPod();
    return scale;
  }

  /** There is no kubelet: the gateway is a process of this machine, and its pod is there so that the operator finds its address. */
  async #pretendPod(): Promise<void> {
    const name = { namespace: NAMESPACE, name: GATEWAY };
    const pod = {
      apiVersion: 'v1',
      kind: 'Pod',
      metadata: { ...name, labels: LABELS },
      // No scheduler looks at it, and no controller misses a node.
      spec: { schedulerName: 'nobody', containers: [{ name: 'gateway', image: 'dormouse' }] },
    };
    // Refused until the namespace has its service account.
    await until('the pod of the gateway', () =>
      this.#client.create(PODS, pod, { namespace: NAMESPACE }).then(
        () => true,
        () => false,
      ),
    );
    const body = {
      status: {
        phase: 'Running',
        podIP: '10.240.0.1',
        podIPs: [{ ip: '10.240.0.1' }],
        conditions: [{ type: 'Ready', status: 'True' }],
      },
    };
    await this.#client.patch(PODS, name, { type: 'merge', body }, { subresource: 'status' });
  }

  async measure(size: number, quietSeconds: number): Promise<ScaleResult> {
    await this.#start();
    say(`${size}: Backends are made`);
    const takeIn = await this.#takeIn(size);
    await this.#stop();
    say(`${size}: ${JSON.stringify(takeIn)}; operator and gateway start again`);
    const start = await this.#start();
    say(`${size}: ${JSON.stringify(start)}; nothing changes`);
    const quiet = await this.#quiet(quietSeconds);
    const operatorMb = rssBytes([this.#pid('operator')]) / 1e6;
    const gatewayMb = rssBytes([this.#pid('gateway')]) / 1e6;
    say(`${size}: ${JSON.stringify({ operatorMb, gatewayMb, quiet })}; one object is changed, ${SINGLES} times`);
    const single = await this.#single();
    say(`${size}: ${JSON.stringify(single)}; all objects are changed`);
    const change = await this.#change();
    const operatorPeakMb = peakBytes(this.#pid('operator')) / 1e6;
    const gatewayPeakMb = peakBytes(this.#pid('gateway')) / 1e6;
    say(`${size}: ${JSON.stringify({ operatorPeakMb, gatewayPeakMb, change })}`);
    await this.#stop();
    return { size, takeIn, start, operatorMb, operatorPeakMb, gatewayMb, gatewayPeakMb, quiet, change, single };
  }

  // ---- the processes

  #pid(name: 'operator' | 'gateway'): number {
    return (name === 'operator' ? this.#operator : this.#gateway)!.pid;
  }

  /** Until the gateway is ready, from the start of the operator. */
  async #start(): Promise<ScaleResult['start']> {
    const writes = await apiWrites();
    const startedAt = performance.now();
    this.#operator = this.#run('operator', [
      ...['operator', '--kubeconfig', this.#kubeconfig, '--namespace', NAMESPACE, '--no-lease'],
      ...['--link', `127.0.0.1:${LINK_PORT}`, '--observe', `127.0.0.1:${OBSERVE.operator}`],
    ]);
    const certificates = join(this.#dir, 'certificates');
    await this.#writeCertificates(certificates);
    // Not sooner: it would pause between its tries.
    await untilListening(this.#operator, LINK_PORT, STEP_MS);
    this.#gateway = this.#run('gateway', [
      ...['gateway', '--operator', `dormouse-operator:${LINK_PORT}`, '--certificates', certificates],
      ...['--name', GATEWAY, '--observe', `127.0.0.1:${OBSERVE.gateway}`, '--delay', '0s', '--drain', '1s'],
    ]);
    await until('the gateway is ready', () => isReady(OBSERVE.gateway));
    return {
      ms: performance.now() - startedAt,
      operatorCpuMs: cpuTimeMs([this.#pid('operator')]),
      writes: writesBetween(writes, await apiWrites()),
    };
  }

  #run(component: 'operator' | 'gateway', args: readonly string[]): Program {
    return startProgram([...this.#command, ...args], {
      core: null,
      cwd: this.#dir,
      env: { NODE_ENV: 'production', ...chartEnvironment(`dormouse-${component}`) },
    });
  }

  async #stop(): Promise<void> {
    await this.#gateway?.stop();
    await this.#operator?.stop();
  }

  async #writeCertificates(folder: string): Promise<void> {
    const name = { namespace: NAMESPACE, name: 'dormouse-gateway-link' };
    let data: Record<string, string> | undefined;
    await until('the Secret of the link', async () => {
      data = (await this.#client.get<KubernetesObject & { data?: Record<string, string> }>(SECRETS, name))?.data;
      return data !== undefined;
    });
    mkdirSync(folder, { recursive: true });
    for (const file of ['ca.crt', 'tls.crt', 'tls.key'])
      writeFileSync(join(folder, file), Buffer.from(data![file] ?? '', 'base64'));
  }

  // ---- steps

  async #takeIn(size: number): Promise<ScaleResult['takeIn']> {
    const all = Array.from({ length: size - this.#size }, (_, index) => appObjects(nameOf(this.#size + index), APPS));
    const make = (resource: Resource, objects: object[]): Promise<void> =>
      eachOf(objects, WRITERS, (object) => this.#client.create(resource, object, { namespace: APPS }));
    await make(
      DEPLOYMENTS,
      all.map(({ deployment }) => deployment),
    );
    await make(
      SERVICES,
      all.map(({ service }) => service),
    );
    this.#size = size;
    await this.#untilObserved();
    await this.#untilStill();
    const startedAt = performance.now();
    const before = this.#cpu();
    await make(
      BACKENDS,
      all.map(({ backend }) => backend),
    );
    await this.#untilAll(({ status }) => status?.handover?.step === 'asleep' && isTrue(status, 'Ready'));
    return {
      added: all.length,
      ms: performance.now() - startedAt,
      operatorCpuMs: this.#cpu().operator - before.operator,
    };
  }

  /** The controller manager has its own pace, and what it writes must not be taken for ours. */
  async #untilObserved(): Promise<void> {
    await until('the controller manager has seen all Deployments', async () => {
      await delay(1000);
      const { items } = await this.#client.list<Workload>(DEPLOYMENTS, { namespace: APPS });
      return items.every(({ status }) => (status?.conditions ?? []).some(({ type }) => type === 'Progressing'));
    });
  }

  async #quiet(seconds: number): Promise<ScaleResult['quiet']> {
    await this.#untilStill();
    const before = { writes: await apiWrites(), cpu: this.#cpu() };
    await delay(seconds * 1000);
    const after = { writes: await apiWrites(), cpu: this.#cpu() };
    return {
      seconds,
      writes: writesBetween(before.writes, after.writes),
      operatorPercent: (after.cpu.operator - before.cpu.operator) / (seconds * 10),
      gatewayPercent: (after.cpu.gateway - before.cpu.gateway) / (seconds * 10),
    };
  }

  async #change(): Promise<ScaleResult['change']> {
    await this.#untilStill();
    const before = { writes: await apiWrites(), cpu: this.#cpu() };
    const names = Array.from({ length: this.#size }, (_, index) => nameOf(index));
    const generations = new Map(names.map((name) => [name, this.#backends.get(APPS, name)!.metadata.generation ?? 0]));
    const startedAt = performance.now();
    await eachOf(names, WRITERS, (name) => this.#patch(name));
    const patchingMs = performance.now() - startedAt;
    await this.#untilAll(({ metadata, status }) => {
      const { name, generation = 0 } = metadata;
      const isChanged = generation > (generations.get(name) ?? 0);
      return isChanged && status?.observedGeneration === generation && isTrue(status, 'Ready');
    });
    const totalMs = performance.now() - startedAt;
    // What gateways are told comes a moment later.
    await this.#untilStill();
    const after = { writes: await apiWrites(), cpu: this.#cpu() };
    return {
      totalMs,
      patchingMs,
      writes: writesBetween(before.writes, after.writes),
      operatorCpuMs: after.cpu.operator - before.cpu.operator,
      gatewayCpuMs: after.cpu.gateway - before.cpu.gateway,
      apiServerCpuMs: after.cpu.apiServer - before.cpu.apiServer,
    };
  }

  async #single(): Promise<ScaleResult['single']> {
    await this.#untilStill();
    const before = this.#cpu();
    const seenMs: number[] = [];
    for (let index = 0; index < SINGLES; index++) {
      const name = nameOf(Math.floor((this.#size * index) / SINGLES));
      const startedAt = performance.now();
      const { generation } = (await this.#patch(name)).metadata;
      await this.#untilAll(
        ({ metadata, status }) => metadata.name !== name || status?.observedGeneration === generation,
      );
      seenMs.push(performance.now() - startedAt);
      await delay(500);
    }
    const after = this.#cpu();
    return {
      seenMs,
      operatorCpuMs: (after.operator - before.operator) / SINGLES,
      gatewayCpuMs: (after.gateway - before.gateway) / SINGLES,
    };
  }

  /** A key that gateways are told of. */
  #patch(name: string): Promise<BackendObject> {
    // Never what it was: nothing would change, and be waited for.
    const body = { spec: { wake: { timeout: `${LEAST_TIMEOUT_SECONDS + ++this.#patches}s` } } };
    return this.#client.patch<BackendObject>(BACKENDS, { namespace: APPS, name }, { type: 'merge', body });
  }

  #cpu(): Cpu {
    const apiServer = readState()?.processes['kube-apiserver']?.pid ?? -1;
    return {
      operator: cpuTimeMs([this.#pid('operator')]),
      gateway: cpuTimeMs([this.#pid('gateway')]),
      apiServer: cpuTimeMs([apiServer]),
    };
  }

  /** Operator, gateway and API server have had next to nothing to do for two seconds. */
  async #untilStill(): Promise<void> {
    for (let still = 0; still < 2;) {
      const before = this.#cpu();
      await delay(1000);
      const after = this.#cpu();
      const busyMs = after.operator - before.operator + after.gateway - before.gateway;
      still = busyMs < 80 && after.apiServer - before.apiServer < 150 ? still + 1 : 0;
    }
  }

  /** Watched, not asked for. */
  async #untilAll(holds: (object: BackendObject) => boolean): Promise<void> {
    const missing = new Set<string>();
    for (const object of this.#backends.list()) if (!holds(object)) missing.add(object.metadata.name);
    await new Promise<void>((resolve, reject) => {
      const look = (): void => {
        if (missing.size > 0 || this.#backends.size < this.#size) return;
        end();
        resolve();
      };
      const stop = this.#backends.onChange(({ object }) => {
        if (holds(object)) missing.delete(object.metadata.name);
        else missing.add(object.metadata.name);
        look();
      });
      const timer = setTimeout(() => {
        end();
        const one = JSON.stringify(this.#backends.get(APPS, [...missing][0] ?? ''));
        reject(new Error(`${missing.size} objects are not there yet, such as ${one}\n${this.#operator!.errors()}`));
      }, STEP_MS);
      const end = (): void => {
        stop();
        clearTimeout(timer);
      };
      look();
    });
  }

  async close(): Promise<void> {
    this.#ending.abort();
    await this.#client.close();
  }
}

function isTrue(status: BackendObject['status'], type: string): boolean {
  return status?.conditions?.some((one) => one.type === type && one.status === 'True') ?? false;
}

async function isReady(port: number): Promise<boolean> {
  try {
    return (await fetch(`http://127.0.0.1:${port}/readyz`, { signal: AbortSignal.timeout(5000) })).ok;
  } catch {
    return false;
  }
}

async function until(what: string, holds: () => Promise<boolean>): Promise<void> {
  const deadline = performance.now() + STEP_MS;
  while (!(await holds())) {
    if (performance.now() > deadline) throw new Error(`${what}: not within ${STEP_MS / 1000} s`);
    await delay(20);
  }
}

function say(text: string): void {
  console.log(text);
}

await main(process.argv.slice(2));
