/** Makes the drivers of all backends of a cluster, which share informers, one budget of probes and one bound on requests. */
import type { KubernetesClient } from '../../kubernetes/client.ts';
import type { BackendConfig } from '../../model/config.ts';
import type { Clock, Logger, RandomSource } from '../../model/ports.ts';
import type { CreateDriver, Driver, DriverEvents } from '../driver.ts';
import { ProbePace } from '../probe/readiness.ts';
import { ClusterView, type SharedInformers } from './cluster-view.ts';
import { Gate } from './gate.ts';
import type { KedaView } from './keda-zero.ts';
import { JobDriver } from './job-driver.ts';
import { KubernetesDriver } from './kubernetes-driver.ts';

export type { SharedInformers } from './cluster-view.ts';
export { trimPod, trimService, trimWorkload } from './objects.ts';
export type { KedaView } from './keda-zero.ts';
export type { Pod, Service, Workload } from './objects.ts';

export interface KubernetesDriversDeps {
  client: KubernetesClient;
  /** Started by the caller, before or after this call, and ended by him. */
  informers: SharedInformers;
  clock: Clock;
  logger: Logger;
  random?: RandomSource;
  /** Replicas that a backend with `scale.by` other than dormouse is started with at least, since somebody else scaled it to so many before. Default: 0. */
  replicasBefore?(backend: string): number;
  /** What is known of KEDA, for backends with `scale.by: keda`. Without it they are scaled to zero and back as all others. */
  keda?: KedaView;
  /** Shorter ones are for tests. */
  kedaWakesWithinMs?: number;
}

/** Targets that are asked for at once, when many drivers begin. */
const CONCURRENT_READS = 16;

/** Call once per process. `close` stops listening to the informers; call it after the drivers are closed. Throws for a backend that is not of a cluster. */
export function createKubernetesDrivers(deps: KubernetesDriversDeps): CreateDriver & { close(): void } {
  const { client, informers, clock, logger, random = Math.random, replicasBefore, keda, kedaWakesWithinMs } = deps;
  const view = new ClusterView(informers);
  const gate = new Gate(CONCURRENT_READS);
  const pace = new ProbePace();
  const create = (backend: BackendConfig, events: DriverEvents): Driver => {
    const { source } = backend;
    if (source.driver !== 'kubernetes') throw new Error(`${backend.name} is not a workload of a cluster`);
    const own = logger.child({ backend: backend.name });
    if (backend.scale.jobs !== null)
      return new JobDriver(backend, source.kubernetes, events, { client, clock, logger: own });
    return new KubernetesDriver(backend, source.kubernetes, events, {
      client,
      view,
      gate,
      pace,
      clock,
      logger: own,
      random,
      ...(replicasBefore === undefined ? {} : { replicasBefore }),
      ...(keda === undefined ? {} : { keda }),
      ...(kedaWakesWithinMs === undefined ? {} : { kedaWakesWithinMs }),
    });
  };
  return Object.assign(create, { close: () => view.close() });
}
