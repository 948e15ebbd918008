import { isDeepStrictEqual } from 'node:util';
import type { BackendUpdate, GatewayBackendConfig, UpMessage } from '../link/messages.ts';
import type { Crash, BackendPhase } from '../model/backend.ts';
import type { Clock, Logger } from '../model/ports.ts';
import { isTlsFault } from '../tls/tls-fault.ts';
import { EndpointPool } from './balancing/endpoint-pool.ts';
import type { Strategy } from './balancing/strategy.ts';
import { DemandMeter } from './demand-meter.ts';
import { Allowance } from './hold/allowance.ts';
import { HoldQueue } from './hold/hold-queue.ts';
import { WakeRules } from './hold/wake-rules.ts';
import type { StandIn } from './hold/wake-rules.ts';
import type { Waiter } from './hold/waiter.ts';
import { DurationHistogram } from './counters.ts';
import { ClientRules } from './forwarding/client-rules.ts';
import type { RequestView } from './request-view.ts';
import { Resilience } from './resilience/resilience.ts';
import type { Fallback } from './resilience/fallback.ts';
import type { ResultKind, RetryKind } from './resilience/resilience.ts';
import type { UpstreamOptions } from './upstream/connection.ts';
import type { EndpointSecurity } from './upstream/socket.ts';
import type { UpstreamEndpoint } from './upstream/endpoint.ts';
import type { ReadBuffers } from './upstream/read-buffers.ts';
import type { SharedConnectionsFactory } from './upstream/shared-connections.ts';

/** Released holds that may wait for a first byte at once, per ready endpoint: a fresh instance isn't flooded over its accept queue. */
const RELEASE_WINDOW = 128;
/** When released requests don't answer (long polls), this many more are let go every tick. */
const RELEASE_ESCAPE = 32;
/** Bounds of a response head from an endpoint. */
const RESPONSE_LIMITS = Object.freeze({ headerBytes: 65_536, headers: 256, uriBytes: 1 });
/** TLS towards endpoints that fails is logged this often at most, ms. */
const TLS_LOG_MS = 10_000;
/** How long an endpoint that refused a connection gets nothing, ms. */
const SUSPEND_MS = 100;
/** The same for a process that closed a connection without an answer: it may be ending. */
const BROKEN_MS = 20;
/** A gateway that still holds says so again after this long, ms: a poke may have been lost with a link. */
const POKE_AGAIN_MS = 1000;

export interface BackendDeps {
  clock: Clock;
  logger: Logger;
  send(message: UpMessage): void;
  createStrategy(config: GatewayBackendConfig): Strategy<UpstreamEndpoint>;
  buffers: ReadBuffers;
  /** Loaded when some backend of the configuration has endpoints that speak HTTP/2. */
  http2?: () => SharedConnectionsFactory | null;
  /** TLS and PROXY headers of its connections; null or left out: plain TCP. */
  security?: (config: GatewayBackendConfig) => EndpointSecurity | null;
}

/** One backend as this gateway sees it: its endpoints, who waits for it, what it was asked to do. */
export class GatewayBackend {
  readonly name: string;
  config: GatewayBackendConfig;
  phase: BackendPhase = 'asleep';
  /** Version of the last update; 0: none came yet. */
  version = 0;
  crash: Crash | null = null;
  wakingSinceMs = 0;
  readonly pool: EndpointPool;
  readonly resilience: Resilience;
  readonly queue = new HoldQueue<Waiter>();
  readonly meter = new DemandMeter();
  readonly holdDuration = new DurationHistogram();
  readonly connectDuration = new DurationHistogram();
  /** From a request's first byte on its way to the head of its response. */
  readonly firstByteDuration = new DurationHistogram();
  connectFailures = 0;
  connects = 0;
  holdsRefused = 0;
  holdsExpired = 0;
  private readonly deps: BackendDeps;
  private upstreamOptions: UpstreamOptions;
  /** In the gateway's set of backends that its tick looks at. */
  ticking = false;
  private allowance: Allowance;
  private wakeRules: WakeRules | null;
  /** Who may ask it; null: everybody. */
  clients: ClientRules | null;
  private pokedAtMs = -1;
  private tlsLoggedMs = Number.NEGATIVE_INFINITY;
  /** Those released from the queue whose response has not begun. */
  private unanswered = 0;
  private escape = 0;
  private releasing = false;
  /** Not in the configuration any more: nothing waits for it. */
  isRemoved = false;

  constructor(config: GatewayBackendConfig, deps: BackendDeps) {
    this.name = config.name;
    this.config = config;
    this.deps = deps;
    this.wakeRules = WakeRules.compile(config.wake, config.name);
    this.clients = ClientRules.compile(config.clients, `backends.${config.name}.clients`);
    this.resilience = new Resilience(config, deps.logger);
    this.pool = new EndpointPool(config, {
      createStrategy: deps.createStrategy,
      onEjected: (endpoint, reason, forMs) => this.resilience.ejected(endpoint.id, reason, forMs),
      onReturned: (endpoint) => this.resilience.returned(endpoint.id),
    });
    this.allowance = this.createAllowance();
    this.upstreamOptions = this.createUpstreamOptions();
  }

  get endpoints(): ReadonlyMap<string, UpstreamEndpoint> {
    return this.pool.all;
  }

  private createUpstreamOptions(): UpstreamOptions {
    return {
      limits: RESPONSE_LIMITS,
      connectTimeoutMs: this.config.endpoints.connectTimeoutMs,
      connectDuration: this.connectDuration,
      idlePerEndpoint: this.config.endpoints.idlePerEndpoint,
      buffers: this.deps.buffers,
      shared: this.speaksHttp2 ? (this.deps.http2?.() ?? null) : null,
      maxConnections: this.config.endpoints.maxConnections,
      security: this.deps.security?.(this.config) ?? null,
      nowMs: this.deps.clock.nowMs,
    };
  }

  private get speaksHttp2(): boolean {
    const { protocol } = this.config.endpoints;
    return protocol === 'h2c' || protocol === 'h2';
  }

  private createAllowance(): Allowance {
    return new Allowance(this.config.wake.maxHeld, this.config.wake.maxHeldBytes, (type, holds, bytes) =>
      this.deps.send({ type, backend: this.name, holds, bytes }),
    );
  }

  /** Throws when `reconfigure` could not adopt this configuration. */
  check(config: GatewayBackendConfig): void {
    this.deps.createStrategy(config);
    WakeRules.compile(config.wake, config.name);
    ClientRules.compile(config.clients, `backends.${config.name}.clients`);
  }

  /** A reload changed its balancing, hold bounds or pools; endpoints and holds stay. */
  reconfigure(config: GatewayBackendConfig): void {
    const before = this.config;
    this.config = config;
    const formerOptions = this.upstreamOptions;
    this.upstreamOptions = this.createUpstreamOptions();
    // What runs was started to be spoken to as before; those that take its place come with the controller's next word.
    if (!isDeepStrictEqual(speech(before), speech(config)))
      for (const endpoint of this.endpoints.values()) endpoint.formerOptions ??= formerOptions;
    if (before.wake.maxHeld !== config.wake.maxHeld || before.wake.maxHeldBytes !== config.wake.maxHeldBytes) {
      this.deps.send({
        type: 'lease-return',
        backend: this.name,
        holds: this.allowance.holds,
        bytes: this.allowance.bytes,
      });
      this.allowance = this.createAllowance();
      if (this.queue.size > 0) this.allowance.ask(this.queue.size, this.queue.bytes);
    }
    this.wakeRules = WakeRules.compile(config.wake, config.name);
    this.clients = ClientRules.compile(config.clients, `backends.${config.name}.clients`);
    this.resilience.reconfigure(config);
    this.pool.reconfigure(config, this.deps.clock.nowMs());
  }

  /** Applies the controller's word about this backend. Atomic: nothing is sent to an endpoint between the first and the last line. */
  apply(update: BackendUpdate): void {
    this.version = update.version;
    this.phase = update.phase;
    this.crash = update.crash;
    this.wakingSinceMs = update.wakingSinceMs;
    this.pokedAtMs = -1;
    this.pool.apply(update.endpoints, update.version, this.deps.clock.nowMs());
    for (const endpoint of this.endpoints.values()) this.settleDrain(endpoint);
    if (this.hasReady) this.release();
    else if (this.crash !== null && this.deps.clock.wallMs() < this.crash.retryAtMs) this.failHolds();
    else if (this.queue.size > 0 && this.phase === 'asleep') this.poke(this.queue.head!);
  }

  /** Something is asked before a request goes to it: client rules, wake rules, a breaker. */
  get guarded(): boolean {
    return this.clients !== null || this.wakeRules !== null || this.resilience.breakerState !== null;
  }

  get hasReady(): boolean {
    return this.pool.usableCount > 0;
  }

  /** A static backend all of whose servers are out: waiting would not help. */
  get isDown(): boolean {
    return this.config.driver === 'static' && this.version > 0 && !this.hasReady && !this.pool.anySuspended;
  }

  /** The crash that requests are to be refused with now, or null. */
  activeCrash(): Crash | null {
    if (this.crash === null || this.hasReady) return null;
    return this.deps.clock.wallMs() < this.crash.retryAtMs ? this.crash : null;
  }

  /** How connections to this endpoint are opened. */
  optionsFor(endpoint: UpstreamEndpoint): UpstreamOptions {
    return endpoint.formerOptions ?? this.upstreamOptions;
  }

  /** An endpoint for this waiter, or null when it has to wait. */
  pick(waiter: Waiter): UpstreamEndpoint | null {
    return this.pool.pick(waiter);
  }

  // ---- Breaker, ejection, retries: see resilience/

  /** Whether a request may be sent now; false: it gets the fallback. While the breaker tries the backend this takes one of the trials. */
  admit(nowMs: number): boolean {
    return this.resilience.admit(nowMs);
  }

  /** Whether `result` has any use: otherwise it need not be told, nor the time be looked at. */
  get judges(): boolean {
    return this.pool.judges || this.resilience.breakerState !== null;
  }

  /** What one try came to; each admitted request tells at least one. 'cancelled': nothing is known, the client left. */
  result(endpoint: UpstreamEndpoint, kind: ResultKind, nowMs: number, generation = this.resilience.generation): void {
    this.resilience.result(kind, nowMs, generation);
    if (kind !== 'cancelled') this.pool.result(endpoint, kind !== 'ok', nowMs);
  }

  countRequest(nowMs: number): void {
    this.resilience.budget.countRequest(nowMs);
  }

  /** Whether a failed request may be sent once more: takes a part of the retry budget. Not to be asked when a connection could not be opened. */
  mayRetry(nowMs: number, budgetPercent = 20, kind: RetryKind = 'error'): boolean {
    return this.resilience.mayRetry(nowMs, budgetPercent, kind);
  }

  /** What is answered to a request that was not admitted; null without a breaker. */
  fallback(): Fallback | null {
    return this.resilience.fallback(this.name, this.deps.clock.nowMs());
  }

  /** The Set-Cookie line that keeps this client at this endpoint; '' when it has it, or needs none. */
  stickyLine(waiter: Waiter, endpoint: UpstreamEndpoint): string {
    return this.pool.stickyLine(waiter, endpoint);
  }

  /** What is answered instead of waking it (wake.answers); null: nothing, or an instance is ready. */
  wakeAnswer(view: RequestView): StandIn | null {
    return this.wakeRules === null || this.hasReady ? null : this.wakeRules.answer(view);
  }

  /** Whether this client may wake it, or wait for it (wake.never). */
  mayWake(view: RequestView | null, client: string): boolean {
    return this.wakeRules === null || this.hasReady || this.wakeRules.mayWake(view, client);
  }

  /** True when a new one has to go behind others that wait. */
  get mustQueue(): boolean {
    return this.queue.size > 0;
  }

  /** Takes it into the queue, or says false: it is full. */
  hold(waiter: Waiter): boolean {
    const wake = this.config.wake;
    if (this.queue.size >= wake.maxHeld || this.queue.bytes + waiter.heldBytes > wake.maxHeldBytes) {
      this.holdsRefused++;
      return false;
    }
    if (waiter.wasTried) this.queue.unshift(waiter);
    else this.queue.push(waiter);
    if (!this.allowance.covers(this.queue.size, this.queue.bytes))
      this.allowance.ask(this.queue.size, this.queue.bytes);
    if (!this.hasReady) this.poke(waiter);
    return true;
  }

  /** More of a held request's body was read. */
  grew(waiter: Waiter, bytes: number): void {
    this.queue.grow(waiter, bytes);
    if (!this.allowance.covers(this.queue.size, this.queue.bytes))
      this.allowance.ask(this.queue.size, this.queue.bytes);
  }

  grant(holds: number, bytes: number): void {
    this.allowance.grant(holds, bytes);
    if (this.allowance.covers(this.queue.size, this.queue.bytes)) return;
    if (holds > 0 || bytes > 0) {
      this.allowance.ask(this.queue.size, this.queue.bytes);
      return;
    }
    // Nothing is left: who came last is refused, until the rest fits.
    while (this.queue.tail !== null && !this.allowance.covers(this.queue.size, this.queue.bytes)) {
      this.holdsRefused++;
      const waiter = this.queue.tail;
      this.queue.remove(waiter);
      waiter.refuseHold('full');
    }
  }

  /** Tells the controller that somebody waits, once per update and second. */
  poke(waiter: Waiter): void {
    const nowMs = this.deps.clock.nowMs();
    if (this.pokedAtMs >= 0 && nowMs - this.pokedAtMs < POKE_AGAIN_MS) return;
    this.pokedAtMs = nowMs;
    this.deps.send({
      type: 'wake',
      backend: this.name,
      route: waiter.routeName,
      client: waiter.client,
      method: waiter.method,
      path: waiter.pathForLog(),
      host: waiter.hostForLog,
      requestId: waiter.requestId,
      atMs: this.deps.clock.wallMs(),
    });
  }

  /**
   * Another controller has been greeted. It is told what a former one leased, and at once that somebody waits; what the former one asked to be drained is nothing
   * that this one waits for.
   */
  relinked(): void {
    for (const endpoint of this.endpoints.values()) endpoint.drainVersion = 0;
    const { holds, bytes } = this.allowance;
    if (holds > 0 || bytes > 0) this.deps.send({ type: 'leases-held', backend: this.name, holds, bytes });
    this.allowance.forgetAsk();
    if (this.queue.head === null) return;
    if (!this.allowance.covers(this.queue.size, this.queue.bytes))
      this.allowance.ask(this.queue.size, this.queue.bytes);
    this.pokedAtMs = -1;
    if (!this.hasReady) this.poke(this.queue.head);
  }

  /** Lets go of as many as may go, in the order of their arrival. */
  release(): void {
    if (this.releasing) return;
    this.releasing = true;
    try {
      const window = RELEASE_WINDOW * Math.max(1, this.pool.usableCount) + this.escape;
      while (this.queue.head !== null && this.unanswered < window) {
        const waiter = this.queue.head;
        if (!waiter.lookedForDeparture(() => this.release())) break;
        const endpoint = this.pick(waiter);
        if (endpoint === null) {
          if (waiter.tried === null || !this.hasReady) break;
          // It has tried all of them: from the start again.
          waiter.tried = null;
          continue;
        }
        this.queue.remove(waiter);
        this.unanswered++;
        this.holdDuration.observe(waiter.release(endpoint));
      }
    } finally {
      this.releasing = false;
    }
  }

  /** The response to a released one began, or it ended without one. */
  answered(): void {
    this.unanswered--;
    if (this.queue.size > 0) this.release();
  }

  private failHolds(): void {
    while (this.queue.head !== null) {
      const waiter = this.queue.head;
      this.queue.remove(waiter);
      waiter.refuseHold('crashing');
    }
  }

  /** A connect failed: the endpoint gets nothing for a moment, and the controller hears of it if it was the endpoint's fault. */
  suspect(endpoint: UpstreamEndpoint, reason: string, tell: boolean): void {
    this.connectFailures++;
    this.suspend(endpoint, SUSPEND_MS);
    if (this.config.tls !== null && isTlsFault(reason)) this.logTlsFault(endpoint, reason);
    if (tell) this.deps.send({ type: 'suspect', backend: this.name, endpoint: endpoint.id, reason });
  }

  /** Clients are not told why, so that somebody else has to be. */
  private logTlsFault(endpoint: UpstreamEndpoint, reason: string): void {
    const nowMs = this.deps.clock.nowMs();
    if (nowMs - this.tlsLoggedMs < TLS_LOG_MS) return;
    this.tlsLoggedMs = nowMs;
    this.deps.logger.warn('TLS to an endpoint failed', { endpoint: endpoint.id, reason });
  }

  /**
   * It closed a connection without an answer. If its process is ending, the kernel still accepts for it for some milliseconds, and what is sent there
   * is lost: whoever comes now waits until it is known.
   */
  broke(endpoint: UpstreamEndpoint, reason: string): void {
    if (this.config.driver !== 'process') return;
    this.suspend(endpoint, BROKEN_MS);
    this.deps.send({ type: 'suspect', backend: this.name, endpoint: endpoint.id, reason });
  }

  private suspend(endpoint: UpstreamEndpoint, forMs: number): void {
    endpoint.suspendedUntilMs = this.deps.clock.nowMs() + forMs;
    this.pool.refresh(this.deps.clock.nowMs());
    setTimeout(() => {
      if (endpoint.removed) return;
      this.pool.refresh(this.deps.clock.nowMs());
      this.release();
    }, forMs + 1);
  }

  /** One exchange less on this endpoint: whoever waits for its turn there may go. */
  freed(endpoint: UpstreamEndpoint): void {
    if (endpoint.drainVersion !== 0) this.settleDrain(endpoint);
    if (this.queue.size > 0 && this.hasReady) this.release();
  }

  /** Answers `drained` when an endpoint that shall be drained has nothing in flight any more. */
  settleDrain(endpoint: UpstreamEndpoint): void {
    if (endpoint.drainVersion === 0 || endpoint.inFlight > 0) return;
    const ignoreTunnels = this.phase === 'falling-asleep' && this.config.idle.webSockets === 'ignore';
    if (endpoint.tunnels > 0 && !ignoreTunnels) return;
    endpoint.closeIdle();
    const version = endpoint.drainVersion;
    endpoint.drainVersion = 0;
    this.deps.send({
      type: 'drained',
      backend: this.name,
      version,
      endpoint: endpoint.id,
      held: this.queue.size,
      lastActivityMs: this.meter.wallOfLastActivity(this.deps.clock),
    });
  }

  /** Called every 100 ms or so while anything is open on it. */
  tick(nowMs: number): void {
    this.resilience.tick(nowMs);
    this.pool.tick(nowMs);
    for (const endpoint of this.endpoints.values()) {
      const maxIdleMs = this.config.endpoints.idleTimeoutMs;
      while (endpoint.idle.length > 0 && nowMs - endpoint.idle[0]!.idleSinceMs >= maxIdleMs)
        endpoint.idle.shift()!.destroy();
      endpoint.shared?.tick(nowMs, maxIdleMs);
    }
    if (this.queue.size === 0) {
      this.escape = 0;
      this.allowance.tick(0, nowMs);
      return;
    }
    for (const waiter of this.queue.expired(nowMs)) {
      this.queue.remove(waiter);
      this.holdsExpired++;
      waiter.refuseHold('timeout');
    }
    if (this.isDown) {
      while (this.queue.head !== null) {
        const waiter = this.queue.head;
        this.queue.remove(waiter);
        waiter.refuseHold('down');
      }
      return;
    }
    if (this.queue.head === null) return;
    if (!this.hasReady) this.poke(this.queue.head);
    else {
      if (this.unanswered >= RELEASE_WINDOW * this.pool.usableCount + this.escape) this.escape += RELEASE_ESCAPE;
      this.release();
    }
  }

  /** Nothing is held, open or pooled: the tick may leave it out. */
  get quiet(): boolean {
    if (this.queue.size > 0 || this.allowance.holds > 0 || this.allowance.bytes > 0) return false;
    if (!this.pool.quiet || !this.resilience.quiet) return false;
    for (const endpoint of this.endpoints.values()) if (endpoint.open > 0) return false;
    return true;
  }

  /** Nothing is in flight on any endpoint. */
  get isEmpty(): boolean {
    for (const endpoint of this.endpoints.values()) if (endpoint.inFlight > 0 || endpoint.tunnels > 0) return false;
    return true;
  }

  /** The configuration has no such backend any more: idle connections go, what is in flight ends by itself, holds are refused. */
  dispose(): void {
    this.isRemoved = true;
    while (this.queue.head !== null) {
      const waiter = this.queue.head;
      this.queue.remove(waiter);
      waiter.refuseHold('removed');
    }
    for (const endpoint of this.endpoints.values()) {
      endpoint.removed = true;
      endpoint.closeIdle();
    }
  }
}

/** How connections to its endpoints begin. */
function speech({ tls, proxyProtocol, endpoints }: GatewayBackendConfig): unknown {
  return [tls, proxyProtocol, endpoints.protocol];
}
