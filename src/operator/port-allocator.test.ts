import assert from 'node:assert/strict';
import { test } from 'node:test';
import { PortAllocator } from './port-allocator.ts';

const RANGE = { from: 20_000, to: 20_003 };

function gatewayPorts(allocated: readonly { gatewayPort: number }[] | null): number[] | undefined {
  return allocated?.map(({ gatewayPort }) => gatewayPort);
}

test('each port of a Service has one of its own, which it keeps; one that is free again is given last', () => {
  const allocator = new PortAllocator(RANGE);
  assert.deepEqual(gatewayPorts(allocator.allocate('shop/a', [80, 90])), [20_000, 20_001]);
  assert.deepEqual(gatewayPorts(allocator.allocate('shop/b', [80])), [20_002]);
  assert.deepEqual(gatewayPorts(allocator.allocate('shop/a', [90, 80])), [20_001, 20_000]);
  allocator.release('shop/a');
  assert.deepEqual(gatewayPorts(allocator.allocate('shop/c', [80, 81])), [20_003, 20_000]);
  assert.equal(allocator.allocate('shop/d', [1, 2]), null);
  assert.equal(allocator.free, 1);
});

test('a new leader gives nobody a port at which clients of another Service arrive', () => {
  const allocator = new PortAllocator(RANGE);
  allocator.reserve([
    { owner: 'shop/serves', known: [{ port: 80, gatewayPort: 20_001 }], isRedirected: false },
    { owner: 'shop/sleeps', known: [{ port: 80, gatewayPort: 20_000 }], isRedirected: true },
    // Had it before; meanwhile it was given to another one.
    { owner: 'shop/served-once', known: [{ port: 80, gatewayPort: 20_000 }], isRedirected: false },
  ]);
  assert.deepEqual(gatewayPorts(allocator.allocate('shop/new', [80])), [20_002]);
  const sleeps = [{ port: 80, gatewayPort: 20_000 }];
  assert.deepEqual(gatewayPorts(allocator.allocate('shop/served-once', [80], sleeps)), [20_003]);
  assert.deepEqual(gatewayPorts(allocator.allocate('shop/sleeps', [80], sleeps)), [20_000]);
});

test('ports out of the range are not kept', () => {
  const allocator = new PortAllocator(RANGE);
  allocator.reserve([{ owner: 'shop/a', known: [{ port: 80, gatewayPort: 30_000 }], isRedirected: true }]);
  assert.equal(allocator.free, 4);
  assert.deepEqual(gatewayPorts(allocator.allocate('shop/a', [80], [{ port: 80, gatewayPort: 30_000 }])), [20_000]);
});
