/** Assembles the scenarios, runs those that are asked for, and tells what they gave. */
import { randomBytes } from 'node:crypto';
import { cpus, release, totalmem } from 'node:os';
import { silentLogger, systemClock } from '../../../src/model/ports.ts';
import { createClient } from '../../../src/kubernetes/api-client.ts';
import type { ApiClient } from '../../../src/kubernetes/api-client.ts';
import { installDormouse } from '../fixtures/installation.ts';
import { Witness } from '../fixtures/witness.ts';
import { clusterConfig } from '../kubernetes/connect.ts';
import { ensureCluster, type Cluster } from '../machine/index.ts';
import { judge, type Result } from './result.ts';
import { SCENARIOS } from './scenarios.ts';
import type { Moment } from './steps.ts';

export interface Chaos extends AsyncDisposable {
  cluster: Cluster;
  client: ApiClient;
  witness: Witness;
}

export interface Scenario {
  name: string;
  /** Nothing else may run meanwhile. */
  isAlone: boolean;
  run(chaos: Chaos, options: RunOptions): Promise<void>;
}

export interface RunOptions {
  /** Gets a result for each of its lines as it is known. */
  tell(result: Result): void;
  /** Only at these; default: all. */
  moments?: readonly Moment[];
  /** How often it goes round; default: as often as the full table has it. */
  rounds?: number;
}

/** Brings up what is missing: the cluster, this checkout's image, the chart. */
export async function openChaos(): Promise<Chaos> {
  const cluster = await ensureCluster({ images: ['app'] });
  await installDormouse(cluster);
  const client = createClient(await clusterConfig(cluster.kubeconfigPath), {
    logger: silentLogger,
    clock: systemClock,
    random: Math.random,
  });
  const witness = await Witness.start(cluster.nodeAddress);
  return {
    cluster,
    client,
    witness,
    [Symbol.asyncDispose]: async () => {
      await witness[Symbol.asyncDispose]();
      await client.close();
    },
  };
}

/** Machine and versions, as a line of the report. */
export async function setting(cluster: Cluster): Promise<string> {
  const { stdout } = await cluster.kubectl(['version', '-o', 'json']);
  const { serverVersion } = JSON.parse(stdout) as { serverVersion: { gitVersion: string } };
  const [cpu] = cpus();
  return [
    `${cpus().length} cores (${cpu?.model ?? 'unknown'})`,
    `${Math.round(totalmem() / 2 ** 30)} GB`,
    `Linux ${release()}`,
    `Node ${process.version}`,
    `Kubernetes ${serverVersion.gitVersion}`,
    'KEDA 2.20.2',
    new Date().toISOString().slice(0, 10),
    `run ${randomBytes(2).toString('hex')}`,
  ].join(', ');
}

/** How many scenarios that don't touch each other run side by side. */
const SIDE_BY_SIDE = 2;

/** A scenario that is asked for. */
export interface Plan extends Pick<RunOptions, 'moments' | 'rounds'> {
  name: string;
}

/** First those that bear company, then the others one after the other. What fails as a whole is a line as well. */
export async function runAll(chaos: Chaos, plans: readonly Plan[], tell: RunOptions['tell']): Promise<void> {
  const attempt = async ({ name, ...options }: Plan): Promise<void> => {
    const startedAtMs = Date.now();
    try {
      await scenario(name).run(chaos, { ...options, tell });
    } catch (error) {
      const end = [error instanceof Error ? error.message : String(error)];
      tell(judge(name, [], chaos.witness, { end, startedAtMs }));
    }
  };
  const together = plans.filter(({ name }) => !scenario(name).isAlone);
  const next = async (): Promise<void> => {
    for (let own = together.shift(); own !== undefined; own = together.shift()) await attempt(own);
  };
  await Promise.all(Array.from({ length: SIDE_BY_SIDE }, next));
  for (const plan of plans) if (scenario(plan.name).isAlone) await attempt(plan);
}

function scenario(name: string): Scenario {
  const found = SCENARIOS.find((one) => one.name === name);
  if (found === undefined) throw new Error(`There is no scenario ${name}.`);
  return found;
}
