import type { Clock } from '../model/ports.ts';
import type { DemandWindow } from '../model/demand.ts';

/**
 * Measures one backend's demand as an integral over time, so that a request of 2 ms counts for 2 request-milliseconds wherever the
 * reporting ticks fall (sampling a gauge misses it).
 */
export class DemandMeter {
  /** Exchanges between arrival and end, held ones included, tunnels excluded. */
  active = 0;
  tunnels = 0;
  requests = 0;
  errors = 0;
  /** Of bodies: of requests that ended since the last report, and of their responses. */
  bytesIn = 0;
  bytesOut = 0;
  /** Monotonic ms of the last arrival or end; -1 when there was none. */
  lastActivityMs = -1;
  /** True when something happened since the last report. */
  dirty = false;
  private integral = 0;
  private changedMs = 0;
  private reportedMs = 0;

  arrive(nowMs: number): void {
    // A window begins with the first thing that happens in it: a quiet hour before it would make the average meaningless.
    if (!this.dirty) {
      this.reportedMs = nowMs;
      this.changedMs = nowMs;
    }
    this.integral += this.active * (nowMs - this.changedMs);
    this.changedMs = nowMs;
    this.lastActivityMs = nowMs;
    this.active++;
    this.requests++;
  }

  leave(nowMs: number, failed: boolean): void {
    this.integral += this.active * (nowMs - this.changedMs);
    this.changedMs = nowMs;
    this.lastActivityMs = nowMs;
    this.active--;
    if (failed) this.errors++;
  }

  /** Closes the window: what happened since the last call. `held` is the number of exchanges that wait now. */
  take(backend: string, held: number, clock: Clock): DemandWindow {
    const nowMs = clock.nowMs();
    const window: DemandWindow = {
      backend,
      elapsedMs: nowMs - this.reportedMs,
      concurrencyMs: this.integral + this.active * (nowMs - this.changedMs),
      requests: this.requests,
      errors: this.errors,
      bytesIn: this.bytesIn,
      bytesOut: this.bytesOut,
      inFlight: this.active - held,
      held,
      tunnels: this.tunnels,
      lastActivityMs: this.wallOfLastActivity(clock),
    };
    this.integral = 0;
    this.changedMs = nowMs;
    this.reportedMs = nowMs;
    this.requests = 0;
    this.errors = 0;
    this.bytesIn = 0;
    this.bytesOut = 0;
    return window;
  }

  wallOfLastActivity(clock: Clock): number {
    return this.lastActivityMs < 0 ? 0 : clock.wallMs() - (clock.nowMs() - this.lastActivityMs);
  }
}
