import { isDeepStrictEqual } from 'node:util';
import type { Link } from '../link/link.ts';
import { LINK_VERSION } from '../link/messages.ts';
import type { DownMessage, GatewayConfig, GatewayStatus, UpMessage } from '../link/messages.ts';
import { noAccessLog } from '../model/access.ts';
import type { AccessLog } from '../model/access.ts';
import type { ListenerConfig } from '../model/config.ts';
import { DormouseError } from '../model/errors.ts';
import type { MetricFamily } from '../model/metrics.ts';
import type { Clock, Logger, RandomSource } from '../model/ports.ts';
import { GatewayBackend } from './backend.ts';
import type { StrategyRegistry } from './balancing/strategy.ts';
import { GatewayCounters } from './counters.ts';
import { EndedRequests } from './ended-requests.ts';
import type { FilterRegistry, FilterServices } from './filters/filter.ts';
import { KeptParts } from './filters/kept-parts.ts';
import { RequestIds } from './forwarding/request-ids.ts';
import type { GatewayLimits } from './limits/create-shared-limits.ts';
import { GatewayListener } from './listener.ts';
import { prepareListeners, type ListenerRules } from './listener-rules.ts';
import type { ListenerSockets } from './listener-sockets.ts';
import { gatewayFamilies } from './metrics.ts';
import type { ProtocolHandlers } from './open-connection.ts';
import { RawStreams } from './protocols/tcp-streams.ts';
import { tunnelFamilies } from './protocols/tunnel-metrics.ts';
import { Runtime } from './runtime.ts';
import { SideCalls } from './side-call.ts';
import { RedirectLooks } from './redirect-watch.ts';
import { isTracing, RequestTracer } from './tracing/request-tracer.ts';
import type { TracerOptions } from './tracing/request-tracer.ts';
import { http2Handler } from './protocols/http2/open-http2.ts';
import { ReadBuffers } from './upstream/read-buffers.ts';
import type { SharedConnectionsFactory } from './upstream/shared-connections.ts';
import type { UpstreamEndpoint } from './upstream/endpoint.ts';
import { EndpointSecurities } from './upstream/endpoint-security.ts';

/** How often deadlines of connections are looked at, ms: a timeout is late by this much at most. */
const SWEEP_MS = 250;
/** How often backends with something open are looked at, ms. */
const TICK_MS = 100;
/** As node:tls wants them: name, HMAC key, AES key. */
const TICKET_KEYS_BYTES = 48;

export interface GatewayDeps {
  /** Name of this gateway, unique among those of the controller. */
  id: string;
  link: Link<UpMessage, DownMessage>;
  sockets: ListenerSockets;
  logger: Logger;
  clock: Clock;
  random: RandomSource;
  createAccessLog(config: GatewayConfig['telemetry']['accessLog']): AccessLog;
  strategies: StrategyRegistry;
  /** Loads those of these filters that are not a plugin's. */
  loadFilters(types: Iterable<string>): Promise<FilterRegistry>;
  /** Plugins; null: what the configuration names of them is left out. */
  plugins?: GatewayPlugins | null;
  /** Client connections that may be open at once, over all listeners (file descriptors). */
  maxConnections: number;
  /** The first configuration was refused: without one the gateway is of no use to anybody. */
  onUnconfigured?: () => void;
}

/** What plugins add to a gateway. */
export interface GatewayPlugins {
  /** `own` and what these plugins bring. Rejects when one can't be loaded; bounded in time. */
  parts(plugins: GatewayConfig['plugins'], own: GatewayParts): Promise<GatewayParts>;
  families(): MetricFamily[];
}

export interface GatewayParts {
  filters: FilterRegistry;
  strategies: StrategyRegistry;
}

/** The data plane: does what the controller says over the link, and tells it what it measures. */
export class Gateway {
  /** Resolves when the gateway has drained and its link is closed. */
  readonly closed: Promise<void>;
  readonly counters = new GatewayCounters();
  /** Set before `start`. */
  readonly handlers: ProtocolHandlers;
  private readonly streams: RawStreams;
  private readonly deps: GatewayDeps;
  private readonly backends = new Map<string, GatewayBackend>();
  private readonly listeners = new Map<string, GatewayListener>();
  private current: Runtime | null = null;
  private readonly buffers = new ReadBuffers();
  private http2: SharedConnectionsFactory | null = null;
  private readonly ids: RequestIds;
  /** Backends with something to report. */
  private readonly dirty = new Set<GatewayBackend>();
  /** Backends that the tick looks at. */
  private readonly ticking = new Set<GatewayBackend>();
  /** With which sessions of TLS clients are sealed: its own until the controller sends those that all gateways share. */
  /** Of TLS sessions; null: nobody has told or needed any. */
  private ticketKeys: Buffer | null = null;
  private readonly securities: EndpointSecurities;
  private accessLog: AccessLog = noAccessLog;
  /** Filters and strategies of the configuration in force, or of the one that is being put in force. */
  private parts: GatewayParts;
  private accessLogKey = '';
  private backlog: DownMessage[] | null = null;
  private reportTimer: NodeJS.Timeout | null = null;
  private reportMs = 0;
  private sweepTimer: NodeJS.Timeout | null = null;
  private tickTimer: NodeJS.Timeout | null = null;
  private stopping = false;
  private configured = false;
  /** Rises with each controller that has been greeted. */
  private linkGeneration = 0;
  /** The next configuration is a new controller's first: usually what is in force already. */
  private expectsSame = false;
  private leavingTold = false;
  private readonly sideCalls: SideCalls;
  private readonly tracer: RequestTracer;
  private readonly ended: EndedRequests;
  private readonly services: FilterServices;
  /** null: no configuration has needed any. */
  private limits: GatewayLimits | null = null;
  /** Backends whose clients reach their instances by themselves. */
  private readonly steered = new Set<string>();
  /** null: nobody has looked yet. */
  private redirects: RedirectLooks | null = null;
  private resolveClosed: () => void = () => {};

  constructor(deps: GatewayDeps) {
    this.deps = deps;
    this.securities = new EndpointSecurities(deps.logger);
    this.parts = { filters: {}, strategies: deps.strategies };
    let prefix = '';
    while (prefix.length < 12) prefix += Math.floor(deps.random() * 36).toString(36);
    this.ids = new RequestIds(prefix);
    const { clock, random } = deps;
    this.tracer = new RequestTracer({ traces: null, serverTiming: false, token: '', clock, random });
    this.ended = new EndedRequests(clock, (message) => deps.link.send(message));
    this.sideCalls = new SideCalls({
      backend: (name) => this.backends.get(name) ?? null,
      runtime: () => this.runtime,
      nowMs: deps.clock.nowMs,
      ids: this.ids,
    });
    const limits = (): GatewayLimits => {
      if (this.limits === null)
        throw new DormouseError('DORMOUSE_LIMITS_UNUSED', 'No filter of the configuration uses limits.');
      return this.limits;
    };
    this.services = {
      clock: deps.clock,
      logger: deps.logger,
      random: deps.random,
      get limits() {
        return limits();
      },
      kept: new KeptParts(),
      call: (backend, request, signal) => this.sideCalls.call(backend, request, signal),
    };
    this.streams = new RawStreams({ backend: (name) => this.backends.get(name), random: deps.random });
    this.handlers = { openHttp2: http2Handler(), openStream: this.streams.open };
    this.closed = new Promise((resolve) => {
      this.resolveClosed = resolve;
    });
  }

  get runtime(): Runtime {
    if (this.current === null)
      throw new DormouseError('DORMOUSE_GATEWAY_NOT_CONFIGURED', 'The gateway has no configuration yet.');
    return this.current;
  }

  get maxConnections(): number {
    let open = 0;
    for (const listener of this.listeners.values()) open += listener.connections.size;
    return open >= this.deps.maxConnections ? 0 : Number.MAX_SAFE_INTEGER;
  }

  get spareConnections(): number {
    return Math.ceil(this.deps.maxConnections / 10);
  }

  nowMs(): number {
    return this.deps.clock.nowMs();
  }

  /** Addresses that it listens on, by listener. */
  addresses(): Map<string, { host: string; port: number }> {
    return new Map(Array.from(this.listeners, ([name, listener]) => [name, listener.address]));
  }

  /** Greets the controller and begins to do what it says. */
  start(): void {
    const { link } = this.deps;
    link.onMessage((message) => this.receive(message));
    link.onClose(() => {
      this.limits?.end();
      if (!this.stopping) void this.shutdown(this.current?.config.shutdown.drainMs ?? 0);
    });
    this.hello();
    this.sweepTimer = setInterval(() => this.sweep(), SWEEP_MS);
    this.tickTimer = setInterval(() => this.tick(), TICK_MS);
  }

  private hello(): void {
    this.deps.link.send({ type: 'hello', gateway: this.deps.id, pid: process.pid, linkVersion: LINK_VERSION });
  }

  /**
   * Another controller is at the other end of the link, or the same one that has forgotten us: says everything anew that it has to know. What is in force
   * stays in force until it says something else; its configurations and updates count from 1 again.
   */
  relinked(): void {
    this.linkGeneration++;
    // What the former one said and is not done yet.
    if (this.backlog !== null) this.backlog = [];
    this.expectsSame = this.configured;
    this.hello();
    this.limits?.relinked();
    for (const backend of [...this.backends.values(), ...this.departed.values()]) {
      backend.relinked();
      if (backend.meter.active > 0 || backend.meter.tunnels > 0) this.touch(backend);
    }
    this.deps.link.send({
      type: 'known',
      backends: [...this.backends.values()].filter(({ version }) => version > 0).map(({ name }) => ({ name })),
    });
    this.report();
    if (this.leavingTold) this.deps.link.send({ type: 'leaving' });
  }

  /** Tells the controller that this gateway ends soon, also each one that comes later. Goes on as before until `drain`. */
  leave(): void {
    this.leavingTold = true;
    this.deps.link.send({ type: 'leaving' });
  }

  /** Accepts no more and answers what was accepted, holds too, within the bound; then the link is closed and `closed` resolves. A second call hurries. */
  drain(drainMs: number): void {
    void this.shutdown(drainMs);
  }

  /** A configuration is in force. */
  get isConfigured(): boolean {
    return this.configured;
  }

  private receive(message: DownMessage): void {
    if (message.type === 'limit-grant') {
      // Requests wait for it, whatever configuration comes next.
      this.limits?.receive(message);
      return;
    }
    if (this.backlog !== null) {
      this.backlog.push(message);
      return;
    }
    switch (message.type) {
      case 'configure':
        this.backlog = [];
        void this.configure(message.version, message.config).finally(() => {
          const waiting = this.backlog ?? [];
          this.backlog = null;
          for (const next of waiting) this.receive(next);
        });
        return;
      case 'backend': {
        const backend = this.backends.get(message.backend) ?? this.departed.get(message.backend);
        if (backend !== undefined) {
          this.watch(backend);
          backend.apply(message);
          this.steer(message.backend, message.direct === true);
        }
        if (message.endpoints.length === 0) this.departed.delete(message.backend);
        this.deps.link.send({ type: 'applied', backend: message.backend, version: message.version });
        return;
      }
      case 'lease':
        this.backends.get(message.backend)?.grant(message.holds, message.bytes);
        return;
      case 'collect':
        this.deps.link.send({
          type: 'collected',
          id: message.id,
          metrics: this.families(),
          status: this.status(),
        });
        return;
      case 'redirect-watch':
      case 'redirect-probe':
      case 'redirect-end':
        this.redirects ??= new RedirectLooks({
          listener: (name) => this.listeners.get(name) ?? null,
          send: (answer) => this.deps.link.send(answer),
        });
        this.redirects.receive(message);
        return;
      case 'ticket-keys':
        this.useTicketKeys(Buffer.from(message.keys, 'base64'));
        return;
      case 'shutdown':
        void this.shutdown(message.drainMs);
    }
  }

  /** What it has counted; nothing before the first configuration. */
  families(): MetricFamily[] {
    if (this.current === null) return [];
    return [
      ...gatewayFamilies(this.counters, this.current, this.backends, this.listeners.values()),
      ...(this.limits?.families() ?? []),
      ...tunnelFamilies(
        this.current.routeCounters.flatMap((counters) => [...counters.tunnels.values()]),
        this.streams,
      ),
      ...(this.deps.plugins?.families() ?? []),
    ];
  }

  /** Listeners that are for this backend alone are named after it. */
  private steer(backend: string, away: boolean): void {
    if (away === this.steered.has(backend)) return;
    if (away) this.steered.add(backend);
    else this.steered.delete(backend);
    for (const [name, listener] of this.listeners) if (name.startsWith(`${backend}:`)) listener.steerAway(away);
  }

  private useTicketKeys(keys: Buffer): void {
    if (keys.length !== TICKET_KEYS_BYTES) {
      this.deps.logger.error('keys of TLS sessions have a wrong length and are not used', { bytes: keys.length });
      return;
    }
    this.ticketKeys = keys;
    for (const listener of this.listeners.values()) listener.rules.tls?.setTicketKeys(keys);
  }

  /** Compiles and opens everything first; only then does anything change. */
  private async configure(version: number, config: GatewayConfig): Promise<void> {
    const generation = this.linkGeneration;
    // An answer is for who asked: another controller would take it for one to its own.
    const answer = (message: UpMessage): void => {
      if (generation === this.linkGeneration) this.deps.link.send(message);
    };
    // Nothing new begins here any more.
    if (this.stopping) return answer({ type: 'configured', version });
    const isExpected = this.expectsSame && isDeepStrictEqual(config, this.current?.config);
    this.expectsSame = false;
    if (isExpected) return answer({ type: 'configured', version });
    const created = new Map<string, GatewayBackend>();
    const opened: GatewayListener[] = [];
    /** Listeners that end with this configuration, and who listens at their address then. */
    const heirs = new Map<GatewayListener, GatewayListener>();
    let accessLog = this.accessLog;
    const tracerOptions = this.tracerOptions(config);
    let runtime: Runtime | null = null;
    let prepared: Awaited<ReturnType<typeof prepareListeners>> | null = null;
    let secured: Awaited<ReturnType<EndpointSecurities['prepare']>> | null = null;
    const formerParts = this.parts;
    try {
      if (config.listeners.some(({ protocol }) => protocol === 'tcp' || protocol === 'tls')) await this.streams.load();
      if (this.limits === null && needsLimits(config)) this.limits = await this.createLimits();
      this.parts = await this.partsFor(config);
      if (this.http2 === null && config.backends.some(({ endpoints }) => /^h2c?$/.test(endpoints.protocol)))
        this.http2 = (await import('./upstream/http2-connections.ts')).http2Connections();
      secured = await this.securities.prepare(config.backends);
      const backends = new Map<string, GatewayBackend>();
      for (const backendConfig of config.backends) {
        const known = this.backends.get(backendConfig.name);
        if (known !== undefined && known.config.driver === backendConfig.driver) {
          known.check(backendConfig);
          backends.set(known.name, known);
        } else {
          const backend = this.createBackend(backendConfig);
          created.set(backend.name, backend);
          backends.set(backend.name, backend);
        }
      }
      accessLog = this.accessLogFor(config);
      runtime = new Runtime(
        {
          config,
          backends,
          filters: this.parts.filters,
          services: this.services,
          sideCalls: this.sideCalls,
          tracer: isTracing(tracerOptions) ? this.tracer : null,
          clock: this.deps.clock,
          logger: this.deps.logger,
          random: this.deps.random,
          ids: this.ids,
          accessLog,
          counters: this.counters,
          ended: config.events.each ? this.ended : null,
          touch: (backend) => this.touch(backend),
        },
        this.current,
      );
      prepared = await prepareListeners(config, (listener) => this.keptListener(listener)?.rules ?? null, {
        logger: this.deps.logger,
        clock: this.deps.clock,
        ticketKeys: () => (this.ticketKeys ??= process.getBuiltinModule('node:crypto').randomBytes(TICKET_KEYS_BYTES)),
      });
      for (const listenerConfig of config.listeners) {
        if (this.keptListener(listenerConfig) !== null) continue;
        const listener = new GatewayListener(prepared.rules.get(listenerConfig.name)!, this);
        const target = await this.deps.sockets.open(listenerConfig);
        const former = 'handle' in target ? null : this.endingAt(listenerConfig, config);
        if (former === null) await listener.open(target);
        else heirs.set(former, listener);
        opened.push(listener);
      }
      this.commit(config, runtime, backends, opened, heirs, prepared.rules, accessLog);
      secured.commit();
      this.configured = true;
      answer({ type: 'configured', version });
    } catch (error) {
      this.parts = formerParts;
      if (runtime !== this.current) runtime?.retire();
      for (const listener of opened) void listener.drain();
      prepared?.close();
      secured?.abandon();
      // Opened for a configuration that never came into force; the key still names the former one.
      if (accessLog !== this.accessLog) void accessLog.close();
      for (const backend of created.values()) backend.dispose();
      answer({ type: 'refused', version, reason: error instanceof Error ? error.message : String(error) });
      if (!this.configured) this.deps.onUnconfigured?.();
    }
  }

  private async createLimits(): Promise<GatewayLimits> {
    const { createSharedLimits } = await import('./limits/create-shared-limits.ts');
    const { clock, logger, link } = this.deps;
    return createSharedLimits({
      clock,
      logger,
      send: (message) => link.send(message),
      workers: () => this.current?.config.workers ?? 1,
    });
  }

  private async partsFor(config: GatewayConfig): Promise<GatewayParts> {
    const { loadFilters, strategies, plugins = null } = this.deps;
    const used = config.routes.flatMap(({ rules }) => rules.flatMap((rule) => rule.filters.map(({ type }) => type)));
    const own = { filters: await loadFilters(used), strategies };
    return plugins === null || config.plugins.length === 0 ? own : plugins.parts(config.plugins, own);
  }

  private commit(
    config: GatewayConfig,
    runtime: Runtime,
    backends: ReadonlyMap<string, GatewayBackend>,
    opened: readonly GatewayListener[],
    heirs: ReadonlyMap<GatewayListener, GatewayListener>,
    rules: ReadonlyMap<string, ListenerRules>,
    accessLog: AccessLog,
  ): void {
    for (const backendConfig of config.backends) {
      const known = this.backends.get(backendConfig.name);
      if (known === backends.get(backendConfig.name)) known?.reconfigure(backendConfig);
    }
    for (const [name, backend] of this.departed) if (backend.isEmpty || backends.has(name)) this.departed.delete(name);
    for (const [name, backend] of this.backends) {
      if (backends.get(name) === backend) continue;
      backend.dispose();
      this.backends.delete(name);
      if (!backends.has(name)) this.departed.set(name, backend);
    }
    for (const [name, backend] of backends) this.backends.set(name, backend);
    this.current?.retire();
    this.tracer.configure(this.tracerOptions(config));
    this.current = runtime;
    this.streams.configured(config);
    for (const [name, listener] of this.listeners) {
      const next = rules.get(name);
      if (next !== undefined && sameAddress(listener.config, next.config)) listener.reconfigure(next);
      else {
        this.listeners.delete(name);
        heirs.get(listener)?.start(listener);
        void listener.drain();
        this.leaving.add(listener);
      }
    }
    for (const listener of opened) {
      this.listeners.set(listener.config.name, listener);
      listener.steersAway = this.steered.has(listener.config.name.slice(0, listener.config.name.lastIndexOf(':')));
    }
    const inherited = new Set(heirs.values());
    for (const listener of opened) if (!inherited.has(listener)) listener.start(null);
    if (accessLog !== this.accessLog) {
      void this.accessLog.close();
      this.accessLog = accessLog;
      this.accessLogKey = accessLogKey(config);
    }
    if (this.reportMs !== config.reportIntervalMs) {
      this.reportMs = config.reportIntervalMs;
      if (this.reportTimer !== null) clearInterval(this.reportTimer);
      this.reportTimer = setInterval(() => this.report(), this.reportMs);
    }
  }

  /** Backends that a reload took away: the controller drains their endpoints next, and waits for our word that nothing is in flight. */
  private readonly departed = new Map<string, GatewayBackend>();

  /** Listeners that a reload took away and whose connections are still being answered. */
  private readonly leaving = new Set<GatewayListener>();

  /** The listener that goes on with this configuration; null: its address is a new one. */
  private keptListener(config: ListenerConfig): GatewayListener | null {
    const known = this.listeners.get(config.name);
    return known !== undefined && sameAddress(known.config, config) ? known : null;
  }

  /** The listener that has this address now and will be no more, under another name. Any free port is nobody's address. */
  private endingAt(wanted: ListenerConfig, config: GatewayConfig): GatewayListener | null {
    if (wanted.address.port === 0) return null;
    for (const [name, listener] of this.listeners) {
      if (!sameAddress(listener.config, wanted)) continue;
      const next = config.listeners.find((one) => one.name === name);
      return next !== undefined && sameAddress(next, wanted) ? null : listener;
    }
    return null;
  }

  private accessLogFor(config: GatewayConfig): AccessLog {
    if (accessLogKey(config) === this.accessLogKey) return this.accessLog;
    return config.telemetry.accessLog.format === 'off'
      ? noAccessLog
      : this.deps.createAccessLog(config.telemetry.accessLog);
  }

  private tracerOptions(config: GatewayConfig): TracerOptions {
    const { clock, random } = this.deps;
    const { traces, serverTiming } = config.telemetry;
    return { traces, serverTiming, token: config.traceToken, clock, random };
  }

  private createBackend(config: GatewayConfig['backends'][number]): GatewayBackend {
    return new GatewayBackend(config, {
      clock: this.deps.clock,
      logger: this.deps.logger.child({ backend: config.name }),
      security: (of) => this.securities.for(of),
      buffers: this.buffers,
      http2: () => this.http2,
      send: (message) => this.deps.link.send(message),
      createStrategy: (backendConfig) => {
        const factory = this.parts.strategies[backendConfig.balance.strategy];
        if (factory === undefined) {
          throw new DormouseError(
            'DORMOUSE_STRATEGY_UNKNOWN',
            `backends.${backendConfig.name}.balance.strategy: there is no strategy "${backendConfig.balance.strategy}".`,
            {
              userFault: true,
            },
          );
        }
        return factory<UpstreamEndpoint>(backendConfig.balance);
      },
    });
  }

  private touch(backend: GatewayBackend): void {
    if (!backend.meter.dirty) {
      backend.meter.dirty = true;
      this.dirty.add(backend);
    }
    if (!backend.ticking) this.watch(backend);
  }

  private watch(backend: GatewayBackend): void {
    backend.ticking = true;
    this.ticking.add(backend);
  }

  /** One window per backend on which something happened or is going on. */
  private report(): void {
    const traces = this.tracer.take();
    if (traces !== null) this.deps.link.send({ type: 'traces', ...traces });
    if (this.dirty.size === 0) return;
    const windows = [];
    for (const backend of this.dirty) {
      const window = backend.meter.take(backend.name, backend.queue.size, this.deps.clock);
      windows.push(window);
      if (window.requests === 0 && backend.meter.active === 0 && backend.meter.tunnels === 0) {
        backend.meter.dirty = false;
        this.dirty.delete(backend);
      }
    }
    this.deps.link.send({ type: 'demand', windows });
  }

  private sweep(): void {
    const nowMs = this.nowMs();
    for (const listener of this.listeners.values()) listener.sweep(nowMs);
    for (const listener of this.leaving) {
      listener.sweep(nowMs);
      if (listener.connections.size === 0) this.leaving.delete(listener);
    }
  }

  private tick(): void {
    const nowMs = this.nowMs();
    for (const backend of this.ticking) {
      backend.tick(nowMs);
      if (backend.quiet && !backend.meter.dirty) {
        backend.ticking = false;
        this.ticking.delete(backend);
      }
    }
  }

  private status(): GatewayStatus {
    let connections = 0;
    for (const listener of this.listeners.values()) connections += listener.connections.size;
    const backends = [];
    for (const backend of this.backends.values()) {
      const { meter, queue } = backend;
      const breaker = backend.resilience.breakerState;
      const ejected = backend.pool.ejected();
      const isWell = ejected.length === 0 && (breaker === null || breaker === 'closed');
      if (meter.active === 0 && meter.tunnels === 0 && isWell) continue;
      backends.push({
        name: backend.name,
        inFlight: meter.active - queue.size,
        held: queue.size,
        heldBytes: queue.bytes,
        tunnels: meter.tunnels,
        breaker,
        ejected,
      });
    }
    return { connections, backends, rssBytes: process.memoryUsage.rss() };
  }

  /** Accepts no more, answers what was accepted (holds too, while the controller still wakes backends), cuts the rest when the bound has passed. */
  private async shutdown(drainMs: number): Promise<void> {
    const listeners = [...this.listeners.values(), ...this.leaving];
    if (this.stopping) {
      // Told again: hurry.
      for (const listener of listeners) listener.destroy();
      return;
    }
    this.stopping = true;
    const bound = setTimeout(() => {
      for (const listener of listeners) listener.destroy();
    }, drainMs);
    await Promise.all(listeners.map((listener) => listener.drain()));
    clearTimeout(bound);
    for (const timer of [this.reportTimer, this.sweepTimer, this.tickTimer]) if (timer !== null) clearInterval(timer);
    this.report();
    this.ended.flush();
    for (const backend of this.backends.values()) backend.dispose();
    this.current?.retire();
    this.limits?.end();
    this.securities.close();
    await this.accessLog.close();
    this.deps.link.close();
    this.resolveClosed();
  }
}

/** Whether any filter may count across workers. */
function needsLimits({ routes, plugins }: GatewayConfig): boolean {
  return (
    plugins.length > 0 ||
    routes.some(({ rules }) =>
      rules.some(({ filters }) => filters.some(({ type }) => type === 'rateLimit' || type === 'concurrency')),
    )
  );
}

function accessLogKey(config: GatewayConfig): string {
  return JSON.stringify(config.telemetry.accessLog);
}

function sameAddress(a: ListenerConfig, b: ListenerConfig): boolean {
  return a.address.host === b.address.host && a.address.port === b.address.port;
}
