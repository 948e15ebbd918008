/** The way from asleep to awake: dependencies one after the other, then the driver, then the first endpoint; or why it ended otherwise. */
import type { Crash, WakeCause } from '../model/backend.ts';
import { DormouseError } from '../model/errors.ts';
import { span } from '../autoscaling/index.ts';
import type { Machine, Neighbour } from './backend-host.ts';
import type { Scaling } from './scaling.ts';
import { Alarm } from './timers.ts';
import { Waiters } from './waiters.ts';
import { nobodyWaits, watchIntervalMs, type WakeAttempt } from './wake-attempt.ts';
import { awakeText, causeText, crashText } from './why.ts';

export class Waking {
  /** Told when it is awake, or why it can't be. */
  readonly waiters = new Waiters();
  lastWoken: { atMs: number; by: WakeCause; tookMs: number } | null = null;
  readonly #machine: Machine;
  readonly #scaling: Scaling;
  readonly #watchAlarm: Alarm;
  /** Starts again what a crash holds back, once the back-off has passed. */
  readonly #retryAlarm: Alarm;
  #attempt: WakeAttempt | null = null;

  constructor(machine: Machine, scaling: Scaling) {
    this.#machine = machine;
    this.#scaling = scaling;
    const { timers, turn } = machine.host;
    this.#watchAlarm = new Alarm(timers, turn);
    this.#retryAlarm = new Alarm(timers, turn);
  }

  get attempt(): WakeAttempt | null {
    return this.#attempt;
  }

  /** What it waits for, when that is another backend. */
  get waitsFor(): string | null {
    if (this.#attempt?.stage !== 'dependencies') return null;
    return this.#machine.config.wake.with[this.#attempt.next] ?? null;
  }

  /** Stops every timer and forgets the attempt. */
  stop(): void {
    this.#attempt = null;
    this.#watchAlarm.cancel();
    this.#retryAlarm.cancel();
  }

  /** Somebody waits for it now. */
  wanted(): void {
    if (this.#attempt !== null) this.#attempt.wantedMs = this.#nowMs();
  }

  begin(cause: WakeCause): void {
    const machine = this.#machine;
    const attempt = this.#open(cause, 'dependencies');
    machine.block(null);
    this.#scaling.reset();
    machine.enter('waking', causeText(cause));
    machine.refreshTicking();
    this.#watch();
    this.#wakeDependencies(attempt);
    if (this.#attempt !== attempt) return;
    machine.publish();
    machine.tell('waking', `${machine.name} is waking (${causeText(cause)})`, { cause });
  }

  /** What runs holds the only port: it is emptied first, while requests are held. */
  beginReplacement(): void {
    const cause: WakeCause = { kind: 'reload', atMs: this.#wallMs() };
    this.#open(cause, 'replacing');
    this.#machine.enter('waking', causeText(cause));
    this.#watch();
  }

  #open(cause: WakeCause, stage: WakeAttempt['stage']): WakeAttempt {
    const nowMs = this.#nowMs();
    this.#retryAlarm.cancel();
    const attempt: WakeAttempt = {
      cause,
      stage,
      sinceMs: nowMs,
      sinceWallMs: this.#wallMs(),
      next: 0,
      askedMs: nowMs,
      wantedMs: nowMs,
    };
    this.#attempt = attempt;
    return attempt;
  }

  #wakeDependencies(attempt: WakeAttempt): void {
    const { config, host, name: self } = this.#machine;
    while (this.#attempt === attempt && attempt.stage === 'dependencies') {
      const name = config.wake.with[attempt.next];
      if (name === undefined) {
        this.startInstances(attempt);
        return;
      }
      const dependency = host.backend(name);
      if (dependency === undefined) {
        attempt.next++;
        continue;
      }
      if (!this.#awaitDependency(attempt, dependency, { kind: 'dependency', backend: self, atMs: this.#wallMs() }))
        return;
    }
  }

  /** True when it was awake at once, so that the next one may follow; otherwise the answer goes on from there. */
  #awaitDependency(attempt: WakeAttempt, dependency: Neighbour, cause: WakeCause): boolean {
    let returned = false;
    let atOnce = false;
    dependency.ensureAwake(cause, {
      resolve: () => {
        if (this.#attempt !== attempt) return;
        attempt.next++;
        if (returned) this.#wakeDependencies(attempt);
        else atOnce = true;
      },
      reject: (error) => {
        if (this.#attempt === attempt) this.#dependencyFailed(dependency, error);
      },
    });
    returned = true;
    return atOnce;
  }

  #dependencyFailed(dependency: Neighbour, error: DormouseError): void {
    const wallMs = this.#wallMs();
    const { crash } = dependency;
    const blocked: Crash = {
      reason: `${dependency.name}, which it needs, is not awake: ${error.message}`,
      atMs: wallMs,
      retryAtMs: crash === null ? wallMs : Math.max(wallMs, crash.retryAtMs),
      attempts: crash?.attempts ?? 1,
      lastLogLines: crash?.lastLogLines ?? [],
    };
    this.#machine.block(blocked);
    this.failed(blocked);
  }

  startInstances(attempt: WakeAttempt): void {
    const { fleet, demand } = this.#machine;
    attempt.stage = 'starting';
    attempt.askedMs = this.#nowMs();
    const runs = this.#machine.config.scale.jobs !== null;
    // Something that is started again gets as many as it had.
    fleet.target = runs
      ? Math.max(1, fleet.own.length + this.#machine.missingRuns)
      : Math.max(
          this.#scaling.clamp(fleet.target),
          this.#scaling.first(demand.held),
          this.#scaling.clamp(this.#machine.asked.desired ?? 0),
        );
    fleet.raise();
    this.#machine.settle();
  }

  /** Does anybody still wait, and is the driver still at it? */
  #watch(): void {
    const { wake } = this.#machine.config;
    this.#watchAlarm.set(watchIntervalMs(wake.timeoutMs), () => {
      const attempt = this.#attempt;
      if (attempt === null) return;
      const { config, demand, fleet } = this.#machine;
      const byOthers = attempt.cause.kind === 'external';
      if (demand.held > 0 || this.waiters.size > 0 || this.#isKeptAwake || byOthers) this.wanted();
      const canStop = attempt.stage === 'dependencies' || attempt.stage === 'starting';
      if (canStop && nobodyWaits(attempt, this.#nowMs(), config.wake.timeoutMs)) {
        this.giveUp(`nobody has waited for it for ${span(config.wake.timeoutMs)}`);
        return;
      }
      if (attempt.stage === 'starting' && fleet.own.length === 0 && this.#machine.heldBack() === null) fleet.raise();
      this.#machine.settle();
      if (this.#attempt === attempt) this.#watch();
    });
  }

  giveUp(reason: string): void {
    const machine = this.#machine;
    this.#attempt = null;
    machine.fleet.driver.cancelStarts(0);
    machine.fallAsleep(`its start was given up: ${reason}`);
    machine.publish();
    this.waiters.reject(this.failure());
    machine.tell('asleep', `${machine.name} is asleep: ${machine.why}`);
  }

  /** The start failed, or what ran crashed and may not be started again yet. */
  failed(crash: Crash): void {
    const machine = this.#machine;
    this.#attempt = null;
    // Kubernetes goes on trying, at its own pace: what becomes ready after all is taken as it is.
    if (machine.fleet.driver.kind !== 'kubernetes') machine.fleet.driver.cancelStarts(0);
    machine.fallAsleep(`crashing: ${crash.reason}`);
    machine.publish();
    this.waiters.reject(this.crashError(crash));
    machine.tellCrash(crash);
    this.#retryLater(crash);
  }

  /** scale.min or a trigger keeps it awake: it is started now, or when the back-off has passed. */
  keepAwake(kind: 'min' | 'restart'): void {
    const { config, ending, fleet, phase, asked } = this.#machine;
    if (phase !== 'asleep' || !this.#isKeptAwake || !fleet.driver.canScale || ending) return;
    if (config.scale.jobs !== null && this.#machine.missingRuns <= 0) return;
    const crash = this.#machine.heldBack();
    const trigger = asked.active[0];
    const atMs = this.#wallMs();
    if (crash !== null) this.#retryLater(crash);
    else if (config.scale.min > 0 || trigger === undefined) this.begin({ kind, atMs });
    else this.begin({ kind: 'trigger', trigger, atMs });
  }

  get #isKeptAwake(): boolean {
    const { config, asked, pinned, verdict } = this.#machine;
    return pinned !== null || config.scale.min > 0 || asked.active.length > 0 || verdict?.wake != null;
  }

  #retryLater(crash: Crash): void {
    if (this.#isKeptAwake && !this.#machine.ending) this.retryAfter(crash, () => this.keepAwake('restart'));
  }

  retryAfter(crash: Crash, retry: () => void): void {
    this.#retryAlarm.set(crash.retryAtMs - this.#wallMs(), retry);
  }

  /** An endpoint is ready: whoever waits is told first of all. */
  done(): void {
    const machine = this.#machine;
    const attempt = this.#attempt;
    if (attempt === null) return;
    const nowMs = this.#nowMs();
    this.#attempt = null;
    machine.enter('awake', causeText(attempt.cause));
    machine.publish();
    this.#watchAlarm.cancel();
    const tookMs = nowMs - attempt.sinceMs;
    this.lastWoken = { atMs: this.#wallMs(), by: attempt.cause, tookMs };
    machine.counters.woke(attempt.cause.kind, attempt.askedMs - attempt.sinceMs, nowMs - attempt.askedMs);
    machine.tell('awake', awakeText(machine.name, tookMs, attempt.cause), { tookMs, cause: attempt.cause });
    this.waiters.resolve();
  }

  failure(): DormouseError {
    return new DormouseError('DORMOUSE_WAKE_FAILED', `${this.#machine.name} could not be woken: ${this.#machine.why}`);
  }

  crashError(crash: Crash): DormouseError {
    const { name } = this.#machine;
    const text = crashText(name, crash, this.#wallMs());
    return new DormouseError('DORMOUSE_BACKEND_CRASHING', `${text}. Its last lines: dormouse logs ${name}`, {
      userFault: true,
    });
  }

  #nowMs(): number {
    return this.#machine.host.clock.nowMs();
  }

  #wallMs(): number {
    return this.#machine.host.clock.wallMs();
  }
}
