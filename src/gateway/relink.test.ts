/** A gateway whose operator is killed and started anew, over real sockets, with real controllers: nothing that was accepted is lost. */
import assert from 'node:assert/strict';
import { EventEmitter, once } from 'node:events';
import { connect } from 'node:net';
import { afterEach, describe, it } from 'node:test';
import { Controller } from '../controller/index.ts';
import { configOf, backendConfig as controllerBackend } from '../controller/controller.fixture.ts';
import type { Driver, DriverEvents, Instance } from '../drivers/driver.ts';
import { linkCertificates, SERVER_NAME } from '../link/fixtures/link-certificates.ts';
import { dialLink } from '../link/grpc-client.ts';
import { serveLinks, type LinkServer } from '../link/grpc-server.ts';
import type { Link } from '../link/link.ts';
import type { DownMessage, GatewayConfig, UpMessage } from '../link/messages.ts';
import { ReconnectingLink, type OperatorAddress } from '../link/reconnecting.ts';
import type { BackendConfig, FilterConfig } from '../model/config.ts';
import { silentLogger, systemClock } from '../model/ports.ts';
import { strategies } from './balancing/registry.ts';
import { concurrencySchema } from './filters/concurrency.schema.ts';
import { filters } from './filters/all-filters.fixture.ts';
import { listenerConfig, RawClient, routeConfig } from './fixtures/gateway-harness.ts';
import { ok, RawBackend } from './fixtures/raw-backend.ts';
import { Gateway } from './gateway.ts';
import { ownSockets } from './listener-sockets.ts';

const certificates = await linkCertificates();
const closing: (() => unknown)[] = [];
afterEach(async () => {
  for (const close of closing.splice(0).toReversed()) await close();
});

/** What runs in the cluster, whichever operator there is: at most one instance of each backend. */
class Cluster {
  readonly ports = new Map<string, number>();
  readonly running = new Set<string>();
  readonly drivers = new Set<PodDriver>();

  /** False: whoever asks for an instance waits. */
  starts = true;

  set(backend: string, runs: boolean): void {
    if (runs && !this.starts) return;
    if (runs) this.running.add(backend);
    else this.running.delete(backend);
    for (const driver of this.drivers) if (driver.backend === backend) driver.look();
  }
}

/** As the driver of a cluster: sees what runs already, under names that don't depend on the operator. */
class PodDriver implements Driver {
  readonly kind = 'kubernetes';
  readonly canScale = true;
  readonly backend: string;
  readonly #cluster: Cluster;
  readonly #events: DriverEvents;

  constructor(backend: string, cluster: Cluster, events: DriverEvents) {
    this.backend = backend;
    this.#cluster = cluster;
    this.#events = events;
    cluster.drivers.add(this);
    if (cluster.running.has(backend)) this.look();
  }

  #instance(): Instance {
    const runs = this.#cluster.running.has(this.backend);
    return {
      id: `${this.backend}-pod`,
      state: runs ? 'ready' : 'gone',
      address: { host: '127.0.0.1', port: this.#cluster.ports.get(this.backend)! },
      weight: 1,
      pid: null,
      startedAtMs: 1,
      readyAtMs: 1,
      reason: runs ? '' : 'scaled down',
    };
  }

  look(): void {
    queueMicrotask(() => this.#events.instance(this.#instance()));
  }
  instances(): readonly Instance[] {
    return this.#cluster.running.has(this.backend) ? [this.#instance()] : [];
  }
  crash(): null {
    return null;
  }
  scaleUp(): void {
    this.#cluster.set(this.backend, true);
  }
  cancelStarts(): void {}
  async retire(): Promise<void> {
    this.#cluster.set(this.backend, false);
  }
  suspect(): void {}
  logs(): [] {
    return [];
  }
  onLog(): () => void {
    return () => {};
  }
  async close(): Promise<void> {
    this.#cluster.drivers.delete(this);
  }
}

/** One operator: a controller that knows of the past only what the cluster and the gateways tell it. */
class Operator {
  readonly events = new EventEmitter();
  readonly got: UpMessage[] = [];
  readonly told: DownMessage[] = [];
  readonly controller: Controller;
  server!: LinkServer;

  static async start(
    cluster: Cluster,
    configs: [Parameters<Controller['configure']>[0], GatewayConfig],
  ): Promise<Operator> {
    const operator = new Operator(cluster);
    await operator.controller.configure(...configs);
    operator.server = await serveLinks({
      address: { host: '127.0.0.1', port: 0 },
      credentials: certificates.operator,
      logger: silentLogger,
      onLink: (id, link) => {
        link.send({ type: 'role', leader: true, term: 0 });
        operator.controller.attach(id, operator.#listened(link));
      },
    });
    closing.push(() => operator.kill());
    return operator;
  }

  private constructor(cluster: Cluster) {
    this.controller = new Controller({
      clock: systemClock,
      logger: silentLogger,
      createDriver: ({ name }, events) => new PodDriver(name, cluster, events),
    });
  }

  #listened(link: Link<DownMessage, UpMessage>): Link<DownMessage, UpMessage> {
    return {
      send: (message) => {
        this.told.push(message);
        link.send(message);
      },
      onMessage: (handler) =>
        link.onMessage((message) => {
          this.got.push(message);
          handler(message);
          this.events.emit('message');
        }),
      onClose: (handler) => link.onClose(handler),
      close: () => link.close(),
    };
  }

  async heard<T extends UpMessage['type']>(
    type: T,
    matches: (message: Extract<UpMessage, { type: T }>) => boolean = () => true,
  ): Promise<Extract<UpMessage, { type: T }>> {
    for (;;) {
      const found = this.got.find(
        (message): message is Extract<UpMessage, { type: T }> =>
          message.type === type && matches(message as Extract<UpMessage, { type: T }>),
      );
      if (found !== undefined) return found;
      await once(this.events, 'message');
    }
  }

  async phase(name: string, wanted: string): Promise<void> {
    const signal = AbortSignal.timeout(10_000);
    while (this.controller.backends().find((one) => one.name === name)?.phase !== wanted) {
      signal.throwIfAborted();
      await new Promise(setImmediate);
    }
  }

  /** Gone, without a word to anybody. */
  async kill(): Promise<void> {
    await this.server.close();
    await this.controller.close();
  }
}

class World {
  readonly cluster = new Cluster();
  readonly addresses: OperatorAddress[] = [];
  readonly gateway: Gateway;
  readonly link: ReconnectingLink;
  operator!: Operator;
  configs!: [Parameters<Controller['configure']>[0], GatewayConfig];

  static async start(
    backends: { name: string; answer: Parameters<typeof RawBackend.start>[0] }[],
    more: { wake?: Partial<BackendConfig['wake']>; filters?: FilterConfig[] } = {},
  ): Promise<World & { backends: RawBackend[] }> {
    const world = new World();
    const started: RawBackend[] = [];
    for (const { name, answer } of backends) {
      const backend = await RawBackend.start(answer);
      closing.push(() => backend.close());
      started.push(backend);
      world.cluster.ports.set(name, backend.port);
    }
    const [config, gatewayConfig] = configOf(
      backends.map(({ name }) => controllerBackend(name, { wake: more.wake, idle: undefined })),
    );
    const routes = backends.map(({ name }) => routeConfig(name, { filters: more.filters ?? [] }));
    world.configs = [config, { ...gatewayConfig, listeners: [listenerConfig()], routes, reportIntervalMs: 50 }];
    await world.newOperator();
    world.link.start();
    world.gateway.start();
    await world.operator.heard('configured');
    return Object.assign(world, { backends: started });
  }

  private constructor() {
    this.link = new ReconnectingLink({
      resolve: async () => this.addresses,
      dial: (address, signal) =>
        dialLink({
          address,
          serverName: SERVER_NAME,
          credentials: certificates.gateway,
          gateway: 'g',
          logger: silentLogger,
          signal,
        }),
      onLeader: () => this.gateway.relinked(),
      clock: systemClock,
      random: Math.random,
      logger: silentLogger,
      resolveMs: 10,
      backoffMs: { least: 10, most: 50 },
    });
    this.gateway = new Gateway({
      id: 'g',
      link: this.link,
      sockets: ownSockets,
      logger: silentLogger,
      clock: systemClock,
      random: Math.random,
      createAccessLog: () => ({ record: () => {}, close: async () => {} }),
      strategies,
      loadFilters: async () => filters,
      maxConnections: 1000,
    });
    closing.push(async () => {
      this.gateway.drain(0);
      await this.gateway.closed;
    });
  }

  /** In the place of the one before, at another address. */
  async newOperator(): Promise<Operator> {
    this.operator = await Operator.start(this.cluster, this.configs);
    this.addresses.splice(0, 1, this.operator.server.address);
    return this.operator;
  }

  async withoutOperator(): Promise<void> {
    this.addresses.length = 0;
    await this.operator.kill();
    while (this.link.state.connected > 0) await new Promise(setImmediate);
  }

  async client(): Promise<RawClient> {
    const { port } = this.gateway.addresses().values().next().value!;
    const socket = connect({ port, host: '127.0.0.1', allowHalfOpen: true, noDelay: true });
    closing.push(() => socket.destroy());
    await once(socket, 'connect');
    return new RawClient(socket);
  }

  async send(target: string): Promise<RawClient> {
    const client = await this.client();
    client.send(`GET ${target} HTTP/1.1\r\nHost: a\r\n\r\n`);
    return client;
  }
}

const echo: Parameters<typeof RawBackend.start>[0] = (request) => void request.socket.write(ok(request.target));

describe('a gateway whose operator is gone and comes back', () => {
  it('serves on, keeps its connections to endpoints, and finishes what is in flight', async () => {
    let finish: () => void = () => {};
    const world = await World.start([
      {
        name: 'app',
        answer: (request) => {
          if (request.target === '/slow') finish = () => request.socket.write(ok('slow'));
          else request.socket.write(ok(request.target));
        },
      },
    ]);
    assert.equal((await (await world.send('/wakes')).response()).body, '/wakes');
    const slow = await world.send('/slow');
    await world.operator.heard('demand', ({ windows }) => windows.some(({ inFlight }) => inFlight === 1));
    await world.withoutOperator();
    assert.equal((await (await world.send('/alone')).response()).body, '/alone');
    const [backend] = world.backends;
    const connections = backend!.connections;

    const operator = await world.newOperator();
    // It hears at once of what is in flight, so that it doesn't put the backend to sleep.
    await operator.heard('demand', ({ windows }) => windows.some(({ inFlight }) => inFlight === 1));
    await operator.heard('configured');
    await operator.phase('app', 'awake');
    assert.equal((await (await world.send('/after')).response()).body, '/after');
    assert.equal(backend!.connections, connections, 'the pool of connections stayed');
    finish();
    assert.equal((await slow.response()).body, 'slow');
    assert.equal(backend!.requests.length, 4);
    assert.deepEqual(
      operator.got.slice(0, 1).map(({ type }) => type),
      ['hello'],
    );
  });

  it('holds what nobody can wake, and the next operator wakes it at once', async () => {
    const world = await World.start([{ name: 'app', answer: echo }]);
    await world.withoutOperator();
    const clients = [];
    for (let i = 0; i < 20; i++) clients.push(await world.send(`/${i}`));
    const operator = await world.newOperator();
    const woken = await operator.heard('wake');
    assert.equal(woken.path, '/0');
    for (const [i, client] of clients.entries()) assert.equal((await client.response()).body, `/${i}`);
    assert.deepEqual(
      world.backends[0]!.requests.map(({ target }) => target),
      clients.map((_, i) => `/${i}`),
    );
  });

  it('tells a new operator what it was given to hold: the bound is kept across operators', async () => {
    const world = await World.start([{ name: 'app', answer: echo }], { wake: { maxHeld: 8 } });
    world.cluster.starts = false;
    const held = [];
    for (let i = 0; i < 4; i++) held.push(await world.send(`/${i}`));
    await world.operator.heard('demand', ({ windows }) => windows.some((window) => window.held === 4));
    await world.operator.heard('lease-ask');
    await world.withoutOperator();
    const operator = await world.newOperator();
    const { holds, backend } = await operator.heard('leases-held');
    assert.equal(backend, 'app');
    assert.ok(holds >= 1 && holds <= 8, `${holds}`);
    await operator.heard('demand', ({ windows }) => windows.some((window) => window.held === 4));
    for (let i = 4; i < 8; i++) held.push(await world.send(`/${i}`));
    await operator.heard('demand', ({ windows }) => windows.some((window) => window.held === 8));
    assert.equal((await (await world.send('/one-too-many')).response()).status, 503);
    world.cluster.starts = true;
    world.cluster.set('app', true);
    for (const [i, client] of held.entries()) assert.equal((await client.response()).body, `/${i}`);
  });

  it('is told by a new operator of what fell asleep meanwhile, and asks no address that nobody confirms', async () => {
    const world = await World.start([{ name: 'app', answer: echo }]);
    assert.equal((await (await world.send('/wakes')).response()).body, '/wakes');
    await world.withoutOperator();
    // Somebody scaled it down, and the address belongs to somebody else now.
    world.cluster.running.clear();
    const other = await RawBackend.start((request) => void request.socket.write(ok('a stranger')));
    closing.push(() => other.close());
    const operator = await world.newOperator();
    await operator.heard('applied', ({ backend }) => backend === 'app');
    const own = world.cluster.ports.get('app')!;
    world.cluster.ports.set('app', other.port);
    const client = await world.send('/again');
    await operator.heard('wake');
    assert.equal((await client.response()).body, 'a stranger', `woken anew, not asked at ${own}`);
    assert.equal(world.backends[0]!.requests.length, 1);
  });

  it('counts what it let in while it was alone against a limit on concurrency', async () => {
    const finish: (() => void)[] = [];
    const world = await World.start(
      [{ name: 'app', answer: (request) => void finish.push(() => request.socket.write(ok(request.target))) }],
      { filters: [{ type: 'concurrency', options: concurrencySchema.parse({ max: 2 }) }] },
    );
    world.cluster.set('app', true);
    await world.operator.phase('app', 'awake');
    const first = await world.send('/1');
    while (finish.length < 1) await new Promise(setImmediate);
    await world.withoutOperator();
    // Nobody answers: this gateway counts alone.
    const second = await world.send('/2');
    while (finish.length < 2) await new Promise(setImmediate);
    const operator = await world.newOperator();
    await operator.heard('limit-open');
    const asked = await operator.heard('limit-ask');
    assert.deepEqual(
      asked.asks.map(({ need }) => need),
      [2],
    );
    assert.notEqual((await (await world.send('/3')).response()).status, 200);
    for (const answer of finish) answer();
    assert.equal((await first.response()).body, '/1');
    assert.equal((await second.response()).body, '/2');
    finish.length = 0;
    const third = await world.send('/4');
    while (finish.length < 1) await new Promise(setImmediate);
    finish[0]!();
    assert.equal((await third.response()).body, '/4');
  });

  it('changes nothing when the new operator says what is in force already, and all when it says something else', async () => {
    const world = await World.start([{ name: 'app', answer: echo }]);
    const { runtime } = world.gateway;
    await world.withoutOperator();
    const second = await world.newOperator();
    await second.heard('configured');
    assert.equal(world.gateway.runtime, runtime);
    await world.withoutOperator();
    world.configs = [world.configs[0], { ...world.configs[1], traceToken: 'another' }];
    const third = await world.newOperator();
    await third.heard('configured');
    assert.notEqual(world.gateway.runtime, runtime);
  });

  it('says that it leaves, also to an operator that comes later, and serves until it is told to drain', async () => {
    const world = await World.start([{ name: 'app', answer: echo }]);
    world.gateway.leave();
    await world.operator.heard('leaving');
    await world.withoutOperator();
    const client = await world.send('/held');
    const operator = await world.newOperator();
    await operator.heard('leaving');
    assert.equal((await client.response()).body, '/held');
    const last = await world.client();
    world.gateway.drain(5000);
    last.send('GET /last HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n');
    await world.gateway.closed;
  });
});
