import assert from 'node:assert/strict';
import { test } from 'node:test';
import { createClient } from '../kubernetes/api-client.ts';
import { FakeServer } from '../kubernetes/api-server.fixture.ts';
import { defaultListener, defaultRoute, defaultTelemetry } from '../model/config.fixture.ts';
import type { Config } from '../model/config.ts';
import { silentLogger, systemClock } from '../model/ports.ts';
import { Operator, type OperatorOptions } from './operator.ts';

/** Gateways and routes are never listed: a leader waits for them before it tells gateways anything. */
async function beginning() {
  const server = new FakeServer(({ path, query }, response) => {
    if (path.startsWith('/apis/gateway.networking.k8s.io') && path.split('/').length > 4) return;
    response.setHeader('content-type', 'application/json');
    if (query.has('watch')) response.flushHeaders();
    else response.end(JSON.stringify({ kind: 'List', metadata: { resourceVersion: '1' }, items: [], resources: [] }));
  });
  await server.listen();
  const client = createClient(server.config, { logger: silentLogger, clock: systemClock, random: Math.random });
  const leading = Promise.withResolvers<AbortSignal>();
  const operator = new Operator({
    client,
    clock: systemClock,
    random: Math.random,
    logger: silentLogger,
    identity: 'one',
    namespace: 'dormouse-system',
    gatewaySelector: 'app=gateway',
    gatewayPorts: { from: 20_000, to: 20_010 },
    lease: null,
    base: {
      listeners: [defaultListener()],
      routes: [defaultRoute('none')],
      backends: [],
      telemetry: defaultTelemetry(),
    } as unknown as Config,
    drivers: (_informers: unknown, _replicas: unknown, _keda: unknown, signal: AbortSignal) => {
      leading.resolve(signal);
      return () => assert.fail('there is no Backend');
    },
    routing: {} as OperatorOptions['routing'],
    gatewayService: 'dormouse-gateway',
    secretNamespaces: [],
    ticketKeys: () => ({ close: () => {} }),
    figures: { lead: () => {}, wanted: () => {}, wasTold: () => false },
    watchTriggers: () => ({ configure: () => {}, families: () => [], close: () => {} }),
    trimPod: (pod: unknown) => pod,
  } as unknown as OperatorOptions);
  return { operator, leading: leading.promise, client, server };
}

test(
  'a leadership that is lost as it begins ends whole: nothing of it acts any more',
  { timeout: 20_000 },
  async () => {
    const { operator, leading, client, server } = await beginning();
    const end = new AbortController();
    const run = operator.run(end.signal);
    const acts = await leading;
    assert.equal(operator.leads, true);
    assert.equal(acts.aborted, false);
    end.abort(new Error('the Lease was lost'));
    await run.catch((error: Error) => assert.match(error.message, /the Lease was lost/));
    assert.equal(acts.aborted, true);
    assert.equal(operator.leads, false);
    await client.close();
    await server.close();
  },
);
