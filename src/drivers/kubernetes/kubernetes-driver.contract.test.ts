import type net from 'node:net';
import { silentLogger, systemClock } from '../../model/ports.ts';
import { driverContract } from '../driver.contract.ts';
import { informersOf, kubernetesBackend } from './fixtures/bench.ts';
import { FakeCluster } from './fixtures/fake-cluster.ts';
import { createKubernetesDrivers } from './index.ts';

for (const health of [
  null,
  { path: null, intervalMs: 1000, timeoutMs: 500, status: { from: 200, to: 399 }, rise: 1, fall: 2 },
]) {
  driverContract(`kubernetes driver${health === null ? '' : ' with health checks'}`, async () => {
    const cluster = new FakeCluster();
    cluster.createService('users', [{ port: 80, targetPort: 'http' }]);
    cluster.createWorkload('users');
    const create = createKubernetesDrivers({
      client: cluster,
      informers: informersOf(cluster),
      clock: systemClock,
      logger: silentLogger,
    });
    return {
      create: (events) => create(kubernetesBackend({ scale: { max: 2 }, health }), events),
      silence: async ({ address }) => {
        for (const server of cluster.servers.values()) {
          if ((server.address() as net.AddressInfo | null)?.port === address!.port) server.close();
        }
      },
      release: async () => {
        create.close();
        await cluster.release();
      },
    };
  });
}
