/**
 * One backend: its phase (the table is in model/backend.ts) and who acts on it. The way up is in waking.ts, the way down in falling-asleep.ts, a changed
 * source in replacement.ts, what runs in fleet.ts, what gateways are told in announcer.ts. Every method runs as one step of the controller (turns.ts).
 * Timers exist only while it is waking, awake or falling asleep, or while a crash holds back something that is wanted.
 */
import { isDeepStrictEqual } from 'node:util';
import { BACKEND_TRANSITIONS, type BackendPhase, type Crash, type WakeCause } from '../model/backend.ts';
import type { BackendConfig } from '../model/config.ts';
import type { DemandWindow, IdleVerdict, TriggerDemand } from '../model/demand.ts';
import { DormouseError } from '../model/errors.ts';
import type { Logger } from '../model/ports.ts';
import type { BackendEvent, FinishedRun } from '../model/status.ts';
import type { Drained } from '../link/messages.ts';
import type { Instance } from '../drivers/driver.ts';
import { idleRule, type IdleDecision } from '../autoscaling/index.ts';
import { Announcer } from './announcer.ts';
import type { BackendHost, Machine, Neighbour, Peer } from './backend-host.ts';
import { DemandSum } from './demand-sum.ts';
import { FallingAsleep } from './falling-asleep.ts';
import { Fleet } from './fleet.ts';
import type { Generation } from './generation.ts';
import { Leases } from './leases.ts';
import { BackendCounters } from './metrics.ts';
import { Replacement } from './replacement.ts';
import { Runs } from './runs.ts';
import { Scaling } from './scaling.ts';
import { Alarm } from './timers.ts';
import type { Waiter } from './waiters.ts';
import { Waking } from './waking.ts';
import { askedFor, httpName, type Asked, type RequestMetric } from './asked.ts';
import { causeText, crashText } from './why.ts';

/** An instance that is taken away for scale-down stays draining this long at most; then it serves again and a later decision tries anew. */
const SCALE_DOWN_BOUND_MS = 300_000;
/** How often it is looked whether a pin has ended. */
const PIN_LOOK_MS = 60_000;
const NOTHING_ASKED = { active: [], keptBy: [] } as const;

export class BackendController implements Machine, Neighbour {
  readonly name: string;
  readonly host: BackendHost;
  readonly logger: Logger;
  readonly demand: DemandSum<Peer>;
  readonly leases: Leases<Peer>;
  readonly counters = new BackendCounters();
  /** Of scale.jobs. */
  readonly runs = new Runs();
  readonly fleet: Fleet;
  readonly waking: Waking;
  readonly fallingAsleep: FallingAsleep;
  readonly #scaling: Scaling;
  readonly #announcer: Announcer;
  readonly #replacement: Replacement;
  #config: BackendConfig;
  #phase: BackendPhase = 'asleep';
  #sinceWallMs: number;
  #why = 'nobody has asked for it yet';
  #awakeSinceMs = 0;
  /** The last command or poke, monotonic. */
  #touchedMs = 0;
  #blocked: Crash | null = null;
  #lastCrash: Crash | null = null;
  #toldCrash: Crash | null = null;
  /** Resolves `remove`. */
  #removed: (() => void) | null = null;
  #triggers: TriggerDemand | null = null;
  #wasActive = false;
  #verdict: IdleVerdict | null = null;
  #closed = false;
  /** Its clients reach it without gateways. */
  #direct = false;
  /** As it was told last. */
  #toldWanted = false;
  /** Kept awake by command until then, wall clock ms; 0: it is not. */
  #pinnedUntilMs = 0;
  readonly #pinAlarm: Alarm;
  readonly #idleAlarm: Alarm;
  #idleAtMs = 0;
  readonly #removalAlarm: Alarm;

  constructor(config: BackendConfig, host: BackendHost) {
    this.name = config.name;
    this.#config = config;
    this.host = host;
    this.logger = host.logger.child({ backend: config.name });
    this.demand = new DemandSum(config.scale.windows.stableMs);
    this.leases = new Leases(config.wake);
    this.fleet = new Fleet(host, this.logger);
    this.#scaling = new Scaling(config.scale);
    this.#sinceWallMs = host.clock.wallMs();
    this.#pinAlarm = new Alarm(host.timers, host.turn);
    this.#idleAlarm = new Alarm(host.timers, host.turn);
    this.#removalAlarm = new Alarm(host.timers, host.turn);
    this.waking = new Waking(this, this.#scaling);
    this.fallingAsleep = new FallingAsleep(this, this.waking, () => this.#finishRemoval());
    this.#replacement = new Replacement(this, this.waking, (id) => this.#retireOne(id));
    this.#announcer = new Announcer(
      config.name,
      host,
      () => host.peers(this.#config),
      () => ({
        phase: this.#phase,
        endpoints: this.fleet.endpoints(this.#phase),
        // While an attempt is under way nothing is crashing: requests are worth holding.
        crash: this.#phase === 'waking' ? null : this.crash,
        wakingSinceMs: this.#phase === 'waking' ? (this.waking.attempt?.sinceWallMs ?? 0) : 0,
        ...(this.#direct ? { direct: true } : {}),
      }),
      (version, peers) => this.fleet.drains.told(version, peers),
    );
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

  get ending(): boolean {
    return this.#removed !== null || this.#closed;
  }

  get driverKind(): 'process' | 'static' | 'kubernetes' {
    return this.fleet.started ? this.fleet.driver.kind : this.#config.source.driver;
  }

  /** Why it is in its phase, one sentence. */
  get why(): string {
    if (this.#phase === 'awake' && this.fleet.old.length > 0) {
      return this.crash === null
        ? `${this.#why}; its instances are being replaced by the changed configuration's`
        : `its changed configuration can't be started (${this.crash.reason}): requests go on to the instances of the old one`;
    }
    const { waitsFor } = this.waking;
    return waitsFor === null ? this.#why : `${this.#why}; waits for ${waitsFor} to be awake`;
  }

  /** The crash that is known, whether or not it holds anything back now. */
  get crash(): Crash | null {
    return this.#lastCrash ?? this.#blocked;
  }

  get needsDependencies(): boolean {
    return this.#phase !== 'asleep' && this.fleet.started && this.fleet.driver.canScale;
  }

  get triggers(): TriggerDemand | null {
    return this.#triggers;
  }

  get verdict(): IdleVerdict | null {
    return this.#verdict;
  }

  /** Whether it is to run, for whoever else writes its zero; null: not known yet. False only from the moment on at which gateways have nothing on its instances, and want nothing of it. */
  get wanted(): boolean | null {
    if (this.#phase === 'falling-asleep') return this.fallingAsleep.stage !== 'retiring';
    if (this.#phase !== 'asleep') return true;
    // What runs already is not known at once after a start.
    return this.#sharesControl && this.fleet.driver.replicas?.() == null ? null : false;
  }

  /** What its triggers ask for together. */
  get asked(): Asked {
    const http = this.host.isRouted(this.name) ? this.#ofRequests() : null;
    return askedFor(this.#triggers, this.#config, http, this.#wallMs());
  }

  #ofRequests(): RequestMetric {
    const { demand } = this;
    const { value, burst, target } = this.#scaling.ofRequests(demand, this.#nowMs());
    const active = value > 0 || demand.inFlight > 0 || demand.held > 0;
    return { name: httpName(this.#config.triggers), value, burst, target, active, atMs: this.#wallMs() };
  }

  /** Until when it is kept awake by command, wall clock ms; 0: it is not. */
  get pinnedUntilMs(): number {
    return this.#pinnedUntilMs > this.#wallMs() ? this.#pinnedUntilMs : 0;
  }

  /** The same as a sentence; null: it is not. */
  get pinned(): string | null {
    const untilMs = this.pinnedUntilMs;
    return untilMs === 0 ? null : `kept awake by command until ${new Date(untilMs).toISOString()}`;
  }

  /** With scale.jobs: runs that are to be started now. */
  get missingRuns(): number {
    const { jobs, max } = this.#config.scale;
    if (jobs === null || this.ending) return 0;
    const running = this.fleet.all.length;
    return Math.min(this.runs.missing(this.#triggers, jobs.batch, running, this.#wallMs()), max - running);
  }

  get shortWindowMs(): number {
    return this.#scaling.shortWindowMs;
  }

  idle(): IdleDecision {
    // Most have none, and this is asked often.
    const { active, keptBy: unasked } =
      this.#config.triggers.length === 0 && this.#triggers === null ? NOTHING_ASKED : this.asked;
    const keptBy = this.host.dependents(this.name).filter((other) => other.needsDependencies);
    return idleRule({
      nowMs: this.#nowMs(),
      idleAfterMs: this.#config.scale.idleAfterMs,
      awakeSinceMs: this.#awakeSinceMs,
      lastActivityMs: Math.max(this.demand.lastActivityMs, this.#touchedMs),
      inFlight: this.demand.inFlight,
      held: this.demand.held,
      tunnels: this.demand.tunnels,
      webSockets: this.#config.idle.webSockets,
      keptBy: [
        ...keptBy.map((other) => `${other.name} is ${other.phase} and needs it`),
        ...(this.pinned === null ? [] : [this.pinned]),
        ...active,
        ...unasked,
        ...(this.#verdict?.keptBy ?? []),
      ],
    });
  }

  heldBack(): Crash | null {
    const wallMs = this.#wallMs();
    const blocked = this.#blocked;
    return this.fleet.current.heldBackBy(wallMs) ?? (blocked !== null && wallMs < blocked.retryAtMs ? blocked : null);
  }

  // ---- its life

  /** Makes the driver; a static backend, or one with min > 0, begins at once. */
  start(): void {
    this.#addGeneration();
    if (!this.fleet.driver.canScale) {
      this.enter('awake', causeText({ kind: 'static', atMs: 0 }));
      this.publish();
    } else if (this.#config.scale.min > 0) this.waking.begin({ kind: 'min', atMs: this.#wallMs() });
  }

  /** New settings. A changed source or health check, or another way to speak to instances, replaces what runs, one after the other; everything else is applied in place. */
  reconfigure(next: BackendConfig): void {
    const before = this.#config;
    this.#config = next;
    this.leases.limit(next.wake);
    this.demand.windowMs = next.scale.windows.stableMs;
    this.#scaling.reconfigure(next.scale);
    if (!isDeepStrictEqual(ofDriver(before), ofDriver(next))) this.#replaceSource();
    if (this.#phase === 'asleep') {
      this.waking.keepAwake('min');
      return;
    }
    this.fleet.target = this.#scaling.clamp(this.fleet.target);
    this.refreshTicking();
    this.maintain();
    this.#idleAlarm.cancel();
    this.evaluateIdle();
  }

  #replaceSource(): void {
    this.#addGeneration();
    this.#lastCrash = null;
    this.#blocked = null;
    const { attempt } = this.waking;
    const { canScale } = this.fleet.driver;
    if (this.#phase === 'asleep' || (this.#phase === 'waking' && !canScale)) {
      this.waking.stop();
      this.fleet.closeOld();
      if (!canScale) {
        this.enter('awake', causeText({ kind: 'static', atMs: 0 }));
        this.waking.waiters.resolve();
      }
      this.publish();
    } else if (this.#phase === 'waking' && attempt !== null) this.#replacement.whileStarting(attempt);
    // Awake: `maintain` replaces it. Falling asleep: what runs ends anyway; if that is taken back, `maintain` replaces it.
  }

  /** Drains (bounded by shutdown.drain), ends what runs and closes the driver. Resolves when all of it is gone. */
  remove(): Promise<void> {
    const { promise, resolve } = Promise.withResolvers<void>();
    const reason = 'it was removed from the configuration';
    this.#removed = resolve;
    this.host.tick(this, false);
    this.#idleAlarm.cancel();
    this.#pinAlarm.cancel();
    this.waking.stop();
    this.waking.waiters.reject(
      new DormouseError('DORMOUSE_BACKEND_REMOVED', `${this.name}: ${reason}`, { userFault: true }),
    );
    // What is being ended goes on, and tells when it is done.
    if (this.fallingAsleep.stage === 'retiring') return promise;
    this.fallingAsleep.stop();
    this.fallingAsleep.reject(reason);
    if (this.#phase === 'asleep' || this.#phase === 'waking') {
      this.#finishRemoval();
      return promise;
    }
    this.enter('falling-asleep', reason);
    this.fleet.drainAll('remove');
    const boundMs = this.host.drainMs();
    this.#removalAlarm.set(boundMs, () => {
      this.logger.warn('removed with something still in flight: the drain bound has passed', { boundMs });
      this.#finishRemoval();
    });
    this.publish();
    this.#afterDrains();
    return promise;
  }

  #finishRemoval(): void {
    const removed = this.#removed;
    if (removed === null || this.#closed) return;
    if (this.#phase !== 'asleep') this.fallAsleep('it was removed from the configuration');
    void this.close().then(removed);
  }

  /** Stops every timer and ends what runs. */
  async close(): Promise<void> {
    this.#closed = true;
    this.#pinAlarm.cancel();
    this.#stopAlarms();
    this.host.tick(this, false);
    const error = new DormouseError('DORMOUSE_CLOSING', `${this.name}: dormouse is ending`);
    this.waking.waiters.reject(error);
    this.fallingAsleep.waiters.reject(error);
    this.#removed?.();
    await this.fleet.closeAll();
  }

  // ---- from gateways

  /** A gateway has been given the configuration: it has to know what isn't asleep. */
  joined(peer: Peer): void {
    this.fleet.drains.join(peer);
    if (this.#phase !== 'asleep' || this.crash !== null) this.#announcer.sendTo(peer);
  }

  /** This gateway has something of a former controller about it: it has to know too that it is asleep. */
  confirm(peer: Peer): void {
    if (this.#phase === 'asleep' && this.crash === null) this.#announcer.sendTo(peer);
  }

  left(peer: Peer): void {
    this.demand.forget(peer);
    this.leases.forget(peer);
    this.fleet.drains.forget(peer);
    this.#afterDrains();
    this.evaluateIdle();
  }

  /** A request found no endpoint. */
  poked(peer: Peer, cause: WakeCause): void {
    if (this.ending) return;
    const before = this.#announcer.version;
    this.wakeUp(cause);
    // While a crash holds starts back, it has been told already, or that is on its way: the next poke after it starts again.
    if (this.#announcer.version === before && this.#phase === 'awake') this.#announcer.sendTo(peer);
  }

  reported(peer: Peer, window: DemandWindow): void {
    this.demand.report(peer, window, this.#now());
    if (this.ending) return;
    switch (this.#phase) {
      case 'asleep':
        // It was held before the gateway heard that nobody would wake it: nobody else will say so.
        if (window.held > 0) this.wakeUp({ kind: 'demand', atMs: this.#wallMs() });
        break;
      case 'waking':
        if (window.held > 0) this.waking.wanted();
        break;
      case 'awake':
        this.evaluateIdle();
        break;
      case 'falling-asleep':
        this.fallingAsleep.lookAgain(window.held);
        break;
    }
  }

  drained(peer: Peer, answer: Drained): void {
    this.demand.answered(peer, answer.held, answer.lastActivityMs, this.#now());
    this.fleet.drains.answer(peer, answer.endpoint, answer.version);
    if (!this.ending) this.fallingAsleep.lookAgain(answer.held);
    this.#afterDrains();
  }

  /** What its triggers want has changed. */
  triggered(demand: TriggerDemand | null): void {
    const wasActive = this.#wasActive;
    this.#triggers = demand;
    const { active, keptBy } = this.asked;
    this.#wasActive = active.length > 0;
    if (this.#config.scale.jobs !== null) {
      this.#lookAtRuns();
      return;
    }
    if (this.ending) return;
    const [reason] = active;
    if (reason === undefined) {
      // A source that fails is not the end of its work.
      if (keptBy.length > 0 && this.#phase === 'falling-asleep') this.fallingAsleep.lookAgain(0);
      // Its end is the last thing that was needed of it.
      if (wasActive) this.touch();
      this.evaluateIdle();
    } else if (!wasActive) {
      this.wakeUp({ kind: 'trigger', trigger: reason, atMs: this.#wallMs() });
      // A crash may hold it back for now.
      this.waking.keepAwake('restart');
    } else this.evaluateIdle();
  }

  /** What its idle sources say has changed. */
  idleVerdict(verdict: IdleVerdict | null): void {
    const before = this.#verdict?.wake ?? null;
    this.#verdict = verdict;
    if (this.ending) return;
    const wake = verdict?.wake ?? null;
    if (wake !== null && before === null) {
      this.wakeUp({ kind: 'schedule', trigger: wake, atMs: this.#wallMs() });
      this.waking.keepAwake('restart');
    } else if (this.#phase === 'falling-asleep') this.fallingAsleep.lookAgain(0);
    else {
      // The moment at which it may sleep may be an earlier one now.
      this.#idleAlarm.cancel();
      this.evaluateIdle();
    }
  }

  /** Whether its clients reach it without gateways now. */
  setDirect(direct: boolean): void {
    if (direct === this.#direct) return;
    this.#direct = direct;
    this.publish();
  }

  /** Wakes it and keeps it awake until then, wall clock ms; null: that is over. */
  pin(untilMs: number | null): void {
    const before = this.#pinnedUntilMs;
    this.#pinnedUntilMs = untilMs ?? 0;
    if (this.ending || (untilMs ?? 0) === before) return;
    this.#watchPin();
    if (this.pinned === null) {
      this.#idleAlarm.cancel();
      this.evaluateIdle();
      return;
    }
    this.wakeUp({ kind: 'command', atMs: this.#wallMs() });
    // A crash may hold it back for now.
    this.waking.keepAwake('restart');
  }

  /** The wall clock may be set while it waits, and a timer takes no more than 24 days. */
  #watchPin(): void {
    this.#pinAlarm.cancel();
    const leftMs = this.#pinnedUntilMs - this.#wallMs();
    if (leftMs <= 0) {
      this.#pinnedUntilMs = 0;
      this.evaluateIdle();
      return;
    }
    this.#pinAlarm.set(Math.min(leftMs, PIN_LOOK_MS), () => this.#watchPin());
  }

  // ---- wanted and not

  /** Somebody wants it. Does nothing while a crash holds starts back. */
  wakeUp(cause: WakeCause): void {
    if (this.ending) return;
    this.touch();
    switch (this.#phase) {
      case 'awake':
        this.evaluateIdle();
        break;
      case 'waking':
        this.waking.wanted();
        break;
      case 'asleep':
        if (this.heldBack() === null) this.waking.begin(cause);
        break;
      case 'falling-asleep':
        this.fallingAsleep.wake(cause);
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
    const crash = this.#phase === 'asleep' ? this.heldBack() : null;
    if (crash !== null) waiter.reject(this.waking.crashError(crash));
    else if (this.#phase === 'asleep' || this.ending) waiter.reject(this.waking.failure());
    else this.waking.waiters.add(waiter);
  }

  forgetWaiter(waiter: Waiter): void {
    this.waking.waiters.remove(waiter);
    this.fallingAsleep.waiters.remove(waiter);
  }

  touch(): void {
    this.#touchedMs = this.#nowMs();
  }

  /** Arms the timer for the moment at which the idle rule could hold, or begins to fall asleep. */
  evaluateIdle(): void {
    const { min, jobs } = this.#config.scale;
    // A run is never ended because nothing waits any more: it ends by itself.
    if (this.#phase !== 'awake' || this.ending || !this.fleet.driver.canScale || min > 0 || jobs !== null) {
      this.#idleAlarm.cancel();
      return;
    }
    // A timer that comes too early looks again; setting it anew for each report would cost more.
    if (this.#idleAlarm.armed && this.#idleAtMs > this.#nowMs()) return;
    const idle = this.idle();
    if (idle.decision === 'sleep') this.fallingAsleep.begin('idle', idle.reason);
    else if (idle.decision === 'wait') {
      this.#idleAtMs = idle.atMs;
      this.#idleAlarm.set(idle.atMs - this.#nowMs(), () => this.evaluateIdle());
    }
  }

  // ---- the number of instances

  /** The autoscaler's tick. */
  tick(attached: boolean): void {
    const nowMs = this.#nowMs();
    if (attached) this.demand.quiet(nowMs);
    if (this.#config.scale.jobs !== null) {
      this.#lookAtRuns();
      return;
    }
    if (this.#phase !== 'awake' && this.waking.attempt?.stage !== 'starting') return;
    const { fleet, asked } = this;
    // A source that fails never makes it smaller.
    const least = asked.keptBy.length > 0 ? Math.max(asked.desired ?? 0, fleet.target) : asked.desired;
    const { decision, desired, reason } = this.#scaling.decide(
      this.demand,
      nowMs,
      fleet.ownReady,
      fleet.target,
      least,
      asked.formula?.value != null,
    );
    if (decision === 'scale') {
      this.tell('scaled', `${this.name}: ${fleet.target} -> ${desired} instances (${reason})`);
      fleet.target = desired;
    }
    this.maintain();
  }

  refreshTicking(): void {
    const on = this.#phase !== 'asleep' && this.#scaling.active && this.fleet.driver.canScale && !this.ending;
    this.host.tick(this, on);
  }

  /** As far as crashes and drains allow; replaces old generations too. */
  maintain(): void {
    const awake = this.#phase === 'awake';
    if (this.ending || (!awake && this.waking.attempt?.stage !== 'starting')) return;
    const { fleet } = this;
    if (this.#config.scale.jobs !== null) {
      this.#startRuns();
      return;
    }
    if (fleet.driver.canScale) {
      if (awake && this.#replacement.portIsTaken) {
        this.#replacement.oneAfterTheOther();
        this.#afterDrains();
        return;
      }
      const live = fleet.own.length;
      if (this.#follows && awake) fleet.target = Math.max(1, live);
      if (live < fleet.target) this.#scaleUp(fleet.target - live);
      else if (live > fleet.target && awake) this.#scaleDown();
    }
    if (this.#phase === 'awake' && this.#replacement.retireOld()) {
      this.publish();
      this.#afterDrains();
    }
  }

  // ---- runs (scale.jobs)

  /** Something has changed of what waits, or of what runs. */
  #lookAtRuns(): void {
    if (this.ending) return;
    if (this.#phase !== 'asleep') this.maintain();
    else if (this.missingRuns > 0) {
      const crash = this.heldBack();
      const trigger = this.#triggers?.active[0] ?? 'messages wait';
      if (crash === null) this.waking.begin({ kind: 'trigger', trigger, atMs: this.#wallMs() });
      else this.waking.retryAfter(crash, () => this.#lookAtRuns());
    }
  }

  /** The one way up; there is none down. */
  #startRuns(): void {
    const { fleet } = this;
    for (const old of fleet.old) if (old.counted().length === 0) void fleet.close(old);
    const missing = this.missingRuns;
    if (missing <= 0) return;
    const crash = this.heldBack();
    fleet.target = fleet.own.length + missing;
    if (crash === null) fleet.raise();
    else this.waking.retryAfter(crash, () => this.maintain());
  }

  #runEnded(run: FinishedRun): void {
    const { jobs } = this.#config.scale;
    if (this.#closed || jobs === null) return;
    this.runs.finished(run, jobs.history);
    this.fleet.target = Math.max(0, this.fleet.target - 1);
    if (!run.ok) this.tell('instance', `${run.id} failed: ${run.reason}`);
  }

  #runsAreDone(): void {
    this.fallAsleep(this.crash === null ? 'its runs are done' : `crashing: ${this.crash.reason}`);
    this.publish();
    this.tell('asleep', `${this.name} is asleep: ${this.#why}`);
    this.waking.waiters.reject(this.waking.failure());
    this.#lookAtRuns();
  }

  #scaleUp(missing: number): void {
    const back = this.fleet.takeBack(missing);
    if (back > 0) this.publish();
    if (back >= missing) return;
    const crash = this.heldBack();
    if (crash === null) this.fleet.raise();
    else this.waking.retryAfter(crash, () => this.maintain());
  }

  #scaleDown(): void {
    const surplus = this.fleet.surplus();
    if (surplus.length === 0) return;
    for (const id of surplus) this.fleet.drain(id, 'scale-down', SCALE_DOWN_BOUND_MS, () => this.#scaleDownBound(id));
    this.publish();
    this.#afterDrains();
  }

  /** It can't be emptied: it serves again, unless all that is left are tunnels that are to be ignored. */
  #scaleDownBound(id: string): void {
    const goOn = this.#config.idle.webSockets === 'ignore' && this.demand.inFlight === 0;
    this.logger.info('the drain bound of an instance has passed', { instance: id, goesOn: goOn });
    if (goOn) {
      this.#retireOne(id);
      return;
    }
    this.fleet.drains.drop(id);
    this.fleet.target = Math.max(this.fleet.target, this.fleet.own.length);
    this.publish();
  }

  /** A gateway has answered, or is gone: who is drained now? */
  #afterDrains(): void {
    const { drains } = this.fleet;
    for (const purpose of ['scale-down', 'replace'] as const)
      for (const id of drains.drained(purpose)) this.#retireOne(id);
    if (!this.ending) this.fallingAsleep.progress();
    else if (this.fallingAsleep.stage === null && drains.of('remove').length === drains.drained('remove').length)
      this.#finishRemoval();
  }

  #retireOne(id: string): void {
    const ended = this.fleet.retireOne(id);
    this.publish();
    if (ended !== null) this.#settleAfter([ended]);
  }

  #settleAfter(ends: readonly Promise<void>[]): void {
    for (const ended of ends) void ended.then(() => this.host.turn(() => this.settle()));
  }

  // ---- from the driver

  #addGeneration(): void {
    const inForce = (): BackendConfig['scale'] => this.#config.scale;
    // Limits change in place while a driver lives: it reads the ones that are in force.
    const config: BackendConfig = {
      ...this.#config,
      get scale() {
        return inForce();
      },
    };
    this.fleet.add(config, {
      instance: (instance) => this.#instanceChanged(instance),
      crash: (from, crash) => this.#crashed(from, crash),
      run: (run) => this.#runEnded(run),
    });
  }

  #instanceChanged(instance: Instance): void {
    if (this.#closed) return;
    if (instance.state === 'gone' || instance.state === 'frozen') this.fleet.drains.drop(instance.id);
    if (instance.state === 'unhealthy') this.tell('instance', `${instance.id} is unhealthy: ${instance.reason}`);
    this.settle();
  }

  #crashed(from: Generation, crash: Crash | null): void {
    if (this.#closed || from !== this.fleet.current) return;
    const before = this.#lastCrash;
    this.#lastCrash = crash;
    if (crash !== null && !isSame(crash, before)) {
      this.counters.crashes++;
      this.logger.warn('an instance crashed', { reason: crash.reason, attempts: crash.attempts });
    }
    if (crash === null && before !== null) this.tell('recovered', `${this.name} has recovered`);
    this.settle();
    if (crash !== null) this.tellCrash(crash);
    this.#publishIfOutdated();
    this.maintain();
  }

  settle(): void {
    if (this.#closed) return;
    switch (this.#phase) {
      case 'asleep':
        if (this.#sharesControl) {
          this.#adopt();
          break;
        }
        if (this.fleet.driver.canScale) this.#settleAfter(this.fleet.retireStrays());
        this.fleet.closeEmptied();
        break;
      case 'waking':
        this.#settleWaking();
        break;
      case 'awake':
        this.#settleAwake();
        break;
      case 'falling-asleep':
        if (this.fallingAsleep.stage === 'draining') {
          this.fallingAsleep.include();
          this.#publishIfOutdated();
        }
        this.#afterDrains();
        break;
    }
  }

  /** Others may scale the same workload, and an instance that we did not ask for is as good as one that we did. */
  get #sharesControl(): boolean {
    return this.driverKind === 'kubernetes';
  }

  /** Between one and max somebody else decides. */
  get #follows(): boolean {
    return this.#sharesControl && this.#config.scale.by !== 'dormouse';
  }

  /** It runs already: it did so before we came, or somebody else has scaled it up. */
  #adopt(): void {
    const { own } = this.fleet;
    const runs = own.some((instance) => instance.state === 'ready');
    if (this.ending || own.length === 0 || (!runs && this.heldBack() !== null)) return;
    this.fleet.target = own.length;
    this.waking.begin({ kind: 'external', atMs: this.#wallMs() });
  }

  #settleWaking(): void {
    const { attempt } = this.waking;
    if (attempt?.stage === 'replacing') this.#replacement.progress(attempt);
    if (attempt?.stage !== 'starting' || attempt !== this.waking.attempt) return;
    const live = this.fleet.all;
    if (live.some((instance) => instance.state === 'ready')) {
      this.#awakeSinceMs = this.#nowMs();
      this.waking.done();
      this.maintain();
      this.evaluateIdle();
      return;
    }
    const whileStarting = this.#sharesControl && this.#config.scale.jobs === null;
    const crash = live.length === 0 || whileStarting ? this.heldBack() : null;
    if (crash !== null) this.waking.failed(crash);
    // It was over before it was seen to run.
    else if (this.#config.scale.jobs !== null && live.length === 0 && this.runs.lastEndMs >= attempt.sinceWallMs)
      this.#runsAreDone();
  }

  #settleAwake(): void {
    const live = this.fleet.all;
    if (this.#config.scale.jobs !== null) {
      if (live.length === 0) this.#runsAreDone();
      else {
        this.#publishIfOutdated();
        this.maintain();
      }
      return;
    }
    const serves = live.some((instance) => instance.state === 'ready' || instance.state === 'unhealthy');
    // Only unhealthy ones: they may recover, and another start would not be better. Gateways answer 503.
    if (!serves && this.fleet.driver.canScale) {
      this.#lostAll(live.length > 0);
      return;
    }
    this.#publishIfOutdated();
    this.maintain();
  }

  /** Nothing of an awake backend is left that could answer. */
  #lostAll(starting: boolean): void {
    const { drains } = this.fleet;
    const leaving = drains.of('scale-down');
    if (leaving.length > 0) {
      // One that was to go still runs: it serves on.
      for (const id of leaving) drains.drop(id);
      this.publish();
      this.settle();
      return;
    }
    const crash = starting ? null : this.heldBack();
    if (this.#sharesControl && this.fleet.driver.replicas?.() === 0) this.#endedByOthers();
    else if (crash !== null) this.waking.failed(crash);
    else if (starting || this.#config.scale.min > 0 || this.idle().decision !== 'sleep') {
      this.waking.begin({ kind: 'restart', atMs: this.#wallMs() });
    } else {
      this.fallAsleep('its instance ended, and nobody needs it now');
      this.publish();
      this.tell('asleep', `${this.name} is asleep: ${this.#why}`);
    }
  }

  /** Somebody else has put it to sleep, and has his reasons: a request wakes it. */
  #endedByOthers(): void {
    this.fallAsleep('somebody else scaled it to zero');
    this.publish();
    this.tell('asleep', `${this.name} is asleep: ${this.#why}`);
    if (this.demand.held > 0) this.wakeUp({ kind: 'demand', atMs: this.#wallMs() });
    else this.waking.keepAwake('restart');
  }

  // ---- phase and word of it

  enter(phase: BackendPhase, why: string): void {
    if (phase !== this.#phase) {
      if (!BACKEND_TRANSITIONS[this.#phase].includes(phase)) {
        this.logger.error('a transition that the table does not have', { from: this.#phase, to: phase });
      }
      this.#sinceWallMs = this.#wallMs();
    }
    if (phase !== 'awake') this.#idleAlarm.cancel();
    this.#phase = phase;
    this.#why = why;
    this.tellWanted();
  }

  /** Tells whoever scales it to zero and back, if that has changed. */
  tellWanted(): void {
    const wanted = this.wanted === true;
    if (wanted === this.#toldWanted) return;
    this.#toldWanted = wanted;
    this.host.wanted(this.name, wanted);
  }

  fallAsleep(why: string): void {
    this.#stopAlarms();
    this.enter('asleep', why);
    this.fleet.target = 0;
    this.fleet.closeEmptied();
    this.host.tick(this, false);
    this.demand.forgetWindows();
    for (const name of this.#config.wake.with) this.host.backend(name)?.evaluateIdle();
  }

  block(crash: Crash | null): void {
    this.#blocked = crash;
  }

  publish(): void {
    // A later backend of the same name speaks now; what is in flight here ends by itself or by the bound.
    if (this.#removed !== null && this.host.backend(this.name) !== undefined) return;
    this.#announcer.publish();
  }

  #publishIfOutdated(): void {
    if (this.#announcer.outdated) this.publish();
  }

  tell(kind: BackendEvent['kind'], message: string, more: Pick<BackendEvent, 'tookMs' | 'cause'> = {}): void {
    this.host.event({ atMs: this.#wallMs(), backend: this.name, kind, message, ...more });
  }

  /** Once for each, although driver and phase may both come to it. */
  tellCrash(crash: Crash): void {
    if (isSame(crash, this.#toldCrash)) return;
    this.#toldCrash = crash;
    this.tell('crash', crashText(this.name, crash, this.#wallMs()));
  }

  #stopAlarms(): void {
    this.#idleAlarm.cancel();
    this.#removalAlarm.cancel();
    this.waking.stop();
    this.fallingAsleep.stop();
  }

  #nowMs(): number {
    return this.host.clock.nowMs();
  }

  #wallMs(): number {
    return this.host.clock.wallMs();
  }

  #now(): { nowMs: number; wallMs: number } {
    return { nowMs: this.#nowMs(), wallMs: this.#wallMs() };
  }
}

function isSame(a: Crash, b: Crash | null): boolean {
  return b !== null && a.atMs === b.atMs && a.attempts === b.attempts;
}

/** What a driver works by: who runs, and how it is asked whether it is well. */
function ofDriver({ source, health, tls, proxyProtocol, endpoints }: BackendConfig): unknown {
  return { source, health, tls, proxyProtocol, protocol: endpoints.protocol };
}
