import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { Driver, DriverEvents, Instance } from '../drivers/driver.ts';
import type { BackendUpdate } from '../link/messages.ts';
import type { BackendConfig } from '../model/config.ts';
import { WokenPods } from './woken-pods.ts';

const backend = { name: 'shop/cart', ports: [{ name: 'admin', protocol: 'http1' }] } as never as BackendConfig;

function instance(state: Instance['state']): Instance {
  return {
    id: 'cart-1~abc',
    state,
    address: { host: '10.0.0.1', port: 8080 },
    ports: { http: 8080, admin: 9090 },
    weight: 1,
    pid: null,
    startedAtMs: 1,
    readyAtMs: 0,
    reason: '',
  };
}

class Scene {
  readonly told: BackendUpdate[] = [];
  readonly drivers: { events: DriverEvents; closed: boolean }[] = [];
  readonly pods = new WokenPods({
    createDriver: (_backend, events) => {
      const made = { events, closed: false };
      this.drivers.push(made);
      return { close: async () => void (made.closed = true) } as never as Driver;
    },
    tell: (update) => this.told.push(update),
    followMs: 20,
  });

  get summary(): string[] {
    return this.told
      .splice(0)
      .map(({ backend: name, phase, endpoints }) => `${name} ${phase} ${endpoints.map(({ port }) => port).join()}`);
  }
}

test('ready pods are told, at each port; those that start are not', () => {
  const scene = new Scene();
  scene.pods.follow(backend);
  scene.drivers[0]!.events.instance(instance('starting'));
  assert.deepEqual(scene.summary, []);
  scene.drivers[0]!.events.instance(instance('ready'));
  assert.deepEqual(scene.summary, ['shop/cart awake 8080', 'shop/cart:admin awake 9090']);
  // Asked once more, by a gateway that was not there.
  scene.pods.follow(backend);
  assert.equal(scene.drivers.length, 1);
  assert.deepEqual(scene.summary, ['shop/cart awake 8080', 'shop/cart:admin awake 9090']);
  scene.drivers[0]!.events.instance(instance('gone'));
  assert.deepEqual(scene.summary, ['shop/cart asleep ', 'shop/cart:admin asleep ']);
  scene.pods.close();
  assert.deepEqual([scene.pods.size, scene.drivers[0]!.closed], [0, true]);
});

test('what nobody asks for any more is left to the leader', async () => {
  const scene = new Scene();
  scene.pods.follow(backend);
  while (scene.pods.size > 0) await new Promise(setImmediate);
  assert.equal(scene.drivers[0]!.closed, true);
});
