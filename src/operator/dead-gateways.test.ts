import assert from 'node:assert/strict';
import { once } from 'node:events';
import net from 'node:net';
import { test } from 'node:test';
import { DeadGateways } from './dead-gateways.ts';
import type { GatewayPod } from './gateway-pods.ts';

async function stage() {
  const server = net.createServer((socket) => socket.end());
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  const { port } = server.address() as net.AddressInfo;
  const pod: GatewayPod = {
    name: 'gateway-a',
    namespace: 'dormouse',
    uid: 'uid-a',
    nodeName: 'node-a',
    ipv4: '127.0.0.1',
    ipv6: null,
    port,
  };
  const linked = new Set(['gateway-a']);
  const ready = [pod];
  let told = (): void => {};
  const dead = new DeadGateways({
    linked: () => new Set(linked),
    ready: () => ready,
    changed: () => told(),
  });
  dead.look();
  return {
    dead,
    linked,
    ready,
    server,
    changed: () => new Promise<void>((resolve) => (told = resolve)),
  };
}

test('a gateway whose link ends and whose pod refuses connections is dead, until it is back on the link', async () => {
  const { dead, linked, server, changed } = await stage();
  const told = changed();
  server.close();
  await once(server, 'close');
  linked.clear();
  dead.look();
  assert.equal(dead.has('uid-a'), false);
  await told;
  assert.equal(dead.has('uid-a'), true);
  linked.add('gateway-a');
  dead.look();
  assert.equal(dead.has('uid-a'), false);
});

test('a gateway whose link ends while it accepts connections stays', async () => {
  const { dead, linked, server } = await stage();
  const looked = once(server, 'connection');
  linked.clear();
  dead.look();
  const [socket] = (await looked) as [net.Socket];
  await once(socket.resume(), 'close');
  assert.equal(dead.has('uid-a'), false);
  server.close();
});

test('what the kubelet calls not ready is forgotten', async () => {
  const { dead, linked, ready, server, changed } = await stage();
  const told = changed();
  server.close();
  await once(server, 'close');
  linked.clear();
  dead.look();
  await told;
  ready.length = 0;
  dead.look();
  assert.equal(dead.has('uid-a'), false);
});
