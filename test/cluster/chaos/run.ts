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
import type { Result } from './result.ts';

export interface Chaos extends AsyncDisposable {
  cluster: Cluster;
  client: ApiClient;
  witness: Witness;
}

export interface Scenario {
  name: string;
  /** Nothing else may run meanwhile. */
  isAlone: boolean;
  /** Gives a result for each of its lines, told as it is known. */
  run(chaos: Chaos, tell: (result: Result) => void): Promise<void>;
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
