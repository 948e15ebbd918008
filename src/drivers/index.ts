/** Makes drivers: one allocator of ports, one table of processes and one budget of probes for all backends of this machine. */
import type { Clock, Logger, RandomSource } from '../model/ports.ts';
import type { CreateDriver } from './driver.ts';
import { ProbePace } from './probe/readiness.ts';
import { FreePorts } from './process/free-ports.ts';
import { InstanceRecords } from './process/instance-records.ts';
import type { Environment } from './process/launch.ts';
import { ProcessDriver } from './process/process-driver.ts';
import type { Machine } from './process/process-instance.ts';
import { ProcessTable } from './process/process-table.ts';
import { StaticDriver } from './static/static-driver.ts';

export { stateMarker } from './process/marker.ts';
export { endOrphans } from './process/orphans.ts';
export type { OrphanDeps } from './process/orphans.ts';

export interface DriverDeps {
  logger: Logger;
  clock: Clock;
  /** Where running instances are recorded; made when it is not there. */
  stateDir: string;
  /** From stateMarker(stateDir). */
  marker: string;
  /** What instances inherit: that of dormouse. */
  environment: Environment;
  random?: RandomSource;
  /** Makes drivers of workloads in a cluster; left out where there are none. */
  cluster?: CreateDriver;
}

/** Call once per supervisor: ids of instances and ports are unique among the drivers of one call. */
export function createDrivers(deps: DriverDeps): CreateDriver {
  const { logger, clock, stateDir, marker, random = Math.random } = deps;
  const table = new ProcessTable(marker, process.platform);
  const machine: Machine = {
    clock,
    random,
    marker,
    // Copied once: it is usually the process's own, where each look goes through the C library.
    environment: { ...deps.environment },
    ports: new FreePorts(clock, random),
    pace: new ProbePace(),
    table,
    records: new InstanceRecords(stateDir, table, logger),
  };
  /** Survives the driver of a backend that a reload replaces, since gateways may still know ids of the old one. */
  const numbers = new Map<string, number>();

  return (backend, events) => {
    const nextNumber = (): number => {
      const number = (numbers.get(backend.name) ?? 0) + 1;
      numbers.set(backend.name, number);
      return number;
    };
    const { source } = backend;
    switch (source.driver) {
      case 'process': {
        const own = logger.child({ backend: backend.name });
        return new ProcessDriver(backend, source.process, events, { machine, logger: own, nextNumber });
      }
      case 'static':
        return new StaticDriver(backend, source.servers, events, { clock, random, nextNumber });
      case 'kubernetes':
        if (deps.cluster === undefined) throw new Error(`${backend.name}: nobody drives workloads of a cluster here`);
        return deps.cluster(backend, events);
    }
  };
}
