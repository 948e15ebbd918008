/**
 * The way of one Service between its pods and the gateways, in place. Each step is written in the object's status before it is taken, and may be taken twice; whoever leads next
 * goes on from there (docs/adr/0009). Going to sleep may be taken back at every step; handing back is tried until it is done.
 */
import type { BackendStatus } from '../model/status.ts';
import type { IdleVerdict } from '../model/demand.ts';
import type { Clock, Logger, RandomSource } from '../model/ports.ts';
import type { HandoverStep } from '../model/handover-step.ts';
import type { HandoverStatus, PortAllocation } from './backend-object.ts';
import type { Autoscaler } from './autoscaler.ts';
import type { Redirect } from './redirect.ts';
import type { PlannedPort } from './service-plan.ts';

/** How often a sleep under way looks for requests that take it back, ms. */
const LOOK_MS = 100;
/** Bounds of single steps, ms: beyond them the sleep is taken back. */
const LISTEN_BOUND_MS = 30_000;
const REDIRECT_BOUND_MS = 30_000;
const PAUSE_BOUND_MS = 60_000;
const SLEEP_BOUND_MS = 120_000;
/** How often connections that keep it awake are looked at, ms. */
const OPEN_LOOK_MS = 1000;
const KEPT_OPEN = 'a connection that was made while it slept is still open at a gateway';
/** How long the controller may take to learn of pods that run, ms: then it is asked again, later each time. */
const MEET_MS = { least: 500, most: 15_000 };
/** A sleep that was taken back is tried again after this, ms. */
const AGAIN_AFTER_MS = 10_000;
/** Beyond the scrape interval, for the scrape itself and for its way into the store, ms. */
const SCRAPE_MARGIN_MS = 1000;
/** How long pods may take to be listed before the gateways' slice goes all the same; requests that come meanwhile are forwarded, ms. */
const LIST_BOUND_MS = 600_000;
const RETRY_MS = { least: 200, most: 15_000 };

/** What a handover needs of the operator around it. */
export interface HandoverHost {
  readonly clock: Clock;
  readonly random: RandomSource;
  readonly logger: Logger;
  readonly redirect: Redirect;
  readonly autoscaler: Autoscaler;
  /** Ports of the Service that gateways listen for; null: something stands against it, which conditions tell. */
  plan(): HandoverPlan | null;
  /** As the controller sees it; null: it does not know it yet. */
  backend(): BackendStatus | null;
  /** What idle sources say now. */
  verdict(): IdleVerdict;
  /** The same, asked anew of samples that were taken at or after this moment (wall clock ms). */
  askAgain(sinceMs: number, signal: AbortSignal): Promise<IdleVerdict>;
  /** Whether clients reach the pods without gateways now. */
  direct(isDirect: boolean): void;
  /** Why the controller may not put it to sleep by itself; null: it may. */
  keep(reason: string | null): void;
  /** Whether every gateway on the link listens on the allocated ports, and there is one. */
  gatewaysListen(): boolean;
  /** Whether a connection to the Service from every gateway's node ends at a gateway. `seen` is kept between calls of one redirect: what was found is put there. */
  seeRedirect(seen: Set<string>, signal: AbortSignal): Promise<boolean>;
  /** The target's replicas, as they are now; null: there is no target. */
  replicas(signal: AbortSignal): Promise<number | null>;
  /** Writes it into the object's status; resolves when it is written. */
  record(status: HandoverStatus, signal: AbortSignal): Promise<void>;
  event(type: 'Normal' | 'Warning', reason: string, note: string): void;
  /** A step can't be taken, and why; null: that is over. Told when it changes. */
  failing(reason: string | null): void;
}

export interface HandoverPlan {
  ports: PlannedPort[];
  allocated: PortAllocation[];
  /** How long nothing may have happened before it is put to sleep. */
  idleAfterMs: number;
  settleMs: number;
  /** Between two scrapes of the idle source; 0: it has none. */
  scrapeMs: number;
  /** Whether connections at gateways that are open without a request (WebSockets, raw TCP) let it sleep. */
  ignoresTunnels: boolean;
}

interface LeftMs {
  /** After a sleep that was taken back. */
  ofBackOff: number;
  /** Of the time that it has to be awake. */
  ofIdle: number;
}

/** Why a sleep was taken back. */
class TakenBack extends Error {}

export class Handover {
  readonly #host: HandoverHost;
  #status: HandoverStatus;
  #notifyAll = new Set<() => void>();
  /** Rises with each `notify`: what comes while something is being written is not missed. */
  #notified = 0;
  /** Wall clock ms since which all of the Service's traffic passes gateways; 0: not now. */
  #redirectedAtMs = 0;
  #notBeforeMs = 0;
  #failure: string | null = null;

  /** `status`: where it stood when somebody led before. */
  constructor(host: HandoverHost, status: HandoverStatus | undefined) {
    this.#host = host;
    this.#status = status ?? { step: 'serving', since: new Date(host.clock.wallMs()).toISOString() };
  }

  get step(): HandoverStep {
    return this.#status.step;
  }

  get status(): HandoverStatus {
    return this.#status;
  }

  /** Something that it may wait for has changed. */
  notify(): void {
    this.#notified++;
    for (const wake of [...this.#notifyAll]) wake();
  }

  /** Runs until `signal` aborts. */
  async run(signal: AbortSignal): Promise<void> {
    await this.#goOn(signal);
    for (;;) {
      signal.throwIfAborted();
      await this.#serve(signal);
      const slept = await this.#toSleep(signal);
      if (slept) await this.#asleep(signal);
      await this.#handBack(signal);
    }
  }

  /** Everything as it was: the Service with its pods, replicas as before, the autoscaler resumed. */
  async restore(wake: () => Promise<void>, signal: AbortSignal): Promise<void> {
    if (this.#status.step === 'serving') return;
    const phase = (): string => this.#host.backend()?.phase ?? 'asleep';
    const isWoken = phase() === 'waking' || (this.#status.replicasBefore ?? 0) > 0;
    if (phase() !== 'awake' && isWoken) {
      let isHopeless = false;
      wake().catch(() => {
        isHopeless = true;
        this.notify();
      });
      const isOver = (): boolean => isHopeless || phase() === 'awake' || this.#host.backend()?.crash != null;
      // A target that can't start is handed back all the same: it would not start without us either.
      await this.#until(isOver, LIST_BOUND_MS, signal);
    }
    // Nobody waits for pods of a target that was at zero before we came, or does not start.
    await this.#handBack(signal, phase() === 'awake');
  }

  /** From where a former leader stopped: forwards when pods are gone, backwards when they run. */
  async #goOn(signal: AbortSignal): Promise<void> {
    const { step } = this.#status;
    if (step === 'serving') return;
    if (step === 'asleep') {
      await this.#asleep(signal);
    } else if (step === 'sleeping' && (await this.#hasNone(signal))) {
      await this.#asleep(signal);
    }
    await this.#handBack(signal);
  }

  // ---- awake

  async #serve(signal: AbortSignal): Promise<void> {
    this.#redirectedAtMs = 0;
    let meetMs = MEET_MS.least;
    for (;;) {
      // Looked at once: time that passes between two looks would end a wait that nothing else ends.
      const leftMs = this.#leftMs();
      const reason = this.#keptBy(leftMs);
      this.#host.keep(reason ?? 'its Service is being redirected');
      if (reason === null) {
        if (this.#host.backend()?.phase !== 'asleep' || (await this.#isAtZero(signal))) return;
        // The controller has not met its pods yet, or they don't start.
        await this.#pause(meetMs, signal);
        meetMs = Math.min(MEET_MS.most, meetMs * 2);
        continue;
      }
      meetMs = MEET_MS.least;
      const waitMs = Math.max(leftMs.ofBackOff, leftMs.ofIdle);
      // Nobody tells when the last connection goes.
      const longestMs = reason === KEPT_OPEN ? OPEN_LOOK_MS : Number.POSITIVE_INFINITY;
      await this.#pause(waitMs > 0 ? waitMs : longestMs, signal);
    }
  }

  async #isAtZero(signal: AbortSignal): Promise<boolean> {
    try {
      return (await this.#host.replicas(signal)) === 0;
    } catch (error) {
      signal.throwIfAborted();
      this.#host.logger.debug('the target can not be read', { reason: String(error) });
      return false;
    }
  }

  /** How long time alone keeps it awake; 0 and less: not at all. */
  #leftMs(): LeftMs {
    const { clock } = this.#host;
    const backend = this.#host.backend();
    const idleAfterMs = this.#host.plan()?.idleAfterMs ?? 0;
    const awakeForMs = backend === null ? 0 : Math.max(0, clock.wallMs() - backend.sinceMs);
    return { ofBackOff: this.#notBeforeMs - clock.nowMs(), ofIdle: idleAfterMs - awakeForMs };
  }

  /** Why it goes on serving; null: it may be put to sleep, or is at zero already. */
  #keptBy(leftMs: LeftMs): string | null {
    const host = this.#host;
    const backend = host.backend();
    if (backend === null) return 'the controller has not met it yet';
    if (host.plan() === null) return 'its conditions say what stands against sleeping';
    if (!host.gatewaysListen()) return 'no gateway is ready to stand in for it';
    if (backend.phase === 'asleep') return backend.crash === null ? null : 'it is crashing';
    if (backend.phase !== 'awake') return `it is ${backend.phase}`;
    if (leftMs.ofBackOff > 0) return 'its last sleep was taken back only just now';
    if (leftMs.ofIdle > 0) return 'it has not been awake for as long as scale.idleAfter says';
    // Of the time before it was handed back.
    if (this.#isKeptOpen(backend)) return KEPT_OPEN;
    const { keptBy, wake } = host.verdict();
    return wake ?? keptBy[0] ?? null;
  }

  #isKeptOpen({ demand }: BackendStatus): boolean {
    return demand.tunnels > 0 && this.#host.plan()?.ignoresTunnels === false;
  }

  // ---- to sleep

  /** True when it is asleep; false when that was taken back. */
  async #toSleep(signal: AbortSignal): Promise<boolean> {
    const host = this.#host;
    try {
      const isAtZero = host.backend()?.phase === 'asleep';
      const plan = this.#plan();
      host.direct(false);
      await this.#record('listening', signal, { ports: plan.allocated });
      await this.#stage('a gateway does not listen', LISTEN_BOUND_MS, signal, () => host.gatewaysListen());

      await this.#record('redirecting', signal);
      await host.redirect.standIn(plan.ports, plan.allocated, signal);
      await this.#stage(
        'our slice does not appear',
        REDIRECT_BOUND_MS,
        signal,
        () => host.redirect.gatewayEndpoints > 0,
      );
      await host.redirect.turnAway(signal);

      await this.#record('redirected', signal);
      await this.#stage('the pods are still listed', REDIRECT_BOUND_MS, signal, () => host.redirect.podEndpoints === 0);
      await this.#seeRedirect(isAtZero, signal);
      this.#redirectedAtMs = host.clock.wallMs();

      await this.#record('pausing', signal, {
        pausedAutoscaler: host.autoscaler.willPause,
      });
      if (!isAtZero) await this.#pauseAutoscaler(signal);

      await this.#record('settling', signal);
      this.#fails(null);
      if (!isAtZero) await this.#settle(plan, signal);

      const replicasBefore = isAtZero ? this.#status.replicasBefore : ((await host.replicas(signal)) ?? undefined);
      await this.#record('sleeping', signal, { replicasBefore });
      host.keep(null);
      const slept = await this.#until(() => this.#isDown() || this.#objection() !== null, SLEEP_BOUND_MS, signal);
      if (!slept) throw new TakenBack('gateways did not agree in time that nothing is left');
      if (!this.#isDown()) throw new TakenBack(this.#objection() ?? 'it is awake');
      return true;
    } catch (error) {
      if (signal.aborted) throw error;
      const reason = error instanceof Error ? error.message : String(error);
      if (error instanceof TakenBack) host.logger.info('a sleep was taken back', { reason });
      else {
        host.logger.warn('a sleep was taken back: a step failed', { reason });
        this.#fails(reason);
      }
      this.#notBeforeMs = host.clock.nowMs() + AGAIN_AFTER_MS;
      host.keep(`its sleep was taken back: ${reason}`);
      if (this.#status.step === 'sleeping' && (await this.#isDownAfterAll(signal))) return true;
      host.event('Normal', 'SleepTakenBack', reason);
      return false;
    }
  }

  #plan(): HandoverPlan {
    const plan = this.#host.plan();
    if (plan === null) throw new TakenBack('its conditions say what stands against sleeping');
    return plan;
  }

  /** At zero, or on its way back up from there. */
  #isDown(): boolean {
    const phase = this.#host.backend()?.phase;
    return phase === 'asleep' || phase === 'waking';
  }

  /** Whether it was too late: pods that are being ended are not handed back to clients. A sleep that only drains yet ends at once with the word that keeps it awake. */
  async #isDownAfterAll(signal: AbortSignal): Promise<boolean> {
    await this.#until(() => this.#host.backend()?.phase !== 'falling-asleep', SLEEP_BOUND_MS, signal);
    return this.#isDown() || (await this.#hasNone(signal));
  }

  /** Whether the target is at zero, as the API server has it now: its pods are ending then, whatever was seen of them last. A write may have been done of which nobody has heard. */
  async #hasNone(signal: AbortSignal): Promise<boolean> {
    return (await this.#persist('the target', signal, (own) => this.#host.replicas(own))) === 0;
  }

  /** At zero there is nobody to lose a request: it is looked for until somebody wakes it, so that `asleep` is said when clients reach a gateway. */
  async #seeRedirect(isAtZero: boolean, signal: AbortSignal): Promise<void> {
    const host = this.#host;
    const endsAtMs = host.clock.nowMs() + REDIRECT_BOUND_MS;
    const seen = new Set<string>();
    while (!(await host.seeRedirect(seen, signal))) {
      this.#mustGoOn();
      const isOver = host.clock.nowMs() > endsAtMs;
      if (isAtZero && (isOver || host.backend()?.phase !== 'asleep')) return;
      if (isOver) throw new TakenBack('the redirect was not seen to work on every node');
      await this.#pause(LOOK_MS, signal);
    }
  }

  async #pauseAutoscaler(signal: AbortSignal): Promise<void> {
    const { autoscaler, clock } = this.#host;
    const endsAtMs = clock.nowMs() + PAUSE_BOUND_MS;
    await autoscaler.pause(signal);
    while (!(await autoscaler.isPaused(signal))) {
      this.#mustGoOn();
      if (clock.nowMs() > endsAtMs) throw new TakenBack('the ScaledObject is not seen to be paused');
      await this.#pause(LOOK_MS, signal);
    }
  }

  /** Nothing may come for a while; then the idle source is asked for what it knows of everything before the redirect. */
  async #settle({ settleMs, scrapeMs }: HandoverPlan, signal: AbortSignal): Promise<void> {
    const { clock } = this.#host;
    const waitMs = Math.max(settleMs, scrapeMs === 0 ? 0 : scrapeMs + SCRAPE_MARGIN_MS);
    const endsAtMs = clock.nowMs() + waitMs;
    while (clock.nowMs() < endsAtMs) {
      this.#mustGoOn();
      await this.#pause(Math.min(LOOK_MS, endsAtMs - clock.nowMs()), signal);
    }
    const { keptBy, wake } = await this.#host.askAgain(this.#redirectedAtMs, signal);
    const objection = wake ?? keptBy[0];
    if (objection !== undefined) throw new TakenBack(objection);
    this.#mustGoOn();
  }

  async #stage(failure: string, boundMs: number, signal: AbortSignal, done: () => boolean): Promise<void> {
    const isDone = await this.#until(() => done() || this.#objection() !== null, boundMs, signal);
    this.#mustGoOn();
    if (!isDone) throw new TakenBack(failure);
  }

  #mustGoOn(): void {
    const objection = this.#objection();
    if (objection !== null) throw new TakenBack(objection);
  }

  /** Why a sleep under way has to be taken back. */
  #objection(): string | null {
    const host = this.#host;
    if (host.plan() === null) return 'its conditions say what stands against sleeping';
    const { step } = this.#status;
    if ((step === 'pausing' || step === 'settling') && !host.redirect.isTurnedAway)
      return "somebody took our key out of the Service's selector";
    const backend = host.backend();
    if (backend === null) return 'it was removed';
    if (this.#isDown()) return null;
    const { demand, lastActivityMs } = backend;
    if (demand.held > 0 || demand.inFlight > 0) return 'a request came';
    if (this.#isKeptOpen(backend)) return 'a connection at a gateway is open';
    if (this.#redirectedAtMs > 0 && lastActivityMs > this.#redirectedAtMs) return 'a request came';
    const { wake, keptBy } = host.verdict();
    return wake ?? (step === 'sleeping' ? null : (keptBy[0] ?? null));
  }

  // ---- asleep

  async #asleep(signal: AbortSignal): Promise<void> {
    const host = this.#host;
    if (this.#status.step !== 'asleep') await this.#persist('status', signal, (own) => this.#record('asleep', own));
    host.keep(null);
    const isUp = (): boolean => {
      const phase = host.backend()?.phase;
      return phase === 'awake' || phase === 'falling-asleep';
    };
    for (;;) {
      if (isUp()) {
        if (!(await this.#hasNone(signal))) return;
        await this.#pause(LOOK_MS, signal);
        continue;
      }
      const notified = this.#notified;
      // Gateways come and go, and somebody may have undone what we did: harmless while our slice remains, mended all the same.
      await this.#persist('the Service of a sleeping target', signal, async (own) => {
        const plan = host.plan();
        if (plan === null || isUp()) return;
        await host.redirect.standIn(plan.ports, plan.allocated, own);
        await host.redirect.turnAway(own);
      });
      if (!isUp() && notified === this.#notified) await this.#pause(Number.POSITIVE_INFINITY, signal);
    }
  }

  // ---- back

  async #handBack(signal: AbortSignal, awaitsPods = true): Promise<void> {
    const host = this.#host;
    this.#host.keep('its Service is being handed back');
    await this.#persist('handing back', signal, async (own) => {
      await this.#record('handing-back', own);
      await host.redirect.takeBack(own);
    });
    // Not held up by it: KEDA may be away.
    const resumed = this.#persist('resuming the autoscaler', signal, (own) => host.autoscaler.resume(own));
    await this.#until(
      () =>
        !awaitsPods ||
        host.redirect.podEndpoints > 0 ||
        host.redirect.service === undefined ||
        host.redirect.gatewayEndpoints === 0,
      LIST_BOUND_MS,
      signal,
    );
    await this.#persist('taking gateways out of the Service', signal, async (own) => {
      await this.#record('resuming', own);
      await host.redirect.standBack(own);
    });
    await resumed;
    await this.#persist('status', signal, (own) => this.#record('serving', own, { pausedAutoscaler: false }));
    host.direct(true);
  }

  // ---- tools

  async #record(
    step: HandoverStep,
    signal: AbortSignal,
    more: Partial<Omit<HandoverStatus, 'step' | 'since'>> = {},
  ): Promise<void> {
    const next: HandoverStatus = {
      ...this.#status,
      ...more,
      step,
      since: new Date(this.#host.clock.wallMs()).toISOString(),
    };
    await this.#host.record(next, signal);
    this.#status = next;
    this.#host.logger.debug('handover', { step });
  }

  #fails(reason: string | null): void {
    if (this.#failure === reason) return;
    this.#failure = reason;
    this.#host.failing(reason);
  }

  /** Tries until it works. */
  async #persist<T>(what: string, signal: AbortSignal, action: (signal: AbortSignal) => Promise<T>): Promise<T> {
    for (let tries = 0; ; tries++) {
      try {
        const result = await action(signal);
        if (tries > 0) this.#fails(null);
        return result;
      } catch (error) {
        signal.throwIfAborted();
        // Once may be chance, or somebody else's write at the same moment.
        if (tries > 0) this.#fails(error instanceof Error ? error.message : String(error));
        const waitMs =
          Math.min(RETRY_MS.most, RETRY_MS.least * 2 ** Math.min(tries, 10)) * (0.5 + this.#host.random() / 2);
        this.#host.logger.warn('a step of a handover failed and is tried again', {
          step: what,
          reason: error instanceof Error ? error.message : String(error),
          inMs: Math.round(waitMs),
        });
        await this.#sleep(waitMs, signal);
      }
    }
  }

  /** True when the predicate holds; false when it did not within the bound. */
  async #until(holds: () => boolean, withinMs: number, signal: AbortSignal): Promise<boolean> {
    const endsAtMs = this.#host.clock.nowMs() + withinMs;
    while (!holds()) {
      const leftMs = endsAtMs - this.#host.clock.nowMs();
      if (leftMs <= 0) return false;
      await this.#pause(Math.min(leftMs, LOOK_MS), signal);
    }
    return true;
  }

  /** Until something has changed, or the time has passed. */
  #pause(ms: number, signal: AbortSignal): Promise<void> {
    return new Promise((resolve, reject) => {
      const end = (): void => {
        clearTimeout(timer);
        this.#notifyAll.delete(end);
        signal.removeEventListener('abort', end);
        if (signal.aborted) reject(signal.reason as Error);
        else resolve();
      };
      const timer = Number.isFinite(ms) ? setTimeout(end, Math.max(1, ms)) : undefined;
      this.#notifyAll.add(end);
      signal.addEventListener('abort', end, { once: true });
      if (signal.aborted) end();
    });
  }

  /** Until the time has passed. */
  async #sleep(ms: number, signal: AbortSignal): Promise<void> {
    const endsAtMs = this.#host.clock.nowMs() + ms;
    for (;;) {
      const leftMs = endsAtMs - this.#host.clock.nowMs();
      if (leftMs <= 0) return;
      await this.#pause(leftMs, signal);
    }
  }
}
