/**
 * Makes events of what gateways measure and ask for, and hands them to the buses: the one in memory, which is always there for this process's own readers, and the one that the
 * configuration names.
 */
import type { EventsConfig } from '../model/config.ts';
import type { DemandWindow } from '../model/demand.ts';
import type { MetricFamily } from '../model/metrics.ts';
import type { Clock, Logger } from '../model/ports.ts';
import type { BackendPhase } from '../model/backend.ts';
import { TRAFFIC_EVENT_VERSION, type TrafficEvent, type WindowEvent } from '../model/traffic-event.ts';
import type { EventBus } from './event-bus.ts';
import { eventFamilies } from './event-families.ts';
import { MemoryBus } from './memory-bus.ts';
import { noDrops, type BusStats } from './event-bus.ts';

/** Events that this process's own readers find in memory. */
const IN_MEMORY = 10_000;
/** How long a window is, ms. */
const WINDOW_MS = 1000;
/** How long a bus that is replaced may take for what it keeps, ms. */
const CLOSE_MS = 2000;
const MOST_NAME = 64;

export interface FirstRequest {
  backend: string;
  route: string;
  requestId: string;
  method: string;
  host: string;
  path: string;
  atMs: number;
}

export interface EndedRequest {
  backend: string;
  route: string;
  status: number;
  atMs: number;
  durationMs: number;
  bytesIn: number;
  bytesOut: number;
  cold: boolean;
}

export interface TrafficEventsDeps {
  /** Who sees the traffic: cut to 64 characters. */
  gateway: string;
  clock: Clock;
  logger: Logger;
  random: () => number;
  /** Makes the bus that the configuration names; loads its client only then. */
  createBus(config: EventsConfig): Promise<EventBus>;
}

interface OpenWindow {
  event: Omit<WindowEvent, 'v' | 'id' | 'toMs'>;
  /** What each of the sources said last: they are added up. */
  now: Map<string, Pick<DemandWindow, 'inFlight' | 'held' | 'tunnels'>>;
  dirty: boolean;
  /** The last one that was published says of something: readers are still to hear that it has ended. */
  tellsOfSomething: boolean;
}

export class TrafficEvents {
  readonly #deps: TrafficEventsDeps;
  readonly #gateway: string;
  readonly #idStart: string;
  #number = 0;
  /** What was published last, for readers in this process. */
  readonly memory: MemoryBus;
  #config: EventsConfig | null = null;
  #bus: EventBus | null = null;
  /** One after the other: the last one counts. */
  #configuring: Promise<void> = Promise.resolve();
  /** Of buses that were replaced. */
  readonly #former = { published: 0, dropped: noDrops() };
  #droppedByWorkers = 0;
  readonly #open = new Map<string, OpenWindow>();
  #timer: NodeJS.Timeout | null = null;
  /** Backends whose present wake has been told. */
  readonly #told = new Set<string>();
  readonly #phases = new Map<string, BackendPhase>();

  constructor(deps: TrafficEventsDeps) {
    this.#deps = deps;
    this.#gateway = deps.gateway.slice(0, MOST_NAME);
    const start = Math.floor(deps.clock.wallMs()).toString(36) + Math.floor(deps.random() * 36 ** 4).toString(36);
    this.#idStart = `${this.#gateway}-${start}-`;
    this.memory = new MemoryBus(IN_MEMORY, deps.logger);
  }

  /** Rejects when the client of the bus can't be loaded; nothing has changed then. The bus itself need not be there. */
  configure(config: EventsConfig): Promise<void> {
    const done = this.#configuring.then(() => this.#configure(config));
    this.#configuring = done.catch(() => {});
    return done;
  }

  async #configure(config: EventsConfig): Promise<void> {
    if (this.#config !== null && sameBus(config, this.#config)) {
      this.#config = config;
      return;
    }
    const next = config.bus.kind === 'memory' ? null : await this.#deps.createBus(config);
    const former = this.#bus;
    this.#config = config;
    this.#bus = next;
    if (former !== null) void this.#retire(former);
  }

  async #retire(bus: EventBus, withinMs = CLOSE_MS): Promise<void> {
    await bus.close(withinMs);
    const { published, dropped } = bus.stats;
    this.#former.published += published;
    for (const reason of Object.keys(dropped) as (keyof typeof dropped)[])
      this.#former.dropped[reason] += dropped[reason];
  }

  #publish(events: TrafficEvent[]): void {
    if (events.length === 0) return;
    this.#bus?.publish(events);
    this.memory.publish(events);
  }

  #id(): string {
    return this.#idStart + (this.#number++).toString(36);
  }

  /** A gateway has been told, or tells, in which phase a backend is. */
  phase(backend: string, phase: BackendPhase): void {
    const name = baseName(backend);
    this.#phases.set(name, phase);
    if (phase === 'waking' || phase === 'awake') this.#told.delete(name);
  }

  /** What is in the configuration now: what was known of others is forgotten. */
  known(backends: readonly { name: string; driver: string }[]): void {
    const names = new Set<string>();
    for (const { name, driver } of backends) {
      names.add(baseName(name));
      // Nobody wakes it: whoever waits there waits for somebody else.
      if (driver === 'static' && !this.#phases.has(baseName(name))) this.#phases.set(baseName(name), 'awake');
    }
    for (const name of this.#phases.keys()) {
      if (names.has(name)) continue;
      this.#phases.delete(name);
      this.#told.delete(name);
    }
  }

  /** Somebody waits for this backend. Published at once when that is news: the first since it fell asleep. */
  wake({ backend, route, requestId, method, host, path, atMs }: FirstRequest): void {
    const name = baseName(backend);
    const phase = this.#phases.get(name) ?? 'asleep';
    if ((phase !== 'asleep' && phase !== 'falling-asleep') || this.#told.has(name)) return;
    this.#told.add(name);
    const by = { method: method.slice(0, 32), host: host.slice(0, 255), path: path.slice(0, 200) };
    this.#publish([
      {
        v: TRAFFIC_EVENT_VERSION,
        type: 'wake',
        id: this.#id(),
        gateway: this.#gateway,
        backend: name,
        atMs,
        route,
        requestId: requestId.slice(0, 128),
        by,
      },
    ]);
  }

  /** What one gateway or worker measured. Windows of a backend are added up for a second. */
  windows(source: string, windows: readonly DemandWindow[]): void {
    const nowMs = this.#deps.clock.wallMs();
    for (const window of windows) {
      const backend = baseName(window.backend);
      let open = this.#open.get(backend);
      if (open === undefined) {
        const event = emptyWindow(this.#gateway, backend, nowMs);
        open = { event, now: new Map(), dirty: false, tellsOfSomething: false };
        this.#open.set(backend, open);
      }
      const { event, now } = open;
      event.fromMs = open.dirty ? Math.min(event.fromMs, nowMs - window.elapsedMs) : nowMs - window.elapsedMs;
      open.dirty = true;
      event.requests += window.requests;
      event.concurrencyMs += window.concurrencyMs;
      event.errors += window.errors;
      event.bytesIn += window.bytesIn ?? 0;
      event.bytesOut += window.bytesOut ?? 0;
      const { inFlight, held, tunnels } = window;
      const key = `${source}\n${window.backend}`;
      if (inFlight + held + tunnels > 0) now.set(key, { inFlight, held, tunnels });
      else now.delete(key);
    }
    if (windows.length > 0) this.#startTimer();
  }

  /** A worker is gone, and with it what was open on it. */
  gone(source: string): void {
    for (const open of this.#open.values())
      for (const key of open.now.keys()) {
        if (!key.startsWith(`${source}\n`)) continue;
        open.now.delete(key);
        // The next window says so.
        open.dirty = true;
        this.#startTimer();
      }
  }

  #startTimer(): void {
    if (this.#timer !== null) return;
    this.#timer = setTimeout(() => this.#closeWindows(), WINDOW_MS);
    this.#timer.unref();
  }

  #closeWindows(): void {
    this.#timer = null;
    const toMs = Math.round(this.#deps.clock.wallMs());
    const events: TrafficEvent[] = [];
    let more = false;
    for (const [backend, open] of this.#open) {
      const quiet = !open.dirty && open.now.size === 0;
      if (quiet && !open.tellsOfSomething) this.#open.delete(backend);
      if (!open.dirty && !(quiet && open.tellsOfSomething)) continue;
      open.dirty = false;
      const { event } = open;
      const ended = { ...event, fromMs: Math.round(event.fromMs), concurrencyMs: Math.round(event.concurrencyMs) };
      for (const now of open.now.values()) {
        ended.inFlight += now.inFlight;
        ended.held += now.held;
        ended.tunnels += now.tunnels;
      }
      events.push({ v: TRAFFIC_EVENT_VERSION, id: this.#id(), ...ended, toMs });
      open.event = emptyWindow(this.#gateway, backend, toMs);
      open.tellsOfSomething = ended.requests > 0 || open.now.size > 0;
      more ||= open.tellsOfSomething;
    }
    this.#publish(events);
    if (more) this.#startTimer();
  }

  /** Requests that ended (`events.each`). `dropped`: how many more there were. */
  requests(ended: Iterable<EndedRequest>, dropped: number): void {
    this.#droppedByWorkers += dropped;
    const events: TrafficEvent[] = [];
    for (const { backend, route, status, atMs, durationMs, bytesIn, bytesOut, cold } of ended)
      events.push({
        v: TRAFFIC_EVENT_VERSION,
        type: 'request',
        id: this.#id(),
        gateway: this.#gateway,
        backend: baseName(backend),
        route,
        atMs,
        status,
        durationMs,
        bytesIn,
        bytesOut,
        cold,
      });
    this.#publish(events);
  }

  get #stats(): BusStats {
    const { up, kept, published, dropped } = this.#bus?.stats ?? this.memory.stats;
    const sum = { ...this.#former.dropped };
    for (const reason of Object.keys(sum) as (keyof typeof sum)[]) sum[reason] += dropped[reason];
    sum.worker += this.#droppedByWorkers;
    return { up, kept, published: published + (this.#bus === null ? 0 : this.#former.published), dropped: sum };
  }

  families(): MetricFamily[] {
    return eventFamilies(this.#config?.bus.kind ?? 'memory', this.#stats);
  }

  /** The last windows are published, within the bound. */
  async close(withinMs: number): Promise<void> {
    await this.#configuring;
    if (this.#timer !== null) clearTimeout(this.#timer);
    this.#closeWindows();
    const bus = this.#bus;
    if (bus !== null) await this.#retire(bus, withinMs);
    await this.memory.close();
  }
}

function sameBus(a: EventsConfig, b: EventsConfig): boolean {
  const { each: _a, ...one } = a;
  const { each: _b, ...other } = b;
  return JSON.stringify(one) === JSON.stringify(other);
}

/** A further port of a backend is `<backend>:<port>` to gateways. */
function baseName(backend: string): string {
  const at = backend.indexOf(':');
  return at < 0 || backend.startsWith('service:') ? backend : backend.slice(0, at);
}

function emptyWindow(gateway: string, backend: string, fromMs: number): OpenWindow['event'] {
  return {
    type: 'window',
    gateway,
    backend,
    fromMs,
    requests: 0,
    concurrencyMs: 0,
    errors: 0,
    bytesIn: 0,
    bytesOut: 0,
    inFlight: 0,
    held: 0,
    tunnels: 0,
  };
}
