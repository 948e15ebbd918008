/** What runs of one backend: its generations, which instances count, which are being emptied, and the way up and down to the target. */
import type { BackendPhase, Crash, Endpoint } from '../model/backend.ts';
import type { BackendConfig } from '../model/config.ts';
import type { Logger } from '../model/ports.ts';
import type { FinishedRun } from '../model/status.ts';
import type { Driver, DriverEvents, Instance } from '../drivers/driver.ts';
import type { BackendHost, Peer } from './backend-host.ts';
import { Drains, type DrainPurpose } from './drains.ts';
import { Generation, toEndpoint } from './generation.ts';
import { LogFeed } from './log-feed.ts';

export class Fleet {
  readonly drains = new Drains<Peer>((id) => this.#hasAddress(id));
  readonly logs = new LogFeed();
  /** How many instances of the present source are wanted. */
  target = 0;
  readonly #host: BackendHost;
  readonly #logger: Logger;
  /** Oldest first; the last one is the present one. */
  readonly #generations: Generation[] = [];
  readonly #closing = new Set<Promise<void>>();

  constructor(host: BackendHost, logger: Logger) {
    this.#host = host;
    this.#logger = logger;
  }

  // ---- what there is

  get started(): boolean {
    return this.#generations.length > 0;
  }

  get current(): Generation {
    const current = this.#generations.at(-1);
    if (current === undefined) throw new Error('the backend has not been started');
    return current;
  }

  get driver(): Driver {
    return this.current.driver;
  }

  /** Generations that the present one replaces. */
  get old(): Generation[] {
    return this.#generations.slice(0, -1);
  }

  /** Instances that count: neither being emptied nor being ended. */
  live(generation: Generation): Instance[] {
    return generation.counted().filter(({ id }) => !this.drains.has(id) && !generation.retiring.has(id));
  }

  /** Those of the present source. */
  get own(): Instance[] {
    return this.live(this.current);
  }

  /** Those of every generation: whoever is ready may serve. */
  get all(): Instance[] {
    return this.#generations.flatMap((generation) => this.live(generation));
  }

  get ownReady(): number {
    return this.own.filter((instance) => instance.state === 'ready').length;
  }

  /** Every instance with the state that a reader wants to see: `draining` where gateways empty it. */
  members(): { instance: Instance; state: string }[] {
    return this.#generations.flatMap((generation) =>
      generation.members().map((instance) => ({
        instance,
        state: this.drains.has(instance.id) && instance.state === 'ready' ? 'draining' : instance.state,
      })),
    );
  }

  /** What gateways are told: ready ones while it is awake, and whatever they have to empty. Unhealthy ones are left out. */
  endpoints(phase: BackendPhase): Endpoint[] {
    if (phase === 'asleep') return [];
    const endpoints: Endpoint[] = [];
    for (const generation of this.#generations) {
      for (const instance of generation.members()) {
        const { id, state } = instance;
        if (generation.retiring.has(id)) continue;
        const draining = this.drains.has(id) && (state === 'ready' || state === 'unhealthy');
        if (!draining && (state !== 'ready' || phase !== 'awake')) continue;
        const endpoint = toEndpoint(instance, draining ? 'draining' : 'ready');
        if (endpoint !== null) endpoints.push(endpoint);
      }
    }
    return endpoints;
  }

  suspect(id: string, reason: string): void {
    for (const generation of this.#generations) {
      if (generation.members().some((instance) => instance.id === id)) generation.driver.suspect(id, reason);
    }
  }

  #hasAddress(id: string): boolean {
    return this.#generations.some((generation) =>
      generation.members().some((instance) => instance.id === id && instance.address !== null),
    );
  }

  // ---- generations

  /** Makes a driver for this configuration. `events` are called as steps of the controller, and only while the generation is part of the fleet. */
  add(
    config: BackendConfig,
    events: {
      instance(instance: Instance): void;
      crash(from: Generation, crash: Crash | null): void;
      run(run: FinishedRun): void;
    },
  ): void {
    let made: Generation | null = null;
    const mine = (step: (generation: Generation) => void): void =>
      this.#host.turn(() => {
        if (made !== null && this.#generations.includes(made)) step(made);
      });
    const driverEvents: DriverEvents = {
      instance: (instance) => mine(() => events.instance(instance)),
      crash: (crash) => mine((generation) => events.crash(generation, crash)),
      run: (run) => mine(() => events.run(run)),
    };
    made = new Generation(config, this.#host.createDriver, driverEvents);
    this.#generations.push(made);
    this.logs.add(made.driver);
  }

  close(generation: Generation): Promise<void> {
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

  closeOld(): void {
    for (const old of this.old) void this.close(old);
  }

  /** Closes old generations that gateways have nothing on any more. */
  closeEmptied(): Promise<void>[] {
    return this.old.filter((generation) => !this.isLeaving(generation)).map((generation) => this.close(generation));
  }

  /** True while gateways empty it, or its driver ends what they have emptied. */
  isLeaving(generation: Generation): boolean {
    return generation.pending > 0 || generation.counted().some(({ id }) => this.drains.has(id));
  }

  /** Resolves when all drivers are closed. */
  async closeAll(): Promise<void> {
    this.drains.clear();
    for (const generation of [...this.#generations]) void this.close(generation);
    await Promise.all(this.#closing);
  }

  // ---- up and down

  /** Starts what is missing. Those that drain or end are still counted by the driver, and come on top. */
  raise(): void {
    const { current } = this;
    const leaving = current.counted().length - this.live(current).length;
    this.driver.scaleUp(this.target + leaving);
  }

  /** Makes instances that were to go for scale-down ready again, at most `missing`. Gives their number. */
  takeBack(missing: number): number {
    const { current } = this;
    const back = this.drains
      .of('scale-down')
      .filter((id) => !current.retiring.has(id) && current.members().some((instance) => instance.id === id))
      .slice(0, missing);
    for (const id of back) this.drains.drop(id);
    return back.length;
  }

  /** Gives up starts that nobody needs. */
  cancelStarts(generation: Generation = this.current): void {
    generation.driver.cancelStarts(generation.counted().filter((instance) => instance.state !== 'starting').length);
  }

  /**
   * Who is too many, starts given up first: unhealthy ones, then the youngest, since what has been up longest has the warmest caches.
   */
  surplus(): string[] {
    const { current } = this;
    const live = this.live(current);
    const leaving = current.counted().length - live.length;
    const settled = live.filter((instance) => instance.state !== 'starting');
    if (settled.length < live.length) this.driver.cancelStarts(Math.max(this.target, settled.length) + leaving);
    const first = this.driver.retireFirst?.();
    if (first != null) {
      // The platform has an order of its own.
      const present = new Set(settled.map(({ id }) => id));
      return first.filter((id) => present.has(id)).slice(0, Math.max(0, settled.length - this.target));
    }
    return settled
      .sort((a, b) => rank(a) - rank(b) || b.readyAtMs - a.readyAtMs || b.startedAtMs - a.startedAtMs)
      .slice(0, Math.max(0, settled.length - this.target))
      .map((instance) => instance.id);
  }

  // ---- taking away

  /** Empties it; `onBound` is called when that takes longer than `boundMs`. Gateways hear of it with the next update. */
  drain(id: string, purpose: DrainPurpose, boundMs: number, onBound: () => void): void {
    const cancel = this.#host.timers.setTimer(Math.max(1, boundMs), () =>
      this.#host.turn(() => {
        if (this.drains.of(purpose).includes(id)) onBound();
      }),
    );
    this.drains.begin(id, purpose, cancel);
  }

  /** Empties everything that gateways may have something on. */
  drainAll(purpose: 'sleep' | 'remove'): void {
    for (const generation of this.#generations) {
      for (const { id, state } of generation.counted()) {
        if (state !== 'starting' && !generation.retiring.has(id)) this.drains.begin(id, purpose);
      }
    }
  }

  /** Ends one that is drained. Null when it is gone already. */
  retireOne(id: string): Promise<void> | null {
    const generation = this.#generations.find((one) => one.members().some((instance) => instance.id === id));
    const ended = generation === undefined ? null : this.#retire(generation, [id], false);
    this.drains.drop(id);
    return ended;
  }

  /** Ends (or, of the present generation, freezes) everything. */
  retireAll(freeze: boolean): Promise<void>[] {
    return this.#generations.flatMap((generation) => {
      const ids = generation.counted().map((instance) => instance.id);
      const left = ids.filter((id) => !generation.retiring.has(id));
      return left.length === 0 ? [] : [this.#retire(generation, left, freeze && generation === this.current)];
    });
  }

  /** A start that was given up and became ready all the same: no gateway knows of it. */
  retireStrays(): Promise<void>[] {
    return this.#generations.flatMap((generation) => {
      const ready = this.live(generation).filter((instance) => instance.state === 'ready');
      const ids = ready.map((instance) => instance.id);
      return ids.length === 0 ? [] : [this.#retire(generation, ids, false)];
    });
  }

  #retire(generation: Generation, ids: string[], freeze: boolean): Promise<void> {
    return generation.retire(ids, freeze, (error) =>
      this.#logger.error('an instance could not be ended', { instances: ids, error: String(error) }),
    );
  }
}

function rank(instance: Instance): number {
  return instance.state === 'unhealthy' ? 0 : 1;
}
