import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { Informer } from '../kubernetes/client.ts';
import type { EndpointSlice } from '../kubernetes/endpoint-slices.ts';
import { ENDPOINT_SLICES } from '../kubernetes/resources.ts';
import { inProcessLink } from '../link/in-process.ts';
import type { BackendUpdate, DownMessage } from '../link/messages.ts';
import { silentLogger } from '../model/ports.ts';
import { FakeInformer } from '../operator/gateway-api/informer.fixture.ts';
import { OwnEndpoints } from './gateway-endpoints.ts';

function slice(service: string, pods: Record<string, { ready?: boolean; terminating?: boolean }>): EndpointSlice {
  return {
    apiVersion: 'discovery.k8s.io/v1',
    kind: 'EndpointSlice',
    metadata: {
      name: `${service}-abc`,
      namespace: 'shop',
      uid: service,
      resourceVersion: '1',
      labels: { 'kubernetes.io/service-name': service },
    },
    addressType: 'IPv4',
    endpoints: Object.entries(pods).map(([name, conditions], index) => ({
      addresses: [`10.0.0.${index + 1}`],
      conditions: { ready: true, ...conditions },
      targetRef: { kind: 'Pod', namespace: 'shop', name, uid: `${name}-uid-0000` },
    })),
    ports: [{ name: 'http', port: 8080 }],
  };
}

function update(backend: string, pods: string[], phase: BackendUpdate['phase'] = 'awake'): BackendUpdate {
  const endpoints = pods.map((name, index) => ({
    id: `${name}~${`${name}-uid-0000`.slice(0, 8)}`,
    host: `10.0.0.${index + 1}`,
    port: 8080,
    weight: 3,
    state: 'ready' as const,
  }));
  return { type: 'backend', backend, version: 7, phase, endpoints, crash: null, wakingSinceMs: 0 };
}

const slices = (service: string): object => ({ namespace: 'shop', service, port: 'http', family: 'IPv4' });
const configure = {
  type: 'configure',
  version: 1,
  config: {
    backends: [
      { name: 'service:shop/cart', driver: 'static', slices: slices('cart') },
      { name: 'shop/till', driver: 'kubernetes', slices: slices('till') },
      { name: 'shop/in-place', driver: 'kubernetes' },
    ],
  },
} as never as DownMessage;

/** A gateway's end with a leader that comes and goes. */
class Scene implements Disposable {
  readonly #pair = inProcessLink();
  readonly informer: FakeInformer<EndpointSlice>;
  readonly #got: DownMessage[] = [];
  #wanted: { count: number; resolve(messages: DownMessage[]): void } | null = null;
  led = true;
  watches = 0;
  ended: AbortSignal | null = null;

  constructor(...objects: EndpointSlice[]) {
    this.informer = new FakeInformer<EndpointSlice>(ENDPOINT_SLICES, objects);
    const own = new OwnEndpoints({
      link: this.#pair[0],
      led: () => this.led,
      watch: async (signal): Promise<Informer<EndpointSlice>> => {
        this.watches++;
        this.ended = signal;
        return this.informer;
      },
      logger: silentLogger,
      aloneMs: 20,
      lookMs: 5,
    });
    own.onMessage((message) => {
      this.#got.push(message);
      if (this.#wanted !== null && this.#got.length >= this.#wanted.count) this.#wanted.resolve(this.#take());
    });
  }

  #take(): DownMessage[] {
    this.#wanted = null;
    return this.#got.splice(0);
  }

  say(...messages: DownMessage[]): void {
    for (const message of messages) this.#pair[1].send(message);
  }

  /** The next `count` messages to the gateway. */
  next(count: number): Promise<DownMessage[]> {
    if (this.#got.length >= count) return Promise.resolve(this.#take());
    return new Promise((resolve) => (this.#wanted = { count, resolve }));
  }

  [Symbol.dispose](): void {
    this.#pair[1].close();
  }
}

function endpointsOf(message: DownMessage | undefined): string[] {
  assert.equal(message?.type, 'backend');
  return message.endpoints.map(({ id, host, state, weight }) => `${id.split('~')[0]} ${host} ${state} ${weight}`);
}

test('a pod that came, one that is gone and one that ends are known without an operator', async () => {
  using scene = new Scene(slice('cart', { old: { terminating: true, ready: false }, new: {} }));
  scene.say(configure, update('service:shop/cart', ['old', 'gone']));
  await scene.next(2);
  scene.led = false;
  const [first] = await scene.next(1);
  assert.deepEqual(endpointsOf(first), ['old 10.0.0.1 draining 3', 'new 10.0.0.2 ready 1']);
  scene.informer.put(slice('cart', { new: {} }));
  const [second] = await scene.next(1);
  assert.deepEqual(endpointsOf(second), ['new 10.0.0.1 ready 1']);
});

test('a Backend behind a route that was woken without an operator is awake, and asleep when its pods are gone', async () => {
  using scene = new Scene(slice('till', { one: {} }));
  scene.say(configure, update('shop/till', [], 'asleep'), update('shop/in-place', ['elsewhere']));
  await scene.next(3);
  scene.led = false;
  const [awake] = (await scene.next(1)) as BackendUpdate[];
  assert.equal(awake?.backend, 'shop/till');
  assert.equal(awake.phase, 'awake');
  scene.informer.put(slice('till', {}));
  const [asleep] = (await scene.next(1)) as BackendUpdate[];
  assert.deepEqual([asleep?.phase, asleep?.endpoints], ['asleep', []]);
});

test('the word of a leader counts, and ends the watch', async () => {
  using scene = new Scene(slice('cart', { a: {} }));
  scene.say(configure, update('service:shop/cart', ['a', 'b']));
  await scene.next(2);
  assert.equal(scene.watches, 0);
  scene.led = false;
  await scene.next(1);
  assert.equal(scene.watches, 1);
  scene.led = true;
  scene.say(update('service:shop/cart', ['c']));
  const [told] = await scene.next(1);
  assert.deepEqual(endpointsOf(told), ['c 10.0.0.1 ready 3']);
  assert.equal(scene.ended?.aborted, true);
  assert.equal(scene.informer.listeners, 0);
});
