/** A controller whose time, driver and gateways are in a test's hands: behaviour at exact edges can't be made with real processes. */
import type { Crash } from '../model/backend.ts';
import type { BackendConfig, BackendSource, Config, KubernetesConfig } from '../model/config.ts';
import {
  defaultBackend,
  defaultEvents,
  defaultListener,
  defaultRoute,
  defaultTelemetry,
} from '../model/config.fixture.ts';
import type { DemandWindow } from '../model/demand.ts';
import type { Clock, Logger } from '../model/ports.ts';
import type { BackendEvent, BackendStatus } from '../model/status.ts';
import type { Link } from '../link/link.ts';
import {
  LINK_VERSION,
  type BackendUpdate,
  type DownMessage,
  type GatewayConfig,
  type UpMessage,
} from '../link/messages.ts';
import type { Driver, DriverEvents, Instance, LogLine } from '../drivers/driver.ts';
import { Controller } from './controller.ts';
import type { Timers } from './timers.ts';

/** Time that moves only when told. Timers fire in order of their time, then in order of being set. */
export class FakeTime implements Clock, Timers {
  #nowMs = 1000;
  #order = 0;
  readonly #timers = new Map<number, { atMs: number; fn: () => void }>();

  nowMs(): number {
    return this.#nowMs;
  }

  wallMs(): number {
    return 1_700_000_000_000 + this.#nowMs;
  }

  setTimer(ms: number, fn: () => void): () => void {
    const id = ++this.#order;
    this.#timers.set(id, { atMs: this.#nowMs + ms, fn });
    return () => this.#timers.delete(id);
  }

  get pending(): number {
    return this.#timers.size;
  }

  /** Milliseconds until the next timer, or null. */
  get nextIn(): number | null {
    const next = this.#next();
    return next === null ? null : next[1].atMs - this.#nowMs;
  }

  advance(ms: number): void {
    const end = this.#nowMs + ms;
    for (let next = this.#next(); next !== null && next[1].atMs <= end; next = this.#next()) {
      const [id, timer] = next;
      this.#timers.delete(id);
      this.#nowMs = Math.max(this.#nowMs, timer.atMs);
      timer.fn();
    }
    this.#nowMs = end;
  }

  #next(): [number, { atMs: number; fn: () => void }] | null {
    let best: [number, { atMs: number; fn: () => void }] | null = null;
    for (const entry of this.#timers) if (best === null || entry[1].atMs < best[1].atMs) best = entry;
    return best;
  }
}

/** Lets promises that are settled run their handlers. */
export async function settled(): Promise<void> {
  for (let i = 0; i < 20; i++) await Promise.resolve();
}

export interface Retirement {
  ids: string[];
  freeze: boolean;
  finish(): void;
  /** The platform doesn't do it: what was to go is ready again. */
  refuse(): void;
}

export class FakeDriver implements Driver {
  readonly kind: BackendSource['driver'];
  readonly canScale: boolean;
  readonly config: BackendConfig;
  readonly #events: DriverEvents;
  readonly #time: FakeTime;
  readonly retirements: Retirement[] = [];
  readonly suspects: { id: string; reason: string }[] = [];
  /** Greatest number of instances that were starting, ready or unhealthy at once. */
  most = 0;
  closed = false;
  /** What the platform is told to run. */
  told: number | null = null;
  #instances: Instance[] = [];
  #crash: Crash | null = null;
  readonly #numbers: Map<string, number>;
  #attempts = 0;

  /** `numbers`: the last number of each backend's instances, over all its drivers. */
  constructor(config: BackendConfig, events: DriverEvents, time: FakeTime, numbers: Map<string, number>) {
    this.config = config;
    this.#numbers = numbers;
    this.#events = events;
    this.#time = time;
    this.kind = config.source.driver;
    this.canScale = this.kind !== 'static';
    if (config.source.driver === 'static') {
      for (const { host, port, weight } of config.source.servers) {
        this.#instances.push(this.#made({ state: 'ready', address: { host, port }, weight }));
      }
      for (const instance of this.#instances) events.instance({ ...instance });
    }
  }

  #made(over: Partial<Instance>): Instance {
    const now = this.#time.wallMs();
    const number = (this.#numbers.get(this.config.name) ?? 0) + 1;
    this.#numbers.set(this.config.name, number);
    return {
      id: `${this.config.name}-${number}`,
      state: 'starting',
      address: null,
      weight: 1,
      pid: 4000 + number,
      startedAtMs: now,
      readyAtMs: 0,
      reason: '',
      ...over,
    };
  }

  instances(): readonly Instance[] {
    return this.#instances.map((instance) => ({ ...instance }));
  }

  replicas(): number | null {
    return this.told;
  }

  crash(): Crash | null {
    return this.#crash;
  }

  get heldBack(): boolean {
    return this.#crash !== null && this.#time.wallMs() < this.#crash.retryAtMs;
  }

  of(...states: Instance['state'][]): Instance[] {
    return this.#instances.filter((instance) => states.includes(instance.state));
  }

  scaleUp(count: number): void {
    if (this.closed || !this.canScale || this.heldBack) return;
    const frozen = this.of('frozen');
    while (this.of('starting', 'ready', 'unhealthy').length < Math.min(count, this.config.scale.max)) {
      const thawed = frozen.shift();
      if (thawed !== undefined) this.#change(thawed, { state: 'ready' });
      else {
        const instance = this.#made({});
        this.#instances.push(instance);
        this.most = Math.max(this.most, this.of('starting', 'ready', 'unhealthy').length);
        this.#events.instance({ ...instance });
      }
    }
    this.most = Math.max(this.most, this.of('starting', 'ready', 'unhealthy').length);
  }

  cancelStarts(count: number): void {
    for (const instance of this.of('starting').toReversed()) {
      if (this.of('starting', 'ready', 'unhealthy').length <= count) break;
      this.#end(instance, 'its start was given up');
    }
  }

  retire(ids: readonly string[], { freeze }: { freeze: boolean }): Promise<void> {
    if (!this.canScale) return Promise.resolve();
    const { promise, resolve, reject } = Promise.withResolvers<void>();
    for (const id of ids) {
      const instance = this.#instances.find((one) => one.id === id);
      if (instance !== undefined) this.#change(instance, { state: 'stopping' });
    }
    this.retirements.push({
      ids: [...ids],
      freeze,
      finish: () => {
        for (const id of ids) {
          const instance = this.#instances.find((one) => one.id === id);
          if (instance === undefined) continue;
          if (freeze) this.#change(instance, { state: 'frozen' });
          else this.#end(instance, '');
        }
        resolve();
      },
      refuse: () => {
        for (const instance of this.#instances)
          if (ids.includes(instance.id)) this.#change(instance, { state: 'ready' });
        reject(new Error('somebody else scaled it'));
      },
    });
    return promise;
  }

  suspect(id: string, reason: string): void {
    this.suspects.push({ id, reason });
  }

  logs(limit: number): LogLine[] {
    return [{ atMs: 1, instance: `${this.config.name}-1`, stream: 'stdout' as const, text: 'listening' }].slice(
      0,
      limit,
    );
  }

  onLog(): () => void {
    return () => {};
  }

  async close(): Promise<void> {
    this.closed = true;
    for (const instance of [...this.#instances]) this.#end(instance, '');
  }

  // ---- what a test makes happen

  /** Somebody else scales it up: an instance that nobody here asked for. */
  brought(): string {
    const instance = this.#made({});
    this.#instances.push(instance);
    this.#events.instance({ ...instance });
    return instance.id;
  }

  /** Somebody else scales it to zero. */
  takenAway(): void {
    this.told = 0;
    for (const instance of [...this.#instances]) this.#end(instance, 'its pod was deleted');
  }

  /** The oldest starting instance answers. */
  ready({ listens = true }: { listens?: boolean } = {}): string {
    const [instance] = this.of('starting');
    if (instance === undefined) throw new Error('nothing is starting');
    const port = 5000 + Number(instance.id.split('-').at(-1));
    const ports = this.config.ports === undefined ? {} : { ports: portsOf(this.config.ports, port) };
    this.#attempts = 0;
    const recovered = this.#crash !== null;
    this.#crash = null;
    this.#change(instance, {
      state: 'ready',
      address: listens ? { host: '127.0.0.1', port } : null,
      ...ports,
      readyAtMs: this.#time.wallMs(),
    });
    if (recovered) this.#events.crash(null);
    return instance.id;
  }

  /** The oldest starting instance ends with an error. */
  fail(backoffMs = 1000): void {
    const [instance] = this.of('starting');
    if (instance === undefined) throw new Error('nothing is starting');
    this.die(instance.id, backoffMs);
  }

  /** An instance ends unasked; `backoffMs` 0: it had been up for long. */
  die(id: string, backoffMs = 0): void {
    const instance = this.#instances.find((one) => one.id === id);
    if (instance === undefined) throw new Error(`no instance ${id}`);
    const atMs = this.#time.wallMs();
    if (backoffMs > 0) {
      this.#attempts++;
      this.#crash = {
        reason: 'it ended with code 1',
        atMs,
        retryAtMs: atMs + backoffMs,
        attempts: this.#attempts,
        lastLogLines: ['boom'],
      };
    }
    this.#end(instance, 'it ended');
    if (backoffMs > 0) this.#events.crash(this.#crash);
  }

  /** A run (scale.jobs) ends by itself; `backoffMs`: it failed. */
  finishRun(id: string, backoffMs = 0): void {
    const startedAtMs = this.#instances.find((one) => one.id === id)?.startedAtMs ?? 0;
    const ok = backoffMs === 0;
    const reason = `exited with code ${ok ? 0 : 1}`;
    this.#events.run?.({ id, startedAtMs, endedAtMs: this.#time.wallMs(), ok, reason });
    this.die(id, backoffMs);
  }

  unhealthy(id: string, state: 'unhealthy' | 'ready' = 'unhealthy'): void {
    const instance = this.#instances.find((one) => one.id === id);
    if (instance !== undefined) this.#change(instance, { state, reason: 'no answer' });
  }

  #change(instance: Instance, to: Partial<Instance>): void {
    Object.assign(instance, to);
    this.#events.instance({ ...instance });
  }

  #end(instance: Instance, reason: string): void {
    this.#instances = this.#instances.filter((one) => one !== instance);
    instance.state = 'gone';
    instance.reason = reason;
    this.#events.instance({ ...instance });
  }
}

/** Both ends in one object; delivery is inside `send`, the hardest case for whoever sends. */
export class FakeGateway {
  readonly id: string;
  readonly received: DownMessage[] = [];
  /** Backend -> what it was told last. */
  readonly known = new Map<string, BackendUpdate>();
  /** Called for each message, at once. */
  onDown: (message: DownMessage) => void = () => {};
  /** Answers drains by itself. */
  autoDrain = false;
  autoConfigure = true;
  closed = false;
  #up: (message: UpMessage) => void = () => {};
  #onClose: () => void = () => {};
  readonly #time: FakeTime;

  constructor(id: string, time: FakeTime) {
    this.id = id;
    this.#time = time;
  }

  readonly link: Link<DownMessage, UpMessage> = {
    send: (message) => {
      if (this.closed) return;
      const copy = JSON.parse(JSON.stringify(message)) as DownMessage;
      this.received.push(copy);
      if (copy.type === 'backend') {
        const before = this.known.get(copy.backend);
        if (before !== undefined && before.version >= copy.version)
          throw new Error(`${copy.backend}: version ${copy.version} after ${before.version}`);
        this.known.set(copy.backend, copy);
      }
      if (copy.type === 'configure' && this.autoConfigure) this.say({ type: 'configured', version: copy.version });
      this.onDown(copy);
      if (copy.type === 'backend' && this.autoDrain) this.drain(copy.backend);
    },
    onMessage: (handler) => {
      this.#up = handler;
    },
    onClose: (handler) => {
      this.#onClose = handler;
    },
    close: () => this.close(),
  };

  say(message: UpMessage): void {
    if (!this.closed) this.#up(JSON.parse(JSON.stringify(message)) as UpMessage);
  }

  hello(linkVersion = LINK_VERSION): void {
    this.say({ type: 'hello', gateway: this.id, pid: 1, linkVersion });
  }

  wake(backend: string): void {
    this.say({
      type: 'wake',
      backend,
      route: 'web',
      client: '10.0.0.9',
      method: 'GET',
      path: '/cart',
      atMs: this.#time.wallMs(),
    });
  }

  report(backend: string, window: Partial<DemandWindow> = {}): void {
    const nothing = {
      elapsedMs: 1000,
      concurrencyMs: 0,
      requests: 0,
      errors: 0,
      inFlight: 0,
      held: 0,
      tunnels: 0,
      lastActivityMs: 0,
    };
    this.say({ type: 'demand', windows: [{ ...nothing, backend, ...window }] });
  }

  /** Answers everything that drains in what was told last. */
  drain(backend: string, answer: { held?: number; lastActivityMs?: number } = {}): void {
    const known = this.known.get(backend);
    if (known === undefined) return;
    for (const endpoint of known.endpoints) {
      if (endpoint.state !== 'draining') continue;
      this.say({
        type: 'drained',
        backend,
        version: known.version,
        endpoint: endpoint.id,
        held: 0,
        lastActivityMs: 0,
        ...answer,
      });
    }
  }

  ready(backend: string): string[] {
    return (this.known.get(backend)?.endpoints ?? []).filter((one) => one.state === 'ready').map((one) => one.id);
  }

  draining(backend: string): string[] {
    return (this.known.get(backend)?.endpoints ?? []).filter((one) => one.state === 'draining').map((one) => one.id);
  }

  close(): void {
    if (this.closed) return;
    this.closed = true;
    this.#onClose();
  }
}

export interface BackendOptions {
  scale?: Partial<BackendConfig['scale']>;
  wake?: Partial<BackendConfig['wake']>;
  idle?: BackendConfig['idle'];
  process?: Partial<Extract<BackendConfig['source'], { driver: 'process' }>['process']>;
  servers?: { host: string; port: number; weight: number; backup?: boolean }[];
  /** A workload that others scale too. */
  kubernetes?: true;
  ports?: BackendConfig['ports'];
}

export function backendConfig(name: string, options: BackendOptions = {}): BackendConfig {
  const standard = defaultBackend(name);
  return {
    ...standard,
    source:
      options.kubernetes === true
        ? { driver: 'kubernetes', kubernetes: workload(name) }
        : options.servers === undefined
          ? {
              driver: 'process',
              process: {
                command: ['node', 'server.js'],
                cwd: '/',
                env: {},
                user: null,
                port: 'auto',
                socket: 'connect',
                ready: { kind: 'tcp' },
                startTimeoutMs: 60_000,
                stopGraceMs: 10_000,
                sleep: 'stop',
                crash: { backoffMs: 1000, maxBackoffMs: 60_000 },
                logs: { lines: 100 },
                ...options.process,
              },
            }
          : { driver: 'static', servers: options.servers.map((server) => ({ backup: false, ...server })) },
    scale: { ...standard.scale, ...options.scale },
    idle: options.idle ?? standard.idle,
    wake: { ...standard.wake, ...options.wake },
    ...(options.ports === undefined ? {} : { ports: options.ports }),
  };
}

function workload(name: string): KubernetesConfig {
  return {
    namespace: 'default',
    target: { apiVersion: 'apps/v1', kind: 'Deployment', name },
    service: name,
    port: 0,
    autoscaler: null,
    ready: 'probe',
  };
}

function portsOf(ports: NonNullable<BackendConfig['ports']>, first: number): Record<string, number> {
  return Object.fromEntries(ports.map(({ name }, index) => [name, first + 1000 * (index + 1)]));
}

export function configOf(backends: BackendConfig[]): [Config, GatewayConfig] {
  const config: Config = {
    workers: 1,
    stateDir: '/tmp/dormouse',
    shutdown: { delayMs: 0, drainMs: 30_000 },
    listeners: [],
    backends,
    routes: [],
    plugins: [],
    security: { trustedProxies: [], clients: { allow: [], deny: [] } },
    observe: null,
    admin: null,
    events: defaultEvents(),
    telemetry: { ...defaultTelemetry(), accessLog: { format: 'off', file: 'stdout', redact: [] } },
    reportIntervalMs: 1000,
  };
  const { stateDir: _stateDir, observe: _observe, admin: _admin, ...rest } = config;
  const gatewayBackends = backends.map(
    ({ source, health: _health, triggers: _triggers, ports: _ports, ...backend }) => ({
      ...backend,
      driver: source.driver,
    }),
  );
  return [config, { ...rest, traceToken: '', backends: gatewayBackends }];
}

export class World {
  readonly time = new FakeTime();
  readonly controller: Controller;
  readonly events: BackendEvent[] = [];
  readonly errors: string[] = [];
  readonly drivers: FakeDriver[] = [];
  readonly gateways: FakeGateway[] = [];

  constructor() {
    const numbers = new Map<string, number>();
    const collect = (message: string, fields?: Record<string, unknown>): void =>
      void this.errors.push(`${message} ${JSON.stringify(fields ?? {})}`);
    const logger: Logger = { debug() {}, info() {}, warn() {}, error: collect, child: () => logger };
    this.controller = new Controller({
      clock: this.time,
      timers: this.time,
      logger,
      createDriver: (config, events) => {
        const driver = new FakeDriver(config, events, this.time, numbers);
        this.drivers.push(driver);
        return driver;
      },
    });
    this.controller.onEvent((event) => this.events.push(event));
  }

  async configure(...backends: BackendConfig[]): Promise<void> {
    await this.controller.configure(...configOf(backends));
  }

  /** The same with a route to each of them. */
  async route(...backends: BackendConfig[]): Promise<void> {
    const [config, share] = configOf(backends);
    await this.controller.configure(
      { ...config, listeners: [defaultListener()], routes: backends.map(({ name }) => defaultRoute(name)) },
      share,
    );
  }

  gateway(id = `g${this.gateways.length + 1}`): FakeGateway {
    const gateway = new FakeGateway(id, this.time);
    this.gateways.push(gateway);
    this.controller.attach(id, gateway.link);
    gateway.hello();
    return gateway;
  }

  /** The newest driver of a backend. */
  driver(name: string): FakeDriver {
    const driver = this.drivers.findLast((one) => one.config.name === name);
    if (driver === undefined) throw new Error(`no driver of ${name}`);
    return driver;
  }

  status(name: string): BackendStatus {
    const status = this.controller.backends().find((one) => one.name === name);
    if (status === undefined) throw new Error(`no backend ${name}`);
    return status;
  }

  /** Kinds of events of one backend, in order. */
  told(name: string): string[] {
    return this.events.filter((event) => event.backend === name).map((event) => event.kind);
  }

  async end(): Promise<void> {
    await this.controller.close();
  }
}
