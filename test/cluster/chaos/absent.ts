/** Parts of Dormouse that are rolled or away, and others that it works with that are away, with one service that sleeps and one that is awake. */
import { setTimeout as delay } from 'node:timers/promises';
import { INSTALLATION_NAMESPACE } from '../fixtures/installation.ts';
import { Prometheus } from '../fixtures/prometheus.ts';
import { account } from './account.ts';
import type { Chaos, RunOptions } from './run.ts';
import { Home, Stage } from './stage.ts';
import { PACE, wholeCycle } from './steps.ts';

/** Long enough that holds outlast the beginning of what is done meanwhile, ms. */
const SLOW_START_MS = 6000;
const AWAY_MS = 10_000;
const STILL_MS = 300;
const KEDA = 'keda';

/** A rollout of a part, while requests are held for the one and the other is awake. */
export async function rollout(part: 'operator' | 'gateway', chaos: Chaos, tell: RunOptions['tell']): Promise<void> {
  await withTwo(chaos, async (sleeper, awake) => {
    const end = await account(`rolling restart of ${part}s, with holds`, chaos, [sleeper, awake], async () => {
      await asleepAndAwake(sleeper, awake);
      sleeper.clients.resume();
      await sleeper.until('it wakes', () => sleeper.state === 'waking');
      await dormouse(chaos, 'rollout', 'restart', `deployment/dormouse-${part}`);
      await dormouse(chaos, 'rollout', 'status', `deployment/dormouse-${part}`, '--timeout=180s');
      await sleeper.untilServing();
      return await afterwards(sleeper, awake);
    });
    tell(end);
  });
}

/** Gateways serve and hold by themselves; demand is told when an operator is back. */
export async function withoutOperator(chaos: Chaos, tell: RunOptions['tell']): Promise<void> {
  await withTwo(chaos, async (sleeper, awake) => {
    const scene = async (): Promise<string[]> => {
      await asleepAndAwake(sleeper, awake);
      try {
        await dormouse(chaos, 'scale', 'deployment/dormouse-operator', '--replicas=0');
        await dormouse(
          chaos,
          'wait',
          '--for=delete',
          'pod',
          '-l',
          'app.kubernetes.io/component=operator',
          '--timeout=90s',
        );
        sleeper.clients.resume();
        await delay(AWAY_MS);
      } finally {
        await dormouse(chaos, 'scale', 'deployment/dormouse-operator', '--replicas=2');
      }
      await sleeper.untilServing();
      await dormouse(chaos, 'rollout', 'status', 'deployment/dormouse-operator', '--timeout=180s');
      return await afterwards(sleeper, awake);
    };
    tell(await account(`no operator for ${AWAY_MS / 1000} s`, chaos, [sleeper, awake], scene));
  });
}

/** Refused connections for a while: what is awake is served, what sleeps wakes afterwards. */
export async function withoutApiServer(chaos: Chaos, tell: RunOptions['tell']): Promise<void> {
  await withTwo(chaos, async (sleeper, awake) => {
    const scene = async (): Promise<string[]> => {
      await asleepAndAwake(sleeper, awake);
      const away = chaos.cluster.restartApiServer({ downMs: AWAY_MS });
      await delay(STILL_MS);
      sleeper.clients.resume();
      await away;
      await sleeper.untilServing();
      return await afterwards(sleeper, awake);
    };
    tell(await account(`no API server for ${AWAY_MS / 1000} s`, chaos, [sleeper, awake], scene));
  });
}

/** A sleeping service with a ScaledObject wakes without KEDA, which is given back its object all the same. */
export async function withoutKeda(chaos: Chaos, tell: RunOptions['tell']): Promise<void> {
  await using stage = await Stage.open({ ...chaos, keda: true });
  stage.clients.start(PACE);
  const keda = (replicas: number): Promise<void> =>
    kubectl(chaos, '-n', KEDA, 'scale', 'deployment', '--all', `--replicas=${replicas}`);
  const scene = async (): Promise<string[]> => {
    await stage.fallAsleep();
    const end = await stage.settled('asleep');
    try {
      await keda(0);
      await kubectl(chaos, '-n', KEDA, 'wait', '--for=delete', 'pod', '--all', '--timeout=60s');
      stage.clients.resume();
      await stage.until('it is awake', () => stage.state === 'awake');
      await delay(AWAY_MS);
    } finally {
      await keda(1);
    }
    await kubectl(chaos, '-n', KEDA, 'wait', '--for=condition=Available', 'deployment', '--all', '--timeout=120s');
    await stage.untilServing();
    return [...end, ...(await stage.settled('awake')), ...(await wholeCycle(stage))];
  };
  tell(await account('no KEDA while it wakes', chaos, [stage], scene));
}

/** A service without the source that says whether it is idle wakes, and doesn't sleep. */
export async function withoutPrometheus(chaos: Chaos, tell: RunOptions['tell']): Promise<void> {
  await using home = await Home.open(chaos);
  const first = await Prometheus.start(chaos.cluster.nodeAddress, home.pods);
  let isThere = true;
  try {
    const idle = { prometheus: first.idle('web'), settle: '500ms' };
    await using stage = await Stage.open({ ...chaos, home, idle });
    stage.clients.start(PACE);
    const scene = async (): Promise<string[]> => {
      await delay(STILL_MS);
      stage.clients.pause();
      await stage.untilStep('asleep');
      const end = await stage.settled('asleep');
      isThere = false;
      await first[Symbol.asyncDispose]();
      stage.clients.resume();
      await stage.untilServing();
      stage.clients.pause();
      await delay(AWAY_MS);
      if (stage.step !== 'serving' || stage.replicas === 0) end.push(`it went on to ${stage.step} without Prometheus`);
      await using second = await Prometheus.start(chaos.cluster.nodeAddress, home.pods);
      await stage.declare({ idle: { prometheus: second.idle('web'), settle: '500ms' } });
      await stage.untilStep('asleep');
      end.push(...(await stage.settled('asleep')));
      stage.clients.resume();
      await stage.untilServing();
      return [...end, ...(await stage.settled('awake'))];
    };
    tell(await account('no Prometheus', chaos, [stage], scene));
  } finally {
    if (isThere) await first[Symbol.asyncDispose]();
  }
}

async function withTwo(chaos: Chaos, use: (sleeper: Stage, awake: Stage) => Promise<void>): Promise<void> {
  await using sleeper = await Stage.open({ ...chaos, startDelayMs: SLOW_START_MS });
  // Traffic that passes no gateway does not keep it awake.
  await using awake = await Stage.open({ ...chaos, idleAfter: '1h' });
  for (const { clients } of [sleeper, awake]) clients.start(PACE);
  await use(sleeper, awake);
}

async function asleepAndAwake(sleeper: Stage, awake: Stage): Promise<void> {
  await sleeper.fallAsleep();
  const found = [...(await sleeper.settled('asleep')), ...(await awake.settled('awake'))];
  if (found.length > 0) throw new Error(found.join('; '));
}

async function afterwards(sleeper: Stage, awake: Stage): Promise<string[]> {
  return [...(await sleeper.settled('awake')), ...(await awake.settled('awake')), ...(await wholeCycle(sleeper))];
}

function dormouse(chaos: Chaos, ...args: string[]): Promise<void> {
  return kubectl(chaos, '-n', INSTALLATION_NAMESPACE, ...args);
}

async function kubectl(chaos: Chaos, ...args: string[]): Promise<void> {
  const { code, stderr } = await chaos.cluster.kubectl(args, undefined, 200_000);
  if (code !== 0) throw new Error(`kubectl ${args.join(' ')}: ${stderr}`);
}
