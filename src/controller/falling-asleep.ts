/** The way from awake to asleep: drain, second look, end or freeze; and back, as long as nothing has been stopped. */
import type { WakeCause } from '../model/backend.ts';
import { DormouseError } from '../model/errors.ts';
import type { Machine } from './backend-host.ts';
import { atBound, secondLook, SLEEP_DRAIN_BOUND_MS, type Look, type SleepEdge } from './sleep-edge.ts';
import { Alarm } from './timers.ts';
import { Waiters, type Waiter } from './waiters.ts';
import type { Waking } from './waking.ts';
import { causeText } from './why.ts';

/** What a driver may need beyond its grace period before we stop waiting for it. */
const RETIRE_MARGIN_MS = 10_000;

export class FallingAsleep {
  /** Told when it is asleep, or why it stays awake. */
  readonly waiters = new Waiters();
  lastSleptMs = 0;
  readonly #machine: Machine;
  readonly #waking: Waking;
  readonly #boundAlarm: Alarm;
  /** Called instead of falling asleep when the backend was removed meanwhile. */
  readonly #gone: () => void;
  #edge: SleepEdge | null = null;

  constructor(machine: Machine, waking: Waking, gone: () => void) {
    this.#machine = machine;
    this.#waking = waking;
    this.#gone = gone;
    this.#boundAlarm = new Alarm(machine.host.timers, machine.host.turn);
  }

  get stage(): SleepEdge['stage'] | null {
    return this.#edge?.stage ?? null;
  }

  stop(): void {
    this.#edge = null;
    this.#boundAlarm.cancel();
  }

  begin(kind: SleepEdge['kind'], reason: string): void {
    const machine = this.#machine;
    this.#edge = { kind, reason, stage: 'draining', pendingWake: null };
    machine.enter('falling-asleep', reason);
    machine.fleet.cancelStarts();
    machine.fleet.drainAll('sleep');
    this.#boundAlarm.set(SLEEP_DRAIN_BOUND_MS, () => this.#atBound());
    machine.publish();
    machine.tell('falling-asleep', `${machine.name} is falling asleep: ${reason}`);
    this.progress();
  }

  /** By command: drains what is in flight, and is taken back if requests keep coming. */
  command(waiter: Waiter): void {
    const refusal = this.#refusal();
    if (refusal !== null) {
      const text = `${this.#machine.name} can't sleep: ${refusal}`;
      waiter.reject(new DormouseError('DORMOUSE_SLEEP_REFUSED', text, { userFault: true }));
      return;
    }
    switch (this.#machine.phase) {
      case 'asleep':
        waiter.resolve();
        break;
      case 'waking':
        this.#waking.giveUp('put to sleep by command');
        waiter.resolve();
        break;
      case 'awake':
        this.waiters.add(waiter);
        this.begin('command', 'put to sleep by command');
        break;
      case 'falling-asleep':
        this.waiters.add(waiter);
        break;
    }
  }

  #refusal(): string | null {
    const { config, demand, ending, fleet, phase } = this.#machine;
    if (ending) return 'it is being removed';
    if (!fleet.driver.canScale) return 'its servers are run by somebody else (servers:), so there is nothing to stop';
    if (config.scale.min > 0) return `scale.min is ${config.scale.min}; set it to 0 to let it sleep`;
    if (phase === 'asleep') return null;
    const keptBy = this.#machine.host.dependents(this.#machine.name).filter((other) => other.needsDependencies);
    const { pinned } = this.#machine;
    if (pinned !== null) return `it is ${pinned}; take that back first`;
    const trigger = this.#machine.asked.active[0];
    if (trigger !== undefined) return `${trigger}; it would be woken again at once`;
    const [first] = keptBy;
    if (first !== undefined) return `${first.name} is ${first.phase} and needs it; put that to sleep first`;
    const stage = this.#waking.attempt?.stage;
    if (stage === 'replacing' || stage === 'closing')
      return 'its changed configuration is being started; try again when it is awake';
    if (phase === 'waking' && (demand.held > 0 || this.#waking.attempt?.cause.kind === 'request')) {
      return 'it is being woken for a request that waits; try again when it is awake';
    }
    return null;
  }

  // ---- while it drains

  /**
   * Something was said. `held`: how many wait at the gateway that said it; what the others said last may be older than the decision, and they answer too before
   * anything ends.
   */
  lookAgain(held: number): void {
    const edge = this.#edge;
    if (edge === null || edge.stage !== 'draining') return;
    const objection = secondLook(edge, { ...this.#look(), held });
    if (objection !== null) this.cancel(objection);
  }

  /** A gateway has answered, or is gone: when nothing is owed any more and the second look agrees, it is ended. */
  progress(): void {
    const edge = this.#edge;
    const { drains } = this.#machine.fleet;
    if (edge === null || edge.stage !== 'draining' || drains.of('sleep').length > drains.drained('sleep').length)
      return;
    const objection = secondLook(edge, this.#look());
    if (objection === null) this.#retire(edge);
    else this.cancel(objection);
  }

  /** An instance that became ready meanwhile goes the same way as the others. */
  include(): void {
    const { all, drains } = this.#machine.fleet;
    for (const { id, state } of all) if (state === 'ready') drains.begin(id, 'sleep');
  }

  #look(): Look {
    const { demand } = this.#machine;
    return { held: demand.held, inFlight: demand.inFlight, idle: this.#machine.idle() };
  }

  #atBound(): void {
    const edge = this.#edge;
    if (edge === null || edge.stage !== 'draining') return;
    const { config, demand, fleet, logger } = this.#machine;
    const owing = [...fleet.drains.owing('sleep')].map((peer) => peer.id);
    const look = { ...this.#look(), tunnels: demand.tunnels, webSockets: config.idle.webSockets, owing };
    const { go, reason } = atBound(look);
    logger.info('the drain bound of a sleep has passed', { goesOn: go, reason });
    if (go) this.#retire(edge);
    else this.cancel(reason);
  }

  /** Nothing has been stopped yet: it is awake again at once. */
  cancel(reason: string): void {
    const machine = this.#machine;
    if (this.#edge === null) return;
    this.stop();
    machine.fleet.drains.clear();
    // The next attempt is not made at once.
    machine.touch();
    machine.counters.sleepsCancelled++;
    machine.enter('awake', `its sleep was taken back: ${reason}`);
    machine.publish();
    machine.tell('sleep-cancelled', `${machine.name} stays awake: ${reason}`);
    this.reject(reason);
    this.#waking.waiters.resolve();
    machine.settle();
    machine.maintain();
    machine.evaluateIdle();
  }

  /** Tells whoever waits for the sleep that it does not come. */
  reject(reason: string): void {
    const text = `${this.#machine.name} stays awake: ${reason}`;
    this.waiters.reject(new DormouseError('DORMOUSE_SLEEP_CANCELLED', text, { userFault: true }));
  }

  // ---- a wake at the edge

  wake(cause: WakeCause): void {
    const edge = this.#edge;
    if (edge === null) return;
    if (edge.stage === 'draining') {
      this.cancel(cause.kind === 'request' ? 'a request came' : causeText(cause));
      return;
    }
    const machine = this.#machine;
    const { source } = machine.config;
    const alone =
      source.driver === 'process' && (typeof source.process.port === 'number' || source.process.sleep === 'freeze');
    if (alone || machine.fleet.old.length > 0) {
      edge.pendingWake ??= cause;
      return;
    }
    // Beside the one that stops: nothing is shared between them.
    this.stop();
    machine.fleet.drains.clear();
    this.#slept();
    this.reject('a request came while it stopped; it is being started again');
    this.#waking.begin(cause);
  }

  // ---- the end

  #retire(edge: SleepEdge): void {
    edge.stage = 'retiring';
    this.#machine.tellWanted();
    const { config, fleet, host, logger } = this.#machine;
    const process = config.source.driver === 'process' ? config.source.process : null;
    const ends = fleet.retireAll(process?.sleep === 'freeze');
    const over = (): void => {
      if (this.#edge !== edge) return;
      const stays = !this.#machine.ending && fleet.driver.kind === 'kubernetes' && fleet.current.anyServes;
      if (stays) this.cancel('its pods could not be ended, or somebody else scaled it');
      else this.#over(edge);
    };
    if (ends.length === 0) {
      over();
      return;
    }
    // KEDA has its own pace; the driver bounds it.
    if (config.scale.by === 'keda' && fleet.driver.kind === 'kubernetes') {
      void Promise.all(ends).then(() => host.turn(over));
      return;
    }
    const graceMs = process?.stopGraceMs ?? 0;
    this.#boundAlarm.set(graceMs + RETIRE_MARGIN_MS, () => {
      logger.error('the driver has not ended its instances within their grace period', { graceMs });
      over();
    });
    void Promise.all(ends).then(() => host.turn(over));
  }

  #over(edge: SleepEdge): void {
    if (this.#edge !== edge) return;
    const machine = this.#machine;
    this.stop();
    machine.fleet.drains.clear();
    if (machine.ending) {
      this.waiters.resolve();
      this.#gone();
      return;
    }
    machine.fleet.closeOld();
    this.#slept();
    machine.fallAsleep(edge.reason);
    machine.tell('asleep', `${machine.name} is asleep: ${edge.reason}`);
    this.waiters.resolve();
    const held: WakeCause | null =
      machine.demand.held > 0 ? { kind: 'demand', atMs: machine.host.clock.wallMs() } : null;
    const again = edge.pendingWake ?? held;
    if (again !== null && machine.heldBack() === null) {
      this.#waking.begin(again);
      return;
    }
    machine.publish();
    this.#waking.waiters.reject(this.#waking.failure());
    this.#waking.keepAwake('min');
  }

  #slept(): void {
    this.#machine.counters.sleeps++;
    this.lastSleptMs = this.#machine.host.clock.wallMs();
  }
}
