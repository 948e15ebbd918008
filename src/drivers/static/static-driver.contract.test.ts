import net from 'node:net';
import { silentLogger, systemClock } from '../../model/ports.ts';
import { driverContract } from '../driver.contract.ts';
import { createDrivers } from '../index.ts';
import { processBackend } from '../process/fixtures/process-backend.ts';

driverContract('static driver', async () => {
  const servers = await Promise.all([1, 2].map(listen));
  const create = createDrivers({
    logger: silentLogger,
    clock: systemClock,
    stateDir: '/nonexistent',
    marker: '',
    environment: {},
  });
  const ports = servers.map((server) => (server.address() as net.AddressInfo).port);
  const health = { path: null, intervalMs: 1000, timeoutMs: 500, status: { from: 200, to: 399 }, rise: 1, fall: 2 };
  const backend = {
    ...processBackend({ health }),
    source: {
      driver: 'static' as const,
      servers: ports.map((port) => ({ host: '127.0.0.1', port, weight: 1, backup: false })),
    },
  };
  const stop = (server: net.Server): Promise<void> => new Promise((resolve) => void server.close(() => resolve()));
  return {
    create: (events) => create(backend, events),
    silence: (instance) => stop(servers[ports.indexOf(instance.address!.port)]!),
    release: async () => {
      await Promise.all(servers.filter((server) => server.listening).map(stop));
    },
  };
});

function listen(): Promise<net.Server> {
  return new Promise((resolve) => {
    const server = net.createServer((socket) => socket.on('error', () => {}).end());
    server.listen(0, '127.0.0.1', () => resolve(server));
  });
}
