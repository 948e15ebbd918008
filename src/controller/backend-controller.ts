/**
 * One backend: its phase (the table is in model/backend.ts), what its driver runs, what gateways are told of it. Every method runs as one step of the
 * controller (turns.ts). Timers exist only while it is waking, awake or falling asleep, or while a crash holds back something that is wanted.
 */
import { isDeepStrictEqual } from 'node:util';
import { BACKEND_TRANSITIONS, type BackendPhase, type Crash, type Endpoint, type WakeCause } from '../model/backend.ts';
import type { BackendConfig } from '../model/config.ts';
import type { DemandWindow } from '../model/demand.ts';
import { DormouseError } from '../model/errors.ts';
import type { Clock, Logger } from '../model/ports.ts';
import type { BackendEvent } from '../model/status.ts';
import type { BackendUpdate, DownMessage, Drained } from '../link/messages.ts';
import type { CreateDriver, DriverEvents, Instance } from '../drivers/driver.ts';
import { idleRule, span, type IdleDecision } from '../autoscaling/index.ts';
import { DemandSum } from './demand-sum.ts';
import { Drains, type DrainPurpose } from './drains.ts';
import { Generation, toEndpoint } from './generation.ts';
import { Leases } from './leases.ts';
import { LogFeed } from './log-feed.ts';
import { BackendCounters } from './metrics.ts';
import { Scaling } from './scaling.ts';
import { atBound, secondLook, SLEEP_DRAIN_BOUND_MS, type Look, type SleepEdge, type Waiter } from './sleep-edge.ts';
import { Alarm, type Timers } from './timers.ts';
import { nobodyWaits, watchIntervalMs, type WakeAttempt } from './wake-attempt.ts';
import { awakeText, causeText, crashText } from './why.ts';

/** An instance that is taken away for scale-down stays draining this long at most; then it serves again and a later decision tries anew. */
const SCALE_DOWN_BOUND_MS = 300_000;
/** What a driver may need beyond its grace period before we stop waiting for it. */
const RETIRE_MARGIN_MS = 10_000;

/** A gateway, as far as a backend sees it. */
export interface Peer {
  readonly id: string;
  send(message: DownMessage): void;
}

/** What a backend needs of the controller around it. */
export interface BackendHost {
  readonly clock: Clock;
  readonly timers: Timers;
  readonly logger: Logger;
  readonly createDriver: CreateDriver;
  turn(step: () => void): void;
  /** Gateways that have been given the configuration. */
  peers(): Iterable<Peer>;
  /** Rises with every call. */
  nextVersion(): number;
  backend(name: string): BackendController | undefined;
  /** Backends that wake with this one in their wake.with. */
  dependents(name: string): BackendController[];
  /** Whether the autoscaler's tick comes to it. */
  tick(backend: BackendController, on: boolean): void;
  /** How long an exchange in flight may take when its instance is replaced or removed. */
  drainMs(): number;
  event(event: BackendEvent): void;
}

export class BackendController {
  readonly name: string;
  readonly demand: DemandSum<Peer>;
  readonly leases: Leases<Peer>;
  readonly counters = new BackendCounters();
  readonly logs = new LogFeed();
  lastWoken: { atMs: number; by: WakeCause; tookMs: number } | null = null;
  lastSleptMs = 0;
  readonly #host: BackendHost;
  readonly #logger: Logger;
  readonly #scaling: Scaling;
  readonly #drains = new Drains<Peer>();
  #config: BackendConfig;
  /** Oldest first; the last one is the present one. */
  readonly #generations: Generation[] = [];
  readonly #closing = new Set<Promise<void>>();
  #phase: BackendPhase = 'asleep';
  #sinceWallMs: number;
  #why = 'nobody has asked for it yet';
  #target = 0;
  #wake: WakeAttempt | null = null;
  #sleep: SleepEdge | null = null;
  #waiters: Waiter[] = [];
  #awakeSinceMs = 0;
  /** The last command or poke, monotonic: counts as activity. */
  #touchedMs = 0;
  /** A dependency that could not be woken: shown as this backend's own crash. */
  #blocked: Crash | null = null;
  #lastCrash: Crash | null = null;
  #published: BackendUpdate | null = null;
  #removal: { resolve: () => void } | null = null;
  #closed = false;
  readonly #idleAlarm: Alarm;
  #idleAtMs = 0;
  readonly #watchAlarm: Alarm;
  readonly #boundAlarm: Alarm;
  readonly #retryAlarm: Alarm;

  constructor(config: BackendConfig, host: BackendHost) {
    this.name = config.name;
    this.#config = config;
    this.#host = host;
    this.#logger = host.logger.child({ backend: config.name });
    this.demand = new DemandSum(config.scale.windows.stableMs);
    this.leases = new Leases(config.wake);
    this.#scaling = new Scaling(config.scale);
    this.#sinceWallMs = host.clock.wallMs();
    const turn = (step: () => void): void => host.turn(step);
    this.#idleAlarm = new Alarm(host.timers, turn);
    this.#watchAlarm = new Alarm(host.timers, turn);
    this.#boundAlarm = new Alarm(host.timers, turn);
    this.#retryAlarm = new Alarm(host.timers, turn);
  }

  // ---- what others read

  get config(): BackendConfig {
    return this.#config;
  }

  get phase(): BackendPhase {
    return this.#phase;
  }

  get sinceWallMs(): number {
    return this.#sinceWallMs;
  }

  get target(): number {
    return this.#target;
  }

  get canSleep(): boolean {
    return this.#driver.canScale && this.#config.scale.min === 0;
  }

  get driverKind(): 'process' | 'static' | 'kubernetes' {
    return this.#generations.length === 0 ? this.#config.source.driver : this.#driver.kind;
  }

  /** Why it is in its phase, one sentence. */
  get why(): string {
    const crash = this.crash;
    const old = this.#generations.length > 1;
    if (this.#phase === 'awake' && old && crash !== null) {
      return `its changed configuration can't be started (${crash.reason}): requests go on to the instances of the old one`;
    }
    if (this.#phase === 'awake' && old)
      return `${this.#why}; its instances are being replaced by the changed configuration's`;
    if (this.#phase === 'waking' && this.#wake?.stage === 'dependencies') {
      return `${this.#why}; waits for ${this.#config.wake.with[this.#wake.next] ?? 'nothing'} to be awake`;
    }
    return this.#why;
  }

  /** The crash that is known, whether or not it holds anything back now. */
  get crash(): Crash | null {
    return this.#lastCrash ?? this.#blocked;
  }

  get keptBy(): string[] {
    return this.#host
      .dependents(this.name)
      .filter((other) => other.needsDependencies)
      .map((other) => `${other.name} is ${other.phase} and needs it`);
  }

  /** True while those that it wakes with have to stay. */
  get needsDependencies(): boolean {
    return this.#phase !== 'asleep' && this.#generations.length > 0 && this.#driver.canScale;
  }

  idle(): IdleDecision {
    return idleRule({
      nowMs: this.#host.clock.nowMs(),
      idleAfterMs: this.#config.scale.idleAfterMs,
      awakeSinceMs: this.#awakeSinceMs,
      lastActivityMs: Math.max(this.demand.lastActivityMs, this.#touchedMs),
      inFlight: this.demand.inFlight,
      held: this.demand.held,
      tunnels: this.demand.tunnels,
      webSockets: this.#config.idle.webSockets,
      keptBy: this.keptBy,
    });
  }

  get shortWindowMs(): number {
    return this.#scaling.shortWindowMs;
  }

  /** Every instance with the state that a reader wants to see: `draining` where gateways empty it. */
  members(): { instance: Instance; state: string }[] {
    return this.#generations.flatMap((generation) =>
      generation.members().map((instance) => ({
        instance,
        state: this.#drains.has(instance.id) && instance.state === 'ready' ? 'draining' : instance.state,
      })),
    );
  }

  // ---- its life

  /** Makes the driver; a static backend, or one with min > 0, begins at once. */
  start(): void {
    this.#addGeneration();
    if (!this.#driver.canScale) {
      this.#enter('awake', causeText({ kind: 'static', atMs: 0 }));
      this.publish();
    } else if (this.#config.scale.min > 0) this.#beginWake({ kind: 'min', atMs: this.#wall() });
  }

  /** New settings. A changed source or health check replaces what runs, one after the other; everything else is applied in place. */
  reconfigure(next: BackendConfig): void {
    const before = this.#config;
    this.#config = next;
    this.leases.limit(next.wake);
    this.demand.windowMs = next.scale.windows.stableMs;
    this.#scaling.reconfigure(next.scale);
    if (!isDeepStrictEqual(before.source, next.source) || !isDeepStrictEqual(before.health, next.health))
      this.#replaceSource();
    if (this.#phase === 'asleep') this.#wantedByMin('min');
    else {
      this.#target = this.#scaling.clamp(this.#target);
      this.#host.tick(this, this.#ticks);
      this.#maintain();
      this.#idleAlarm.cancel();
      this.evaluateIdle();
    }
  }

  /** Drains (bounded by drainMs), ends what runs and closes the driver. Resolves when all of it is gone. */
  remove(): Promise<void> {
    const { promise, resolve } = Promise.withResolvers<void>();
    this.#removal = { resolve };
    this.#host.tick(this, false);
    this.#failWaiters(
      new DormouseError('DORMOUSE_BACKEND_REMOVED', `${this.name} was removed from the configuration`, {
        userFault: true,
      }),
    );
    for (const alarm of [this.#idleAlarm, this.#watchAlarm, this.#retryAlarm]) alarm.cancel();
    this.#wake = null;
    if (this.#phase === 'falling-asleep' && this.#sleep?.stage === 'retiring') return promise;
    if (this.#phase === 'asleep' || this.#phase === 'waking') {
      this.#finishRemoval();
      return promise;
    }
    this.#rejectSleepers('it was removed from the configuration');
    this.#sleep = null;
    if (this.#phase === 'awake') this.#enter('falling-asleep', 'it was removed from the configuration');
    this.#drainAll('remove');
    this.#boundAlarm.set(Math.max(1, this.#host.drainMs()), () => {
      this.#logger.warn('removed with something still in flight: the drain bound has passed', {
        boundMs: this.#host.drainMs(),
      });
      this.#finishRemoval();
    });
    this.publish();
    this.#afterDrains();
    return promise;
  }

  /** Stops every timer and ends what runs. */
  async close(): Promise<void> {
    if (!this.#closed) {
      this.#closed = true;
      this.#host.tick(this, false);
      for (const alarm of [this.#idleAlarm, this.#watchAlarm, this.#boundAlarm, this.#retryAlarm]) alarm.cancel();
      this.#drains.clear();
      const error = new DormouseError('DORMOUSE_CLOSING', `${this.name}: dormouse is ending`);
      this.#failWaiters(error);
      for (const waiter of this.#sleep?.waiters.splice(0) ?? []) waiter.reject(error);
      for (const generation of [...this.#generations]) this.#closeGeneration(generation);
      this.#removal?.resolve();
    }
    await Promise.all(this.#closing);
  }

  // ---- from gateways

  /** A gateway has been given the configuration: it has to know what isn't asleep. */
  joined(peer: Peer): void {
    this.#drains.join(peer);
    if (this.#phase !== 'asleep' || this.#shownCrash() !== null) this.#sendTo(peer);
  }

  left(peer: Peer): void {
    this.demand.forget(peer);
    this.leases.forget(peer);
    this.#drains.forget(peer);
    this.#afterDrains();
    this.evaluateIdle();
  }

  /** A request found no endpoint. What the gateway did not know yet is told again. */
  poked(peer: Peer, cause: WakeCause): void {
    if (this.#removal !== null || this.#closed) return;
    const before = this.#published;
    this.wakeUp(cause);
    // While a crash holds starts back, it has been told already, or that is on its way: the next poke after it starts again.
    if (this.#published === before && this.#phase === 'awake') this.#sendTo(peer);
  }

  reported(peer: Peer, window: DemandWindow): void {
    this.demand.report(peer, window, this.#now());
    if (this.#removal !== null || this.#closed) return;
    switch (this.#phase) {
      case 'asleep':
        // It was held before the gateway heard that nobody would wake it: nobody else will say so.
        if (window.held > 0 && this.#driver.canScale) this.wakeUp({ kind: 'demand', atMs: this.#wall() });
        break;
      case 'waking':
        if (window.held > 0 && this.#wake !== null) this.#wake.wantedMs = this.#nowMs();
        break;
      case 'awake':
        this.evaluateIdle();
        break;
      case 'falling-asleep':
        this.#lookAgain();
        break;
    }
  }

  drained(peer: Peer, answer: Drained): void {
    this.demand.answered(peer, answer.held, answer.lastActivityMs, this.#now());
    this.#drains.answer(peer, answer.endpoint, answer.version);
    this.#lookAgain();
    this.#afterDrains();
  }

  suspected(endpoint: string, reason: string): void {
    for (const generation of this.#generations) {
      if (generation.members().some((instance) => instance.id === endpoint))
        generation.driver.suspect(endpoint, reason);
    }
  }

  // ---- wake

  /** Somebody wants it. Does nothing while a crash holds starts back. */
  wakeUp(cause: WakeCause): void {
    if (this.#removal !== null || this.#closed) return;
    this.#touchedMs = this.#nowMs();
    switch (this.#phase) {
      case 'awake':
        this.evaluateIdle();
        break;
      case 'waking':
        if (this.#wake !== null) this.#wake.wantedMs = this.#nowMs();
        break;
      case 'asleep':
        if (this.#heldBack() === null) this.#beginWake(cause);
        break;
      case 'falling-asleep':
        this.#wakeAtTheEdge(cause);
        break;
    }
  }

  /** Wakes it and tells the waiter when it is awake, or why it can't be. The waiter may be called before this returns. */
  ensureAwake(cause: WakeCause, waiter: Waiter): void {
    this.wakeUp(cause);
    if (this.#phase === 'awake') {
      waiter.resolve();
      return;
    }
    const crash = this.#phase === 'asleep' ? this.#heldBack() : null;
    if (crash !== null) {
      waiter.reject(this.#crashError(crash));
      return;
    }
    if (this.#phase === 'asleep' || this.#removal !== null || this.#closed) {
      waiter.reject(new DormouseError('DORMOUSE_WAKE_FAILED', `${this.name} could not be woken: ${this.#why}`));
      return;
    }
    this.#waiters.push(waiter);
  }

  forgetWaiter(waiter: Waiter): void {
    this.#waiters = this.#waiters.filter((one) => one !== waiter);
    if (this.#sleep !== null) this.#sleep.waiters = this.#sleep.waiters.filter((one) => one !== waiter);
  }

  #wakeAtTheEdge(cause: WakeCause): void {
    const sleep = this.#sleep;
    if (sleep === null) return;
    if (sleep.stage === 'draining') {
      this.#cancelSleep(cause.kind === 'request' ? 'a request came' : causeText(cause));
      return;
    }
    const { source } = this.#config;
    const alone = source.driver === 'process' && (source.process.port !== 'auto' || source.process.sleep === 'freeze');
    if (alone || this.#generations.length > 1) {
      sleep.pendingWake ??= cause;
      return;
    }
    // Beside the one that stops: nothing is shared between them.
    this.#sleep = null;
    this.#boundAlarm.cancel();
    this.#drains.clear();
    this.counters.sleeps++;
    this.lastSleptMs = this.#wall();
    this.#rejectWaiters(sleep, 'a request came while it stopped; it is being started again');
    this.#beginWake(cause);
  }

  #beginWake(cause: WakeCause): void {
    const nowMs = this.#nowMs();
    const wake: WakeAttempt = {
      cause,
      sinceMs: nowMs,
      sinceWallMs: this.#wall(),
      stage: 'dependencies',
      next: 0,
      askedMs: 0,
      wantedMs: nowMs,
    };
    this.#retryAlarm.cancel();
    this.#idleAlarm.cancel();
    this.#blocked = null;
    this.#wake = wake;
    this.#scaling.reset();
    this.#enter('waking', causeText(cause));
    this.#host.tick(this, this.#ticks);
    this.#watch();
    this.#wakeDependencies(wake);
    if (this.#wake !== wake) return;
    this.publish();
    this.#tell('waking', `${this.name} is waking (${causeText(cause)})`, { cause });
  }

  #wakeDependencies(wake: WakeAttempt): void {
    while (this.#wake === wake && wake.stage === 'dependencies') {
      const name = this.#config.wake.with[wake.next];
      if (name === undefined) {
        this.#startInstances(wake);
        return;
      }
      const dependency = this.#host.backend(name);
      if (dependency === undefined || dependency.phase === 'awake') {
        dependency?.wakeUp({ kind: 'dependency', backend: this.name, atMs: this.#wall() });
        wake.next++;
        continue;
      }
      let answered = false;
      dependency.ensureAwake(
        { kind: 'dependency', backend: this.name, atMs: this.#wall() },
        {
          resolve: () => {
            if (this.#wake !== wake) return;
            wake.next++;
            if (answered) this.#wakeDependencies(wake);
            answered = true;
          },
          reject: (error) => {
            answered = true;
            if (this.#wake === wake) this.#dependencyFailed(dependency, error);
          },
        },
      );
      if (!answered) {
        answered = true;
        return;
      }
    }
  }

  #dependencyFailed(dependency: BackendController, error: DormouseError): void {
    const wallMs = this.#wall();
    const crash = dependency.crash;
    this.#blocked = {
      reason: `${dependency.name}, which it needs, is not awake: ${error.message}`,
      atMs: wallMs,
      retryAtMs: crash === null ? wallMs : Math.max(wallMs, crash.retryAtMs),
      attempts: crash?.attempts ?? 1,
      lastLogLines: crash?.lastLogLines ?? [],
    };
    this.#startFailed(this.#blocked);
  }

  #startInstances(wake: WakeAttempt): void {
    wake.stage = 'starting';
    wake.askedMs = this.#nowMs();
    // Something that is started again gets as many as it had.
    this.#target = Math.max(this.#scaling.clamp(this.#target), this.#scaling.first(this.demand.held));
    this.#raise();
    this.#settle();
  }

  /** While it wakes: does anybody still wait, and is the driver still at it? */
  #watch(): void {
    this.#watchAlarm.set(watchIntervalMs(this.#config.wake.timeoutMs), () => {
      const wake = this.#wake;
      if (wake === null) return;
      if (this.demand.held > 0 || this.#waiters.length > 0 || this.#config.scale.min > 0) wake.wantedMs = this.#nowMs();
      const canStop = wake.stage === 'dependencies' || wake.stage === 'starting';
      if (canStop && nobodyWaits(wake, this.#nowMs(), this.#config.wake.timeoutMs)) {
        this.#giveUp(`nobody has waited for it for ${span(this.#config.wake.timeoutMs)}`);
        return;
      }
      if (wake.stage === 'starting' && this.#live(this.#current).length === 0 && this.#heldBack() === null)
        this.#raise();
      this.#settle();
      if (this.#wake === wake) this.#watch();
    });
  }

  #giveUp(reason: string): void {
    this.#wake = null;
    this.#driver.cancelStarts(0);
    this.#fallAsleep(`its start was given up: ${reason}`);
    this.publish();
    this.#failWaiters(new DormouseError('DORMOUSE_WAKE_FAILED', `${this.name} could not be woken: ${this.#why}`));
    this.#tell('asleep', `${this.name} is asleep: ${this.#why}`);
  }

  #startFailed(crash: Crash): void {
    this.#wake = null;
    this.#driver.cancelStarts(0);
    this.#fallAsleep(`crashing: ${crash.reason}`);
    this.publish();
    this.#failWaiters(this.#crashError(crash));
    this.#tell('crash', crashText(this.name, crash, this.#wall()));
    this.#retryLater(crash);
  }

  /** What min keeps is started again by itself, once the back-off has passed. */
  #retryLater(crash: Crash): void {
    if (this.#config.scale.min === 0 || this.#removal !== null) return;
    this.#retryAlarm.set(Math.max(1, crash.retryAtMs - this.#wall()), () => this.#wantedByMin('restart'));
  }

  #wantedByMin(kind: 'min' | 'restart'): void {
    if (this.#phase !== 'asleep' || this.#config.scale.min === 0 || !this.#driver.canScale || this.#removal !== null)
      return;
    const crash = this.#heldBack();
    if (crash === null) this.#beginWake({ kind, atMs: this.#wall() });
    else this.#retryLater(crash);
  }

  #becomeAwake(): void {
    const wake = this.#wake;
    if (wake === null) return;
    const nowMs = this.#nowMs();
    const tookMs = nowMs - wake.sinceMs;
    this.#wake = null;
    this.#awakeSinceMs = nowMs;
    this.#enter('awake', causeText(wake.cause));
    // First of all: requests are waiting for this.
    this.publish();
    this.#watchAlarm.cancel();
    this.#lastWokenBy(wake, tookMs);
    this.#resolveWaiters();
    this.#maintain();
    this.evaluateIdle();
  }

  #lastWokenBy(wake: WakeAttempt, tookMs: number): void {
    this.lastWoken = { atMs: this.#wall(), by: wake.cause, tookMs };
    const readyMs = this.#nowMs() - wake.askedMs;
    this.counters.woke(wake.cause.kind, Math.max(0, tookMs - readyMs), readyMs);
    this.#tell('awake', awakeText(this.name, tookMs, wake.cause), { tookMs, cause: wake.cause });
  }

  // ---- sleep

  /** Arms the timer for the moment at which the idle rule could hold, or begins to fall asleep. */
  evaluateIdle(): void {
    if (this.#phase !== 'awake' || !this.canSleep || this.#removal !== null || this.#closed) {
      this.#idleAlarm.cancel();
      return;
    }
    // A timer that comes too early looks again; setting it anew for each report would cost more.
    if (this.#idleAlarm.armed && this.#idleAtMs > this.#nowMs()) return;
    const idle = this.idle();
    if (idle.decision === 'sleep') this.#beginSleep('idle', idle.reason, []);
    else if (idle.decision === 'wait') {
      this.#idleAtMs = idle.atMs;
      this.#idleAlarm.set(idle.atMs - this.#nowMs(), () => this.evaluateIdle());
    }
  }

  /** Puts it to sleep by command: drains first, and is taken back if requests keep coming. */
  sleepNow(waiter: Waiter): void {
    const refuse = (message: string): void =>
      waiter.reject(
        new DormouseError('DORMOUSE_SLEEP_REFUSED', `${this.name} can't sleep: ${message}`, { userFault: true }),
      );
    if (!this.#driver.canScale)
      return refuse('its servers are run by somebody else (servers:), so there is nothing to stop');
    if (this.#config.scale.min > 0)
      return refuse(`scale.min is ${this.#config.scale.min}; set it to 0 to let it sleep`);
    const keptBy = this.keptBy;
    if (this.#phase !== 'asleep' && keptBy.length > 0) return refuse(`${keptBy.join(', ')}; put that to sleep first`);
    switch (this.#phase) {
      case 'asleep':
        return waiter.resolve();
      case 'waking':
        if (this.demand.held > 0 || this.#wake?.cause.kind === 'request') {
          return refuse('it is being woken for a request that waits; try again when it is awake');
        }
        this.#giveUp('put to sleep by command');
        return waiter.resolve();
      case 'falling-asleep':
        if (this.#sleep === null) return refuse('it is being removed');
        this.#sleep.waiters.push(waiter);
        return;
      case 'awake':
        this.#beginSleep('command', 'put to sleep by command', [waiter]);
    }
  }

  #beginSleep(kind: SleepEdge['kind'], reason: string, waiters: Waiter[]): void {
    this.#idleAlarm.cancel();
    this.#retryAlarm.cancel();
    this.#sleep = { kind, reason, stage: 'draining', pendingWake: null, waiters };
    this.#enter('falling-asleep', reason);
    this.#driver.cancelStarts(this.#current.counted().filter((instance) => instance.state !== 'starting').length);
    this.#drainAll('sleep');
    this.#boundAlarm.set(SLEEP_DRAIN_BOUND_MS, () => this.#sleepBound());
    this.publish();
    this.#tell('falling-asleep', `${this.name} is falling asleep: ${reason}`);
    this.#afterDrains();
  }

  #look(): Look {
    return { held: this.demand.held, inFlight: this.demand.inFlight, idle: this.idle() };
  }

  /** Something was reported while it drains. */
  #lookAgain(): void {
    const sleep = this.#sleep;
    if (sleep === null || sleep.stage !== 'draining') return;
    const objection = secondLook(sleep, this.#look());
    if (objection !== null) this.#cancelSleep(objection);
  }

  #sleepBound(): void {
    const sleep = this.#sleep;
    if (sleep === null || sleep.stage !== 'draining') return;
    const owing = [...this.#drains.owing('sleep')].map((peer) => peer.id);
    const { tunnels } = this.demand;
    const { go, reason } = atBound({ ...this.#look(), tunnels, webSockets: this.#config.idle.webSockets, owing });
    this.#logger.info('the drain bound of a sleep has passed', { goesOn: go, reason });
    if (go) this.#retireAll(sleep);
    else this.#cancelSleep(reason);
  }

  #cancelSleep(reason: string): void {
    const sleep = this.#sleep;
    if (sleep === null) return;
    this.#sleep = null;
    this.#boundAlarm.cancel();
    this.#drains.clear();
    // Counts as activity, so that the next attempt isn't made at once.
    this.#touchedMs = this.#nowMs();
    this.counters.sleepsCancelled++;
    this.#enter('awake', `its sleep was taken back: ${reason}`);
    this.publish();
    this.#tell('sleep-cancelled', `${this.name} stays awake: ${reason}`);
    this.#rejectWaiters(sleep, reason);
    this.#resolveWaiters();
    this.#settle();
    this.#maintain();
    this.evaluateIdle();
  }

  #retireAll(sleep: SleepEdge): void {
    sleep.stage = 'retiring';
    const source = this.#config.source;
    const freeze = source.driver === 'process' && source.process.sleep === 'freeze';
    const ends: Promise<void>[] = [];
    for (const generation of this.#generations) {
      const members = generation
        .counted()
        .map((instance) => instance.id)
        .filter((id) => !generation.retiring.has(id));
      if (members.length > 0) ends.push(this.#retire(generation, members, freeze && generation === this.#current));
    }
    if (ends.length === 0) {
      this.#asleepAfter(sleep);
      return;
    }
    const over = (): void => this.#asleepAfter(sleep);
    const graceMs = source.driver === 'process' ? source.process.stopGraceMs : 0;
    this.#boundAlarm.set(graceMs + RETIRE_MARGIN_MS, () => {
      this.#logger.error('the driver has not ended its instances within their grace period', { graceMs });
      over();
    });
    void Promise.all(ends).then(() => this.#host.turn(over));
  }

  #asleepAfter(sleep: SleepEdge): void {
    if (this.#sleep !== sleep) return;
    this.#sleep = null;
    this.#drains.clear();
    if (this.#removal !== null) {
      for (const waiter of sleep.waiters) waiter.resolve();
      this.#finishRemoval();
      return;
    }
    for (const old of this.#generations.slice(0, -1)) this.#closeGeneration(old);
    this.counters.sleeps++;
    this.lastSleptMs = this.#wall();
    this.#fallAsleep(sleep.reason);
    this.#tell('asleep', `${this.name} is asleep: ${sleep.reason}`);
    for (const waiter of sleep.waiters) waiter.resolve();
    const again: WakeCause | null =
      sleep.pendingWake ?? (this.demand.held > 0 ? { kind: 'demand', atMs: this.#wall() } : null);
    if (again !== null && this.#heldBack() === null) this.#beginWake(again);
    else {
      this.publish();
      if (this.#waiters.length > 0)
        this.#failWaiters(new DormouseError('DORMOUSE_WAKE_FAILED', `${this.name} fell asleep instead`));
      this.#wantedByMin('min');
    }
  }

  /** Phase asleep, and everything that only an awake backend has is let go. */
  #fallAsleep(why: string): void {
    for (const alarm of [this.#idleAlarm, this.#watchAlarm, this.#boundAlarm, this.#retryAlarm]) alarm.cancel();
    this.#enter('asleep', why);
    this.#target = 0;
    this.#host.tick(this, false);
    this.demand.forgetWindows();
    for (const name of this.#config.wake.with) this.#host.backend(name)?.evaluateIdle();
  }

  // ---- instances

  /** The autoscaler's tick. */
  tick(attached: boolean): void {
    const nowMs = this.#nowMs();
    if (attached) this.demand.quiet(nowMs);
    if (this.#phase !== 'awake' && this.#wake?.stage !== 'starting') return;
    const ready = this.#live(this.#current).filter((instance) => instance.state === 'ready').length;
    const { decision, desired, reason } = this.#scaling.decide(this.demand, nowMs, ready, this.#target);
    if (decision === 'scale') {
      const before = this.#target;
      this.#target = desired;
      this.#tell('scaled', `${this.name}: ${before} -> ${desired} instances (${reason})`);
    }
    this.#maintain();
  }

  get #ticks(): boolean {
    return this.#phase !== 'asleep' && this.#scaling.active && this.#driver.canScale && this.#removal === null;
  }

  /** Brings the number of instances to the target, as far as crashes and drains allow, and replaces old generations. */
  #maintain(): void {
    const starting = this.#phase === 'waking' && this.#wake?.stage === 'starting';
    if ((this.#phase !== 'awake' && !starting) || this.#removal !== null || this.#closed) return;
    if (this.#driver.canScale) {
      if (this.#phase === 'awake' && this.#portIsTaken()) {
        this.#replaceAlone();
        return;
      }
      const live = this.#live(this.#current).length;
      if (live < this.#target) this.#scaleUp(this.#target - live);
      else if (live > this.#target && this.#phase === 'awake') this.#scaleDown();
    }
    if (this.#phase === 'awake') this.#retireOld();
  }

  #scaleUp(missing: number): void {
    const own = new Set(this.#current.members().map((instance) => instance.id));
    const back = this.#drains
      .of('scale-down')
      .filter((endpoint) => own.has(endpoint) && !this.#current.retiring.has(endpoint));
    for (const endpoint of back.slice(0, missing)) this.#drains.drop(endpoint);
    if (back.length > 0) this.publish();
    if (back.length >= missing) return;
    const crash = this.#heldBack();
    if (crash === null) this.#raise();
    else this.#retryAlarm.set(Math.max(1, crash.retryAtMs - this.#wall()), () => this.#maintain());
  }

  /** Those that drain or end are still counted by the driver, and come on top. */
  #raise(): void {
    const leaving = this.#current.counted().length - this.#live(this.#current).length;
    this.#driver.scaleUp(this.#target + leaving);
  }

  /** Starts first, then unhealthy ones, then the youngest: what has been up longest has the warmest caches. At least one stays ready. */
  #scaleDown(): void {
    const leaving = this.#current.counted().length - this.#live(this.#current).length;
    const settled = this.#live(this.#current).filter((instance) => instance.state !== 'starting').length;
    if (settled < this.#live(this.#current).length)
      this.#driver.cancelStarts(Math.max(this.#target, settled) + leaving);
    const candidates = this.#live(this.#current)
      .filter((instance) => instance.state !== 'starting')
      .sort((a, b) => rank(a) - rank(b) || b.readyAtMs - a.readyAtMs || b.startedAtMs - a.startedAtMs);
    const surplus = candidates.slice(0, Math.max(0, candidates.length - this.#target));
    if (surplus.length === 0) return;
    for (const { id } of surplus) this.#drain(id, 'scale-down', SCALE_DOWN_BOUND_MS);
    this.publish();
    this.#afterDrains();
  }

  /** Instances of the present source that count towards the target. */
  #live(generation: Generation): Instance[] {
    return generation.counted().filter(({ id }) => !this.#drains.has(id) && !generation.retiring.has(id));
  }

  #drain(endpoint: string, purpose: DrainPurpose, boundMs: number): void {
    const cancel = this.#host.timers.setTimer(boundMs, () =>
      this.#host.turn(() => {
        if (this.#drains.of(purpose).includes(endpoint)) this.#drainBound(endpoint, purpose);
      }),
    );
    this.#drains.begin(endpoint, purpose, cancel);
  }

  #drainBound(endpoint: string, purpose: DrainPurpose): void {
    const goOn = purpose === 'replace' || (this.#config.idle.webSockets === 'ignore' && this.demand.inFlight === 0);
    this.#logger.info('the drain bound of an instance has passed', { endpoint, purpose, goesOn: goOn });
    if (goOn) this.#retireOne(endpoint);
    else {
      this.#drains.drop(endpoint);
      this.#target = Math.max(this.#target, this.#live(this.#current).length);
      this.publish();
    }
  }

  #drainAll(purpose: 'sleep' | 'remove'): void {
    for (const generation of this.#generations) {
      for (const { id, state } of generation.counted()) {
        if (state !== 'starting' && !generation.retiring.has(id)) this.#drains.begin(id, purpose);
      }
    }
  }

  /** A gateway has answered, or is gone: who is drained now? */
  #afterDrains(): void {
    for (const purpose of ['scale-down', 'replace'] as const) {
      for (const endpoint of this.#drains.drained(purpose)) this.#retireOne(endpoint);
    }
    if (this.#removal !== null) {
      if (this.#drains.of('remove').length === this.#drains.drained('remove').length && this.#sleep === null)
        this.#finishRemoval();
      return;
    }
    const sleep = this.#sleep;
    if (sleep === null || sleep.stage !== 'draining') return;
    if (this.#drains.of('sleep').length > this.#drains.drained('sleep').length) return;
    const objection = secondLook(sleep, this.#look());
    if (objection === null) this.#retireAll(sleep);
    else this.#cancelSleep(objection);
  }

  #retireOne(endpoint: string): void {
    const generation = this.#generations.find((one) => one.members().some((instance) => instance.id === endpoint));
    if (generation === undefined) {
      this.#drains.drop(endpoint);
      return;
    }
    const ended = this.#retire(generation, [endpoint], false);
    this.#drains.drop(endpoint);
    this.publish();
    void ended.then(() => this.#host.turn(() => this.#settle()));
  }

  #retire(generation: Generation, endpoints: string[], freeze: boolean): Promise<void> {
    return generation.retire(endpoints, freeze, (error) =>
      this.#logger.error('an instance could not be ended', { endpoints, error: String(error) }),
    );
  }

  // ---- from the driver

  #addGeneration(): void {
    let made: Generation | null = null;
    const mine = (step: () => void): void =>
      this.#host.turn(() => {
        if (made !== null && !this.#closed && this.#generations.includes(made)) step();
      });
    const events: DriverEvents = {
      instance: (instance) => mine(() => this.#instanceChanged(instance)),
      crash: (crash) => mine(() => this.#crashed(made as Generation, crash)),
    };
    const inForce = (): BackendConfig['scale'] => this.#config.scale;
    // Limits change in place while a driver lives: it reads the ones that are in force.
    const config: BackendConfig = {
      ...this.#config,
      get scale() {
        return inForce();
      },
    };
    made = new Generation(config, this.#host.createDriver, events);
    this.#generations.push(made);
    this.logs.add(made.driver);
  }

  #instanceChanged(instance: Instance): void {
    if (instance.state === 'gone' || instance.state === 'frozen') this.#drains.drop(instance.id);
    if (instance.state === 'unhealthy') this.#tell('instance', `${instance.id} is unhealthy: ${instance.reason}`);
    this.#settle();
  }

  #crashed(generation: Generation, crash: Crash | null): void {
    if (generation !== this.#current) return;
    const before = this.#lastCrash;
    this.#lastCrash = crash;
    if (crash !== null && (before === null || before.atMs !== crash.atMs || before.attempts !== crash.attempts)) {
      this.counters.crashes++;
      this.#logger.warn('an instance crashed', { reason: crash.reason, attempts: crash.attempts });
    }
    if (crash === null && before !== null) this.#tell('recovered', `${this.name} has recovered`);
    this.#settle();
    // Still running on what is left: its own wakers tell of it otherwise.
    if (crash !== null && this.#phase === 'awake') this.#tell('crash', crashText(this.name, crash, this.#wall()));
    this.publishIfChanged();
    this.#maintain();
  }

  /** Looks at what runs and draws the consequences for the phase. */
  #settle(): void {
    if (this.#closed) return;
    switch (this.#phase) {
      case 'asleep':
        this.#endStrays();
        break;
      case 'waking':
        this.#settleWaking();
        break;
      case 'awake':
        this.#settleAwake();
        break;
      case 'falling-asleep':
        this.#settleFallingAsleep();
        break;
    }
  }

  /** A start that was given up and became ready all the same: no gateway knows of it. */
  #endStrays(): void {
    if (!this.#driver.canScale) return;
    for (const generation of this.#generations) {
      const ready = this.#live(generation).filter((instance) => instance.state === 'ready');
      if (ready.length === 0) continue;
      const ended = this.#retire(
        generation,
        ready.map((instance) => instance.id),
        false,
      );
      void ended.then(() => this.#host.turn(() => this.#settle()));
    }
    this.#closeEmptied();
  }

  #settleWaking(): void {
    const wake = this.#wake;
    if (wake === null) return;
    if (wake.stage === 'replacing') {
      const leaves = this.#generations
        .slice(0, -1)
        .some((old) => old.pending > 0 || old.counted().some(({ id }) => this.#drains.has(id)));
      if (!leaves) this.#startAlone(wake);
      return;
    }
    if (wake.stage !== 'starting') return;
    const live = this.#generations.flatMap((generation) => this.#live(generation));
    if (live.some((instance) => instance.state === 'ready')) {
      this.#becomeAwake();
      return;
    }
    const crash = live.length === 0 ? this.#heldBack() : null;
    if (crash !== null) this.#startFailed(crash);
  }

  #settleAwake(): void {
    if (!this.#driver.canScale) {
      this.#retireOld();
      this.publishIfChanged();
      return;
    }
    const live = this.#generations.flatMap((generation) => this.#live(generation));
    if (live.some((instance) => instance.state === 'ready')) {
      this.publishIfChanged();
      this.#maintain();
    } else if (live.some((instance) => instance.state === 'unhealthy')) this.publishIfChanged();
    else this.#lostAll();
  }

  /** Nothing of an awake backend is left that could answer. */
  #lostAll(): void {
    const draining = this.#drains.of('scale-down');
    if (draining.length > 0) {
      // One that was to go still runs: it serves on.
      for (const endpoint of draining) this.#drains.drop(endpoint);
      this.publish();
      this.#settle();
      return;
    }
    const crash = this.#heldBack();
    if (crash !== null && this.#live(this.#current).length === 0) {
      this.#startFailed(crash);
      return;
    }
    const idle = this.idle();
    const wanted = idle.decision !== 'sleep' || this.#config.scale.min > 0 || this.#live(this.#current).length > 0;
    if (wanted) this.#beginWake({ kind: 'restart', atMs: this.#wall() });
    else {
      this.#fallAsleep('its instance ended, and nobody needs it now');
      this.publish();
      this.#tell('asleep', `${this.name} is asleep: ${this.#why}`);
    }
  }

  #settleFallingAsleep(): void {
    const sleep = this.#sleep;
    if (sleep === null) {
      if (this.#removal !== null) this.#afterDrains();
      return;
    }
    if (sleep.stage !== 'draining') return;
    // One that became ready meanwhile goes the same way as the others.
    const late = this.#generations.flatMap((one) => this.#live(one)).filter((instance) => instance.state === 'ready');
    for (const { id } of late) this.#drains.begin(id, 'sleep');
    this.publishIfChanged();
    this.#afterDrains();
  }

  // ---- a changed source

  #replaceSource(): void {
    this.#addGeneration();
    this.#lastCrash = null;
    this.#blocked = null;
    const wake = this.#wake;
    const { canScale } = this.#driver;
    if (this.#phase === 'asleep' || (this.#phase === 'waking' && !canScale)) {
      for (const old of this.#generations.slice(0, -1)) this.#closeGeneration(old);
      this.#wake = null;
      if (!canScale) {
        this.#enter('awake', causeText({ kind: 'static', atMs: 0 }));
        this.#resolveWaiters();
      }
      this.publish();
    } else if (this.#phase === 'waking' && wake !== null) {
      for (const old of this.#generations.slice(0, -1)) old.driver.cancelStarts(0);
      if (wake.stage !== 'dependencies') this.#replaceStarting(wake);
      else for (const old of this.#generations.slice(0, -1)) this.#closeGeneration(old);
    } else if (this.#phase === 'awake') this.#maintain();
    // Falling asleep: what runs ends anyway; if the sleep is taken back, #maintain replaces it.
  }

  /** Nothing has answered yet: what was starting ends, and the new source starts when the old one is gone. */
  #replaceStarting(wake: WakeAttempt): void {
    const ends = this.#closeEmptied();
    // What still drains is waited for as before; the newest source starts then.
    if (wake.stage === 'replacing') return;
    wake.stage = 'closing';
    void Promise.all(ends).then(() =>
      this.#host.turn(() => {
        if (this.#wake === wake && wake.stage === 'closing') this.#startInstances(wake);
      }),
    );
  }

  /** True when the old and the new one want the same port, so that they can't run side by side. */
  #portIsTaken(): boolean {
    const fixed = fixedPort(this.#config);
    if (fixed === null) return false;
    return this.#generations.slice(0, -1).some((old) => fixedPort(old.config) === fixed && old.counted().length > 0);
  }

  /** Empties and ends the old one first; requests are held meanwhile. */
  #replaceAlone(): void {
    this.#beginReplacement();
    for (const old of this.#generations.slice(0, -1)) {
      old.driver.cancelStarts(old.counted().filter((instance) => instance.state !== 'starting').length);
      for (const { id } of this.#live(old)) this.#drain(id, 'replace', Math.max(1, this.#host.drainMs()));
    }
    this.publish();
    this.#afterDrains();
  }

  #beginReplacement(): void {
    const nowMs = this.#nowMs();
    const cause: WakeCause = { kind: 'reload', atMs: this.#wall() };
    this.#wake = {
      cause,
      sinceMs: nowMs,
      sinceWallMs: this.#wall(),
      stage: 'replacing',
      next: 0,
      askedMs: nowMs,
      wantedMs: nowMs,
    };
    this.#idleAlarm.cancel();
    this.#enter('waking', causeText(cause));
    this.#watch();
  }

  #startAlone(wake: WakeAttempt): void {
    for (const old of this.#generations.slice(0, -1)) this.#closeGeneration(old);
    this.#startInstances(wake);
  }

  /** Old generations go when the present one has what it is meant to have. Until then they serve on. */
  #retireOld(): void {
    const old = this.#generations.slice(0, -1);
    if (old.length === 0) return;
    const ready = this.#live(this.#current).filter((instance) => instance.state === 'ready').length;
    if (this.#driver.canScale && ready < Math.max(1, this.#target)) return;
    let draining = false;
    for (const generation of old) {
      const members = this.#live(generation).filter((instance) => instance.state !== 'starting');
      for (const { id } of members) this.#drain(id, 'replace', Math.max(1, this.#host.drainMs()));
      draining ||= members.length > 0;
    }
    this.#closeEmptied();
    if (!draining) return;
    this.publish();
    this.#afterDrains();
  }

  /** Closes old generations that gateways have nothing on any more. */
  #closeEmptied(): Promise<void>[] {
    const emptied = this.#generations
      .slice(0, -1)
      .filter((one) => one.pending === 0 && !one.counted().some((instance) => this.#drains.has(instance.id)));
    return emptied.map((generation) => this.#closeGeneration(generation));
  }

  #closeGeneration(generation: Generation): Promise<void> {
    const index = this.#generations.indexOf(generation);
    // The last one stays readable: a closed backend still shows what it was.
    if (index !== -1 && this.#generations.length > 1) this.#generations.splice(index, 1);
    this.logs.drop(generation.driver);
    const closed = generation.driver
      .close()
      .catch((error: unknown) => this.#logger.error('a driver could not be closed', { error: String(error) }))
      .finally(() => this.#closing.delete(closed));
    this.#closing.add(closed);
    return closed;
  }

  #finishRemoval(): void {
    const removal = this.#removal;
    if (removal === null || this.#closed) return;
    if (this.#phase !== 'asleep') this.#fallAsleep('it was removed from the configuration');
    void this.close().then(() => removal.resolve());
  }

  // ---- what gateways are told

  /** Tells every gateway how it is now. */
  publish(): void {
    // A later backend of the same name speaks now; what is in flight here ends by itself or by the bound.
    if (this.#removal !== null && this.#host.backend(this.name) !== undefined) return;
    const peers = [...this.#host.peers()];
    const update = this.#update();
    this.#published = update;
    this.#drains.told(update.version, peers);
    for (const peer of peers) peer.send(update);
  }

  publishIfChanged(): void {
    const known = this.#published;
    const same =
      known !== null &&
      known.phase === this.#phase &&
      isDeepStrictEqual(known.crash, this.#shownCrash()) &&
      isDeepStrictEqual(known.endpoints, this.#endpoints());
    if (!same) this.publish();
  }

  /** A newer version even if nothing changed: a gateway may ignore what it has seen. */
  #sendTo(peer: Peer): void {
    peer.send(this.#update());
  }

  #update(): BackendUpdate {
    return {
      type: 'backend',
      backend: this.name,
      version: this.#host.nextVersion(),
      phase: this.#phase,
      endpoints: this.#endpoints(),
      crash: this.#shownCrash(),
      wakingSinceMs: this.#phase === 'waking' ? (this.#wake?.sinceWallMs ?? 0) : 0,
    };
  }

  #endpoints(): Endpoint[] {
    if (this.#phase === 'asleep') return [];
    const endpoints: Endpoint[] = [];
    for (const generation of this.#generations) {
      for (const instance of generation.members()) {
        const { id, state } = instance;
        if (generation.retiring.has(id)) continue;
        const draining = this.#drains.has(id) && (state === 'ready' || state === 'unhealthy');
        if (!draining && (state !== 'ready' || this.#phase !== 'awake')) continue;
        const endpoint = toEndpoint(instance, draining ? 'draining' : 'ready');
        if (endpoint !== null) endpoints.push(endpoint);
      }
    }
    return endpoints;
  }

  /** While an attempt is under way nothing is crashing: requests are worth holding. */
  #shownCrash(): Crash | null {
    return this.#phase === 'waking' ? null : this.crash;
  }

  // ---- small things

  get #current(): Generation {
    const current = this.#generations.at(-1);
    if (current === undefined) throw new Error(`${this.name} has not been started`);
    return current;
  }

  get #driver(): Generation['driver'] {
    return this.#current.driver;
  }

  #heldBack(): Crash | null {
    const wallMs = this.#wall();
    const blocked = this.#blocked;
    return this.#current.heldBackBy(wallMs) ?? (blocked !== null && wallMs < blocked.retryAtMs ? blocked : null);
  }

  #enter(phase: BackendPhase, why: string): void {
    if (phase !== this.#phase && !BACKEND_TRANSITIONS[this.#phase].includes(phase)) {
      this.#logger.error('a transition that the table does not have', { from: this.#phase, to: phase });
    }
    if (phase !== this.#phase) this.#sinceWallMs = this.#wall();
    this.#phase = phase;
    this.#why = why;
  }

  #crashError(crash: Crash): DormouseError {
    return new DormouseError(
      'DORMOUSE_BACKEND_CRASHING',
      `${crashText(this.name, crash, this.#wall())}. Its last lines: dormouse logs ${this.name}`,
      { userFault: true },
    );
  }

  #resolveWaiters(): void {
    for (const waiter of this.#waiters.splice(0)) waiter.resolve();
  }

  #failWaiters(error: DormouseError): void {
    for (const waiter of this.#waiters.splice(0)) waiter.reject(error);
  }

  #rejectSleepers(reason: string): void {
    if (this.#sleep !== null) this.#rejectWaiters(this.#sleep, reason);
  }

  #rejectWaiters(sleep: SleepEdge, reason: string): void {
    const error = new DormouseError('DORMOUSE_SLEEP_CANCELLED', `${this.name} stays awake: ${reason}`, {
      userFault: true,
    });
    for (const waiter of sleep.waiters.splice(0)) waiter.reject(error);
  }

  #tell(kind: BackendEvent['kind'], message: string, more: Pick<BackendEvent, 'tookMs' | 'cause'> = {}): void {
    this.#host.event({ atMs: this.#wall(), backend: this.name, kind, message, ...more });
  }

  #nowMs(): number {
    return this.#host.clock.nowMs();
  }

  #wall(): number {
    return this.#host.clock.wallMs();
  }

  #now(): { nowMs: number; wallMs: number } {
    return { nowMs: this.#host.clock.nowMs(), wallMs: this.#host.clock.wallMs() };
  }
}

function rank(instance: Instance): number {
  return instance.state === 'unhealthy' ? 0 : 1;
}

function fixedPort(config: BackendConfig): number | null {
  return config.source.driver === 'process' && config.source.process.port !== 'auto'
    ? config.source.process.port
    : null;
}
