/** One backend's demand, added up over gateways. Times of gateways (wall clock) become times of our monotonic clock when they arrive. */
import type { DemandWindow } from '../model/demand.ts';
import { SecondBuckets } from '../autoscaling/index.ts';

interface GatewayDemand {
  inFlight: number;
  held: number;
  tunnels: number;
  /** As reported; a value that was seen before isn't news. */
  lastActivityWallMs: number;
}

/** A gateway computes the wall time of its last activity anew for each report: the same moment comes as values a little apart. */
const SAME_MOMENT_MS = 2;

export interface Now {
  nowMs: number;
  wallMs: number;
}

export class DemandSum<G> {
  inFlight = 0;
  held = 0;
  tunnels = 0;
  /** Monotonic; 0 = never. Outlives the gateway that reported it. */
  lastActivityMs = 0;
  /** Wall clock; 0 = never. */
  lastActivityWallMs = 0;
  readonly #gateways = new Map<G, GatewayDemand>();
  #windowMs: number;
  #concurrency: SecondBuckets | null = null;
  #requests: SecondBuckets | null = null;

  /** `windowMs`: the longest average that will be asked for. */
  constructor(windowMs: number) {
    this.#windowMs = windowMs;
  }

  report(gateway: G, window: DemandWindow, now: Now): void {
    const known = this.#of(gateway);
    known.inFlight = window.inFlight;
    known.held = window.held;
    known.tunnels = window.tunnels;
    this.#seen(known, window.lastActivityMs, now);
    this.#add();
    this.#concurrency ??= new SecondBuckets(this.#windowMs);
    this.#requests ??= new SecondBuckets(this.#windowMs);
    // A bucket is one second long: request-milliseconds / 1000 is what this window adds to its average.
    this.#concurrency.record(now.nowMs, window.concurrencyMs / 1000);
    this.#requests.record(now.nowMs, window.requests);
  }

  /** What a `drained` answer says. */
  answered(gateway: G, held: number, lastActivityWallMs: number, now: Now): void {
    const known = this.#of(gateway);
    known.held = held;
    this.#seen(known, lastActivityWallMs, now);
    this.#add();
  }

  /** The gateway is gone, and what it had in flight with it. */
  forget(gateway: G): void {
    if (this.#gateways.delete(gateway)) this.#add();
  }

  /** Silence is zero demand as long as somebody could have said something else. */
  quiet(nowMs: number): void {
    this.#concurrency?.record(nowMs, 0);
    this.#requests?.record(nowMs, 0);
  }

  hasData(nowMs: number): boolean {
    return this.#concurrency !== null && !this.#concurrency.isEmpty(nowMs);
  }

  /** Average requests in flight or held over the last `windowMs`. */
  concurrency(nowMs: number, windowMs: number): number {
    return this.#concurrency?.average(nowMs, windowMs) ?? 0;
  }

  /** Average arrivals per second over the last `windowMs`. */
  requestsPerSecond(nowMs: number, windowMs: number): number {
    return this.#requests?.average(nowMs, windowMs) ?? 0;
  }

  /** A sleeping backend keeps no windows. */
  forgetWindows(): void {
    this.#concurrency = null;
    this.#requests = null;
  }

  set windowMs(windowMs: number) {
    if (windowMs === this.#windowMs) return;
    this.#windowMs = windowMs;
    this.forgetWindows();
  }

  #of(gateway: G): GatewayDemand {
    let known = this.#gateways.get(gateway);
    if (known === undefined) {
      known = { inFlight: 0, held: 0, tunnels: 0, lastActivityWallMs: 0 };
      this.#gateways.set(gateway, known);
    }
    return known;
  }

  #seen(known: GatewayDemand, wallMs: number, now: Now): void {
    if (wallMs === 0 || Math.abs(wallMs - known.lastActivityWallMs) <= SAME_MOMENT_MS) return;
    known.lastActivityWallMs = wallMs;
    // A wall clock that was set back would put activity into the future and keep the backend awake: nothing is later than now.
    const agoMs = Math.max(0, now.wallMs - wallMs);
    this.lastActivityMs = Math.max(this.lastActivityMs, now.nowMs - agoMs);
    this.lastActivityWallMs = Math.max(this.lastActivityWallMs, Math.min(wallMs, now.wallMs));
  }

  #add(): void {
    this.inFlight = 0;
    this.held = 0;
    this.tunnels = 0;
    for (const known of this.#gateways.values()) {
      this.inFlight += known.inFlight;
      this.held += known.held;
      this.tunnels += known.tunnels;
    }
  }
}
