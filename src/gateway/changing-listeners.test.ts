/** Listeners that come, go and take each other's place at a reload: no connection is refused, and none meets routes that are not its own. */
import assert from 'node:assert/strict';
import { once } from 'node:events';
import net, { type AddressInfo } from 'node:net';
import { describe, it } from 'node:test';
import { freePort } from '../model/free-port.fixture.ts';
import {
  backendConfig,
  gatewayConfig,
  GatewayHarness,
  listenerConfig,
  routeConfig,
} from './fixtures/gateway-harness.ts';
import { ok, RawBackend } from './fixtures/raw-backend.ts';
import { ownSockets } from './listener-sockets.ts';

const GET = 'GET / HTTP/1.1\r\nHost: a\r\n\r\n';

/** Each backend behind a listener of its own name. */
function configOf(ports: Readonly<Record<string, number>>) {
  const names = Object.keys(ports);
  return gatewayConfig(
    names.map((name) => backendConfig(name)),
    {
      listeners: names.map((name) => listenerConfig({ name, address: { host: '127.0.0.1', port: ports[name]! } })),
      routes: names.map((name) => ({ ...routeConfig(name), listeners: [name] })),
    },
  );
}

async function world(ports: Readonly<Record<string, number>>, sockets = ownSockets) {
  const servers = new Map<string, RawBackend>();
  for (const name of ['one', 'two'])
    servers.set(name, await RawBackend.start((request) => request.socket.write(ok(name))));
  const harness = await GatewayHarness.start(configOf(ports), { sockets });
  const ready = (): void => {
    for (const [name, { port }] of servers) harness.update(name, [{ port }]);
  };
  ready();
  return {
    harness,
    ready,
    async bodyAt(port: number): Promise<string> {
      const response = await fetch(`http://127.0.0.1:${port}/`, { headers: { connection: 'close' } });
      return response.text();
    },
    async [Symbol.asyncDispose]() {
      await harness.close();
      for (const server of servers.values()) await server.close();
    },
  };
}

describe('listeners that change their names', () => {
  it('new connections are the new one’s, without a refusal; a kept one is not', async () => {
    const port = await freePort();
    await using made = await world({ one: port });
    const kept = await made.harness.connect();
    kept.send(GET);
    assert.equal((await kept.response()).body, 'one');
    let going = true;
    const bodies: string[] = [];
    const loop = (async () => {
      while (going) bodies.push(await made.bodyAt(port));
    })();
    const answer = await made.harness.configure(configOf({ two: port }));
    assert.equal(answer.type, 'configured', JSON.stringify(answer));
    made.ready();
    assert.equal(await made.bodyAt(port), 'two');
    kept.send(GET);
    const last = await kept.response().catch(() => null);
    assert.ok(last === null || last.status === 404, JSON.stringify(last));
    const before = bodies.length;
    while (bodies.length < before + 5) await new Promise(setImmediate);
    going = false;
    await loop;
    assert.equal(bodies.at(-1), 'two');
    assert.deepEqual(new Set(bodies), new Set(bodies.includes('one') ? ['one', 'two'] : ['two']));
    assert.deepEqual([...made.harness.gateway.addresses().keys()], ['two']);
  });

  it('two change places', async () => {
    const [first, second] = [await freePort(), await freePort()];
    await using made = await world({ one: first, two: second });
    assert.deepEqual(await Promise.all([made.bodyAt(first), made.bodyAt(second)]), ['one', 'two']);
    const answer = await made.harness.configure(configOf({ one: second, two: first }));
    assert.equal(answer.type, 'configured', JSON.stringify(answer));
    assert.deepEqual(await Promise.all([made.bodyAt(first), made.bodyAt(second)]), ['two', 'one']);
    assert.equal((await made.harness.configure(configOf({ two: first }))).type, 'configured');
    await assert.rejects(made.bodyAt(second));
    assert.equal(await made.bodyAt(first), 'two');
  });

  it('one that can’t be used leaves the former one as it was', async () => {
    const port = await freePort();
    const taken = net.createServer().listen(0, '127.0.0.1');
    await once(taken, 'listening');
    try {
      await using made = await world({ one: port });
      const answer = await made.harness.configure(configOf({ two: port, one: (taken.address() as AddressInfo).port }));
      assert.equal(answer.type, 'refused');
      assert.equal(await made.bodyAt(port), 'one');
    } finally {
      taken.close();
    }
  });
});

describe('listeners that are new', () => {
  it('keep what comes before the configuration is in force, which names further ones', async () => {
    const ports = { zero: await freePort(), one: await freePort(), two: await freePort() };
    const { promise: goOn, resolve: go } = Promise.withResolvers<void>();
    const asked = Promise.withResolvers<void>();
    await using made = await world(
      { zero: ports.zero },
      {
        async open(listener) {
          if (listener.name === 'two') {
            asked.resolve();
            await goOn;
          }
          return ownSockets.open(listener);
        },
      },
    );
    const answer = made.harness.configure(configOf(ports));
    await asked.promise;
    const early = net.connect(ports.one, '127.0.0.1');
    early.write(GET);
    await once(early, 'connect');
    // It has been accepted when another one has been, too.
    await once(net.connect(ports.one, '127.0.0.1').end(), 'connect');
    go();
    assert.equal((await answer).type, 'configured');
    made.ready();
    const [bytes] = (await once(early, 'data')) as [Buffer];
    assert.match(bytes.toString(), /^HTTP\/1\.1 200 [\s\S]*one$/);
    early.destroy();
  });
});
