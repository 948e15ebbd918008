/**
 * The loop demand -> decision -> driver, for all backends, and the controller's end of the link to every gateway. What concerns one backend is in
 * backend-controller.ts; here is what concerns several: gateways, configurations, the autoscaler's tick, commands by name.
 */
import { isDeepStrictEqual } from 'node:util';
import type { WakeCause } from '../model/backend.ts';
import type { BackendConfig, Config } from '../model/config.ts';
import type { IdleVerdict, ScaleMetric, TriggerDemand } from '../model/demand.ts';
import { DormouseError } from '../model/errors.ts';
import type { MetricFamily } from '../model/metrics.ts';
import { nearestName } from '../model/nearest-name.ts';
import type { Clock, Logger } from '../model/ports.ts';
import type { TraceSink } from '../model/trace.ts';
import type { BackendEvent, BackendStatus } from '../model/status.ts';
import type { Link } from '../link/link.ts';
import type { DownMessage, GatewayConfig, GatewayStatus, UpMessage } from '../link/messages.ts';
import type { CreateDriver, LogLine } from '../drivers/driver.ts';
import { TICK_MS } from '../autoscaling/index.ts';
import { BackendController } from './backend-controller.ts';
import type { BackendHost, Neighbour, Peer } from './backend-host.ts';
import { backendReading, backendStatus } from './backend-status.ts';
import { GatewaySession, type Collected, type ConfigAnswer } from './gateway-session.ts';
import { LimitDesk } from './limits/limit-desk.ts';
import { addFamilies, backendFamilies } from './metrics.ts';
import { PortPeer } from './port-peer.ts';
import { Alarm, systemTimers, type Timers } from './timers.ts';
import { Turns } from './turns.ts';
import type { Waiter } from './waiters.ts';

const CONFIGURE_BOUND_MS = 10_000;
const COLLECT_BOUND_MS = 1000;

export interface ControllerOptions {
  clock: Clock;
  logger: Logger;
  createDriver: CreateDriver;
  /** Takes what gateways recorded of requests; nobody when left out. */
  traces?: TraceSink;
  /** Node's timers unless a test holds them. */
  timers?: Timers;
}

export class Controller {
  readonly #clock: Clock;
  readonly #logger: Logger;
  readonly #timers: Timers;
  readonly #turns: Turns;
  readonly #host: BackendHost;
  readonly #sessions = new Set<GatewaySession>();
  readonly #limits: LimitDesk<GatewaySession>;
  readonly #traces: TraceSink | null;
  /** In the order of the file. */
  #backends = new Map<string, BackendController>();
  /** Removed ones that still drain. */
  readonly #leaving = new Set<BackendController>();
  #dependents = new Map<string, BackendController[]>();
  /** Names of backends that requests can reach. */
  #routed: ReadonlySet<string> = new Set();
  readonly #ticking = new Set<Neighbour>();
  readonly #tickAlarm: Alarm;
  readonly #listeners = new Set<(event: BackendEvent) => void>();
  readonly #gatewayListeners = new Set<() => void>();
  readonly #wantedListeners = new Set<(backend: string, wanted: boolean) => void>();
  #config: Config | null = null;
  #gatewayConfig: GatewayConfig | null = null;
  /** Base64, '' before there are any. Secret. */
  #ticketKeys = '';
  #configVersion = 0;
  #updateVersion = 0;
  #collection = 0;
  #configuring: Promise<void> = Promise.resolve();
  #closed = false;

  constructor(options: ControllerOptions) {
    this.#clock = options.clock;
    this.#logger = options.logger;
    this.#timers = options.timers ?? systemTimers;
    this.#traces = options.traces ?? null;
    this.#turns = new Turns((error) =>
      this.#logger.error('a step of the controller failed', {
        error: error instanceof Error ? (error.stack ?? error.message) : String(error),
      }),
    );
    this.#limits = new LimitDesk({ clock: this.#clock, gateways: () => this.#sessions.size });
    this.#tickAlarm = new Alarm(this.#timers, this.#turns.run);
    this.#host = {
      clock: this.#clock,
      timers: this.#timers,
      logger: this.#logger,
      createDriver: options.createDriver,
      turn: this.#turns.run,
      peers: (backend) => this.#peersOf(backend),
      nextVersion: () => ++this.#updateVersion,
      backend: (name) => this.#backends.get(name),
      dependents: (name) => this.#dependents.get(name) ?? [],
      isRouted: (name) => this.#routed.has(name),
      tick: (backend, on) => this.#setTicking(backend, on),
      drainMs: () => this.#config?.shutdown.drainMs ?? 0,
      event: (event) => this.#tell(event),
      wanted: (backend, wanted) => {
        for (const listener of this.#wantedListeners) listener(backend, wanted);
      },
    };
  }

  // ---- configuration

  /**
   * Applies a configuration: the first one, or a reload. New backends are made, every gateway is given the configuration and has answered (bounded: 10 s),
   * then what changed is changed and what is gone is drained away in the background. Throws DORMOUSE_CONFIG_REFUSED when a gateway refuses; then
   * everything is as it was before. One at a time, in order of the calls. Resolves with the version under which gateways know it.
   */
  configure(config: Config, gatewayConfig: GatewayConfig): Promise<number> {
    const done = this.#configuring.then(() => this.#apply(config, gatewayConfig));
    this.#configuring = done.then(
      () => {},
      () => {},
    );
    return done;
  }

  async #apply(config: Config, gatewayConfig: GatewayConfig): Promise<number> {
    if (this.#closed) throw new DormouseError('DORMOUSE_CLOSING', 'the controller has been closed');
    const before = { config: this.#config, gatewayConfig: this.#gatewayConfig };
    const version = ++this.#configVersion;
    const added: BackendController[] = [];
    const { answers } = await this.#inTurn(() => {
      this.#config = config;
      this.#gatewayConfig = gatewayConfig;
      for (const backend of config.backends) {
        if (this.#backends.has(backend.name)) continue;
        const made = new BackendController(backend, this.#host);
        added.push(made);
        this.#backends.set(backend.name, made);
      }
      this.#link(config);
      const asked = this.#send(version, gatewayConfig);
      // After the configuration: a gateway knows of no backend before it.
      for (const backend of added) backend.start();
      return asked;
    });
    const refused = await answers;
    await this.#inTurn(() => {
      if (refused !== null) this.#backOut(before, added);
      else this.#change(config);
    });
    if (refused !== null) {
      throw new DormouseError(
        'DORMOUSE_CONFIG_REFUSED',
        `${refused}. Nothing was changed; correct the configuration and reload`,
        { userFault: true },
      );
    }
    return version;
  }

  /** Sends to all; resolves with the first refusal, or null when all have answered or the bound has passed. */
  #send(version: number, gatewayConfig: GatewayConfig): { answers: Promise<string | null> } {
    const { promise, resolve } = Promise.withResolvers<string | null>();
    const waiting = new Set<GatewaySession>(
      [...this.#sessions].filter((session) => session.greeted && !session.closed),
    );
    let refused: string | null = null;
    const finish = (): void => {
      cancel();
      resolve(refused);
    };
    const cancel = this.#timers.setTimer(CONFIGURE_BOUND_MS, () => {
      this.#logger.warn('gateways have not answered the configuration', {
        gateways: [...waiting].map((session) => session.id),
      });
      resolve(refused);
    });
    for (const session of [...waiting]) {
      session.configure(version, gatewayConfig, (answer: ConfigAnswer) => {
        if (!answer.ok) refused ??= `gateway ${session.id} refused the configuration: ${answer.reason}`;
        waiting.delete(session);
        if (waiting.size === 0) finish();
      });
    }
    if (waiting.size === 0) finish();
    return { answers: promise };
  }

  /** A gateway can't work with it: all get the old one again. */
  #backOut(
    before: { config: Config | null; gatewayConfig: GatewayConfig | null },
    added: readonly BackendController[],
  ): void {
    this.#config = before.config;
    this.#gatewayConfig = before.gatewayConfig;
    for (const backend of added) {
      this.#backends.delete(backend.name);
      this.#remove(backend);
    }
    if (before.config === null || before.gatewayConfig === null) return;
    this.#link(before.config);
    this.#send(++this.#configVersion, before.gatewayConfig);
    for (const session of this.#peers()) this.#join(session);
  }

  #change(config: Config): void {
    const next = new Map<string, BackendController>();
    for (const wanted of config.backends) {
      const backend = this.#backends.get(wanted.name);
      if (backend === undefined) continue;
      next.set(wanted.name, backend);
      this.#backends.delete(wanted.name);
    }
    const removed = [...this.#backends.values()];
    this.#backends = next;
    this.#link(config);
    for (const wanted of config.backends) {
      const backend = next.get(wanted.name);
      if (backend === undefined || backend.config === wanted) continue;
      if (!isDeepStrictEqual(backend.config, wanted)) backend.reconfigure(wanted);
    }
    for (const backend of removed) this.#remove(backend);
    // Who depends on whom may have changed.
    for (const backend of next.values()) backend.evaluateIdle();
  }

  #remove(backend: BackendController): void {
    this.#leaving.add(backend);
    void backend.remove().then(() => this.#leaving.delete(backend));
  }

  /** Who wakes with whom, and to whom routes lead. */
  #link(config: Config): void {
    const dependents = new Map<string, BackendController[]>();
    for (const { name, wake } of config.backends) {
      const backend = this.#backends.get(name);
      if (backend === undefined) continue;
      for (const dependency of wake.with) {
        const known = dependents.get(dependency);
        if (known === undefined) dependents.set(dependency, [backend]);
        else known.push(backend);
      }
    }
    this.#dependents = dependents;
    this.#routed = reachable(config);
  }

  // ---- gateways

  /** A gateway's link. It is given the configuration when it says hello, and counts from then on. */
  attach(gatewayId: string, link: Link<DownMessage, UpMessage>): void {
    const session = new GatewaySession(gatewayId, link);
    this.#turns.run(() => this.#sessions.add(session));
    link.onMessage((message) => this.#turns.run(() => this.#received(session, message)));
    link.onClose(() => this.#turns.run(() => this.#lost(session)));
  }

  #received(session: GatewaySession, message: UpMessage): void {
    if (session.closed || this.#closed) return;
    if (message.type === 'hello') {
      const wrong = session.greeted ? 'it said hello twice' : session.hello(message.linkVersion);
      if (wrong !== null) {
        this.#logger.error('a gateway was turned away', { gateway: session.id, pid: message.pid, reason: wrong });
        this.#lost(session);
      } else this.#welcome(session);
      return;
    }
    if (!session.greeted) {
      this.#logger.warn('a message before hello was left out', { gateway: session.id, type: message.type });
      return;
    }
    this.#dispatch(session, message);
  }

  #dispatch(session: GatewaySession, message: Exclude<UpMessage, { type: 'hello' }>): void {
    switch (message.type) {
      case 'configured':
        session.configAnswer(message.version, { ok: true });
        return this.#gatewaysChanged();
      case 'refused':
        this.#logger.error('a gateway refused the configuration', { gateway: session.id, reason: message.reason });
        return session.configAnswer(message.version, { ok: false, reason: message.reason });
      case 'applied':
        return;
      case 'requests':
        // Read on the way here, where anybody wants to know.
        return;
      case 'wake': {
        const { route, client, method, path, atMs } = message;
        const { backend, peer } = this.#meant(session, message.backend);
        this.#backends.get(backend)?.poked(peer, { kind: 'request', route, client, method, path, atMs });
        return;
      }
      case 'demand':
        for (const window of message.windows) {
          const { backend, peer } = this.#meant(session, window.backend);
          for (const named of this.#named(backend)) named.reported(peer, window);
        }
        return;
      case 'drained':
        {
          const { backend, peer } = this.#meant(session, message.backend);
          for (const named of this.#named(backend)) named.drained(peer, message);
        }
        return;
      case 'suspect':
        this.#backends
          .get(this.#meant(session, message.backend).backend)
          ?.fleet.suspect(message.endpoint, message.reason);
        return;
      case 'lease-ask': {
        const { backend, peer } = this.#meant(session, message.backend);
        const granted = this.#backends.get(backend)?.leases.ask(peer, message) ?? { holds: 0, bytes: 0 };
        return session.send({ type: 'lease', backend: message.backend, ...granted });
      }
      case 'lease-return':
        {
          const { backend, peer } = this.#meant(session, message.backend);
          for (const named of this.#named(backend)) named.leases.giveBack(peer, message);
        }
        return;
      case 'leases-held': {
        const { backend, peer } = this.#meant(session, message.backend);
        this.#backends.get(backend)?.leases.adopt(peer, message);
        return;
      }
      case 'known':
        for (const { name } of message.backends) {
          const { backend, peer } = this.#meant(session, name);
          this.#backends.get(backend)?.confirm(peer);
        }
        return;
      case 'leaving':
        session.leaving = true;
        return this.#gatewaysChanged();
      case 'limit-open':
        return this.#limits.open(session, message.terms);
      case 'limit-close':
        return this.#limits.close(session, message.name);
      case 'limit-ask':
        return session.send({
          type: 'limit-grant',
          seq: message.seq,
          grants: this.#limits.ask(session, message.asks),
        });
      case 'traces':
        return this.#traces?.traces(session.id, message.records, message.dropped);
      case 'collected':
        return session.collected(message.id, { metrics: message.metrics, status: message.status });
    }
  }

  /** The keys with which all gateways seal sessions of TLS clients from now on (48 bytes, base64). */
  setTicketKeys(keys: string): void {
    this.#turns.run(() => {
      this.#ticketKeys = keys;
      for (const session of this.#sessions) if (session.greeted) session.send({ type: 'ticket-keys', keys });
    });
  }

  #welcome(session: GatewaySession): void {
    if (this.#ticketKeys !== '') session.send({ type: 'ticket-keys', keys: this.#ticketKeys });
    if (this.#gatewayConfig === null) return;
    session.configure(this.#configVersion, this.#gatewayConfig, () => {});
    this.#join(session);
  }

  #join(session: GatewaySession): void {
    for (const backend of this.#backends.values())
      for (const peer of asPeers(session, backend.config)) backend.joined(peer);
  }

  #lost(session: GatewaySession): void {
    if (!this.#sessions.delete(session)) return;
    session.close();
    if (this.#closed) return;
    this.#gatewaysChanged();
    this.#limits.left(session);
    const peers: Peer[] = [session, ...session.ports.values()];
    for (const backend of [...this.#backends.values(), ...this.#leaving]) for (const peer of peers) backend.left(peer);
  }

  *#peers(): Generator<GatewaySession> {
    for (const session of this.#sessions) if (session.configured) yield session;
  }

  *#peersOf(backend: BackendConfig): Generator<Peer> {
    for (const session of this.#peers()) yield* asPeers(session, backend);
  }

  /** What a gateway's backend is here: a further port is another peer of the backend that has it. */
  #meant(session: GatewaySession, name: string): { backend: string; peer: Peer } {
    const peer = session.ports.get(name);
    return peer === undefined ? { backend: name, peer: session } : { backend: peer.backend, peer };
  }

  /** The backend of this name, and removed ones that still drain. */
  *#named(name: string): Generator<BackendController> {
    const backend = this.#backends.get(name);
    if (backend !== undefined) yield backend;
    if (this.#leaving.size > 0) for (const leaving of this.#leaving) if (leaving.name === name) yield leaving;
  }

  /** Gateways on the link, and the newest configuration that each has said to have in force (0: none). */
  gateways(): { id: string; inForce: number; leaving: boolean }[] {
    return [...this.#sessions].map(({ id, inForce, leaving }) => ({ id, inForce, leaving }));
  }

  /** Told when a gateway has come, has put a configuration in force, is about to end, or is gone. */
  onGateways(listener: () => void): () => void {
    const own = (): void => listener();
    this.#gatewayListeners.add(own);
    return () => this.#gatewayListeners.delete(own);
  }

  #gatewaysChanged(): void {
    for (const listener of this.#gatewayListeners) {
      try {
        listener();
      } catch (error) {
        this.#logger.error('a listener of gateways failed', { error: String(error) });
      }
    }
  }

  // ---- the autoscaler's tick

  #setTicking(backend: Neighbour, on: boolean): void {
    if (on) this.#ticking.add(backend);
    else this.#ticking.delete(backend);
    if (this.#ticking.size === 0) this.#tickAlarm.cancel();
    else if (!this.#tickAlarm.armed) this.#tickAlarm.set(TICK_MS, () => this.#tick());
  }

  #tick(): void {
    if (this.#ticking.size > 0) this.#tickAlarm.set(TICK_MS, () => this.#tick());
    const attached = !this.#peers().next().done;
    for (const backend of [...this.#ticking]) backend.tick(attached);
  }

  // ---- commands

  /** In the order of the configuration. */
  backends(): BackendStatus[] {
    const now = { nowMs: this.#clock.nowMs(), wallMs: this.#clock.wallMs() };
    return [...this.#backends.values()].map((backend) => backendStatus(backend, now));
  }

  /**
   * Resolves when the backend is awake. Rejects with DORMOUSE_BACKEND_UNKNOWN, DORMOUSE_BACKEND_CRASHING, DORMOUSE_WAKE_FAILED, DORMOUSE_ABORTED.
   * Bounded by the driver's start timeout, and by `signal`.
   */
  wake(name: string, cause: WakeCause, signal: AbortSignal): Promise<void> {
    return this.#command(name, signal, (backend, waiter) => backend.ensureAwake(cause, waiter));
  }

  /**
   * Resolves when the backend is asleep. Rejects with DORMOUSE_BACKEND_UNKNOWN, DORMOUSE_SLEEP_REFUSED, DORMOUSE_SLEEP_CANCELLED (requests kept coming),
   * DORMOUSE_ABORTED; an abort leaves the sleep going on. Bounded by the drain bound and the grace period.
   */
  sleep(name: string, signal: AbortSignal): Promise<void> {
    return this.#command(name, signal, (backend, waiter) => backend.fallingAsleep.command(waiter));
  }

  /**
   * Wakes it and keeps it awake until then (wall clock ms); null: no longer than anything else does. It is forgotten when the backend is removed from the
   * configuration. Throws DORMOUSE_BACKEND_UNKNOWN.
   */
  pin(name: string, untilMs: number | null): void {
    this.#known(name);
    this.#turns.run(() => this.#backends.get(name)?.pin(untilMs));
  }

  #command(
    name: string,
    signal: AbortSignal,
    run: (backend: BackendController, waiter: Waiter) => void,
  ): Promise<void> {
    const { promise, resolve, reject } = Promise.withResolvers<void>();
    this.#turns.run(() => {
      const backend = this.#backends.get(name);
      if (backend === undefined) return reject(this.#unknown(name));
      const givenUp = (): DormouseError =>
        new DormouseError('DORMOUSE_ABORTED', `waiting for ${name} was given up`, { cause: signal.reason });
      if (signal.aborted) return reject(givenUp());
      const aborted = (): void => {
        this.#turns.run(() => backend.forgetWaiter(waiter));
        reject(givenUp());
      };
      const end = (): void => signal.removeEventListener('abort', aborted);
      const waiter: Waiter = {
        resolve: () => {
          end();
          resolve();
        },
        reject: (error) => {
          end();
          reject(error);
        },
      };
      signal.addEventListener('abort', aborted, { once: true });
      run(backend, waiter);
    });
    return promise;
  }

  /** What the triggers of a backend want has changed; null: it has none. A name that isn't there is left out. */
  triggered(name: string, demand: TriggerDemand | null): void {
    this.#turns.run(() => this.#backends.get(name)?.triggered(demand));
  }

  /**
   * What a backend is scaled by: what each of its triggers measured and, where routes or listeners lead to it, `http`: requests at once averaged over
   * scale.windows.stable, or per second. With scale.formula there is its result alone, named `formula`. null: there is no backend of this name.
   */
  scaleMetrics(name: string): ScaleMetric[] | null {
    return this.#backends.get(name)?.asked.metrics ?? null;
  }

  /**
   * Whether a backend is to run, for whoever else writes its zero (KEDA): false once gateways have nothing on its instances any more and send nothing there, true
   * again with the first request. null: there is no backend of this name, or it is not known yet what runs of it.
   */
  wanted(name: string): boolean | null {
    return this.#backends.get(name)?.wanted ?? null;
  }

  /** Told within the step in which it changes. */
  onWanted(listener: (backend: string, wanted: boolean) => void): () => void {
    const own = (backend: string, wanted: boolean): void => listener(backend, wanted);
    this.#wantedListeners.add(own);
    return () => this.#wantedListeners.delete(own);
  }

  /** Who scales it between one and max, as it is in force here; null: there is no backend of this name. */
  scaledBy(name: string): BackendConfig['scale']['by'] | null {
    return this.#backends.get(name)?.config.scale.by ?? null;
  }

  /** Why the triggers of a backend keep it awake now, one sentence each; empty: they don't, or it has none, or there is no such backend. */
  keptByTriggers(name: string): string[] {
    const asked = this.#backends.get(name)?.asked;
    return asked === undefined ? [] : [...asked.active, ...asked.keptBy];
  }

  /** What the idle sources of a backend say has changed; null: it has none. A name that isn't there is left out. */
  idleVerdict(name: string, verdict: IdleVerdict | null): void {
    this.#turns.run(() => this.#backends.get(name)?.idleVerdict(verdict));
  }

  /** Whether clients of a backend reach its instances without gateways now. A name that isn't there is left out. */
  setDirect(name: string, direct: boolean): void {
    this.#turns.run(() => this.#backends.get(name)?.setDirect(direct));
  }

  /** One backend as it is now; null when there is none of this name. */
  backend(name: string): BackendStatus | null {
    const backend = this.#backends.get(name);
    const now = { nowMs: this.#clock.nowMs(), wallMs: this.#clock.wallMs() };
    return backend === undefined ? null : backendStatus(backend, now);
  }

  /** The last lines of its instances, oldest first. Throws DORMOUSE_BACKEND_UNKNOWN. */
  logs(name: string, limit: number): LogLine[] {
    return this.#known(name).fleet.logs.lines(limit);
  }

  /** Every line from now on, until the returned function is called. Throws DORMOUSE_BACKEND_UNKNOWN. */
  onLog(name: string, listener: (line: LogLine) => void): () => void {
    return this.#known(name).fleet.logs.onLine(listener);
  }

  onEvent(listener: (event: BackendEvent) => void): () => void {
    const own = (event: BackendEvent): void => listener(event);
    this.#listeners.add(own);
    return () => this.#listeners.delete(own);
  }

  #known(name: string): BackendController {
    const backend = this.#backends.get(name);
    if (backend === undefined) throw this.#unknown(name);
    return backend;
  }

  #unknown(name: string): DormouseError {
    const near = nearestName(name, [...this.#backends.keys()]);
    const next = near === null ? 'dormouse status lists all backends' : `did you mean ${near}?`;
    return new DormouseError('DORMOUSE_BACKEND_UNKNOWN', `there is no backend ${name}: ${next}`, { userFault: true });
  }

  #tell(event: BackendEvent): void {
    for (const listener of this.#listeners) {
      try {
        listener(event);
      } catch (error) {
        this.#logger.error('a listener of events failed', { error: String(error) });
      }
    }
  }

  // ---- scrape

  /** Own metrics and every gateway's, added up. A gateway that is silent for 1 s, or when `signal` aborts, is left out. */
  async collect(signal: AbortSignal): Promise<{ metrics: MetricFamily[]; gateways: Map<string, GatewayStatus> }> {
    const id = ++this.#collection;
    const answers = new Map<string, Collected>();
    const { promise, resolve } = Promise.withResolvers<void>();
    const asked = [...this.#peers()];
    let waiting = asked.length;
    const cancel = this.#timers.setTimer(COLLECT_BOUND_MS, resolve);
    const aborted = (): void => resolve();
    signal.addEventListener('abort', aborted, { once: true });
    for (const session of asked) {
      session.collect(id, (collected) => {
        if (collected !== null) answers.set(session.id, collected);
        if (--waiting === 0) resolve();
      });
    }
    if (waiting === 0 || signal.aborted) resolve();
    await promise;
    cancel();
    signal.removeEventListener('abort', aborted);
    for (const session of asked) session.collected(id, null);
    const own = backendFamilies([...this.#backends.values()].map((backend) => backendReading(backend)));
    const gateways = [...answers].map(([gateway, { status }]) => [gateway, status] as const);
    return {
      metrics: addFamilies([own, ...[...answers.values()].map(({ metrics }) => metrics)]),
      gateways: new Map(gateways),
    };
  }

  /** Stops all timers and ends everything that drivers run, within their grace periods. Links are left to who opened them. */
  async close(): Promise<void> {
    this.#closed = true;
    const ends: Promise<void>[] = [];
    this.#turns.run(() => {
      this.#tickAlarm.cancel();
      for (const backend of [...this.#backends.values(), ...this.#leaving]) ends.push(backend.close());
    });
    await Promise.all(ends);
  }

  /** Runs as one step, after those that wait; throws what the step throws. */
  #inTurn<T>(step: () => T): Promise<T> {
    const { promise, resolve, reject } = Promise.withResolvers<T>();
    this.#turns.run(() => {
      try {
        resolve(step());
      } catch (error) {
        reject(error);
      }
    });
    return promise;
  }
}

/** The gateway itself, and once more for each further port of the backend. */
function asPeers(session: GatewaySession, { name, ports = [] }: BackendConfig): Peer[] {
  return [
    session,
    ...ports.map((port) => {
      const own = `${name}:${port.name}`;
      let peer = session.ports.get(own);
      if (peer === undefined) {
        peer = new PortPeer(session, { name: own, port: port.name, backend: name });
        session.ports.set(own, peer);
      }
      return peer;
    }),
  ];
}

/** Names of backends to which a route or a listener leads. */
function reachable({ listeners, routes }: Config): Set<string> {
  const names = new Set<string>();
  for (const { rules } of routes) for (const { backends } of rules) for (const { name } of backends) names.add(name);
  for (const { backend } of listeners) if (backend !== null) names.add(backend);
  return names;
}
