/** Clients that leave while a filter waits for something: what the filter does later is done for nobody. */
import assert from 'node:assert/strict';
import { afterEach, test } from 'node:test';
import { backendConfig, gatewayConfig, GatewayHarness, routeConfig } from '../fixtures/gateway-harness.ts';
import type { FilterRegistry } from './filter.ts';

const open: { close(): Promise<void> }[] = [];
afterEach(async () => {
  for (const part of open.splice(0)) await part.close();
});

// A place in a concurrency limit that was taken after its client had left was never given back: password checks, key sets or rate limits in front of the limit
// were enough, and a client that reset its connections closed the route for everybody. The filter also saw the head of whoever asked next.
test('no later filter runs, and what one has counted is given back', async () => {
  let inFlight = 0;
  const seen: string[] = [];
  const answers: (() => void)[] = [];
  const own: FilterRegistry = {
    waiting: () => ({
      request: async (edit) => {
        await new Promise<void>((resolve) => answers.push(resolve));
        inFlight++;
        edit.atEnd(() => inFlight--);
        return null;
      },
    }),
    counting: () => ({
      request: (edit) => {
        seen.push(edit.path);
        inFlight++;
        edit.atEnd(() => inFlight--);
        return null;
      },
    }),
  };
  const filters = ['waiting', 'counting'].map((type) => ({ type, options: {} }));
  const harness = await GatewayHarness.start(
    gatewayConfig([backendConfig('app')], { routes: [routeConfig('app', { filters })] }),
    { filters: own },
  );
  open.push(harness);
  for (let i = 0; i < 20; i++) {
    const leaves = await harness.connect();
    leaves.send(`GET /left/${i} HTTP/1.1\r\nHost: a\r\n\r\n`);
    while (answers.length === 0) await new Promise((resolve) => setImmediate(resolve));
    leaves.socket.resetAndDestroy();
    while (harness.log.length === i) await new Promise((resolve) => setImmediate(resolve));
    for (const answer of answers.splice(0)) answer();
  }
  const stays = await harness.connect();
  stays.send('GET /stays HTTP/1.1\r\nHost: a\r\n\r\n');
  while (answers.length === 0) await new Promise((resolve) => setImmediate(resolve));
  answers.splice(0)[0]!();
  await harness.nextOf('wake');
  assert.deepEqual(seen, ['/stays']);
  assert.equal(inFlight, 2);
  stays.socket.resetAndDestroy();
  while (harness.log.length < 21) await new Promise((resolve) => setImmediate(resolve));
  assert.equal(inFlight, 0);
});
