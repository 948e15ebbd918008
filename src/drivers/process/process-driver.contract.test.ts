import http from 'node:http';
import { driverContract } from '../driver.contract.ts';
import type { Instance } from '../driver.ts';
import { bench } from './fixtures/process-backend.ts';

/** The application stops listening, but goes on running. */
function stopListening(instance: Instance): Promise<void> {
  return new Promise((resolve, reject) => {
    http
      .get({ ...instance.address, path: '/close', agent: false }, (response) => response.resume().once('end', resolve))
      .once('error', reject);
  });
}

driverContract('process driver', async () => {
  const place = await bench();
  return { create: (events) => place.create(events), silence: stopListening, release: place.release };
});

driverContract('process driver with health checks', async () => {
  const place = await bench();
  const health = { path: '/', intervalMs: 1000, timeoutMs: 500, status: { from: 200, to: 299 }, rise: 1, fall: 2 };
  return { create: (events) => place.create(events, { health }), silence: stopListening, release: place.release };
});
