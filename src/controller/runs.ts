/**
 * A backend with scale.jobs: each of its instances is a run, which does a batch of messages and ends by itself. How many are to be started, and what became of
 * them. The number follows KEDA's "default" strategy: what waits and what is in flight, in batches, less the runs that there are. So the source has to count
 * what is in flight; where it doesn't, a run is started later than it could be and never too early.
 */
import type { TriggerDemand } from '../model/demand.ts';
import type { FinishedRun, RunsStatus } from '../model/status.ts';

/** A source that never speaks again is not waited for any longer than this after a run's end. */
const SETTLE_MS = 30_000;
/** Of these a trigger's value is a number of instances, not of messages. */
const COUNTS_INSTANCES = new Set(['cron']);

export class Runs {
  #succeeded = 0;
  #failed = 0;
  /** The newest first. */
  #last: FinishedRun[] = [];
  /** When runs ended that the source may not know of yet, wall clock ms. */
  #unsettled: number[] = [];

  finished(run: FinishedRun, history: number): void {
    if (run.ok) this.#succeeded++;
    else this.#failed++;
    this.#last = [run, ...this.#last].slice(0, history);
    this.#unsettled.push(run.endedAtMs);
  }

  /** When the last run ended, wall clock ms; 0: none has. */
  get lastEndMs(): number {
    return this.#last[0]?.endedAtMs ?? this.#unsettled.at(-1) ?? 0;
  }

  /** How many are missing: for each trigger its batches, less what runs and less what has ended since it was measured; the largest. */
  missing(demand: TriggerDemand | null, batch: number, running: number, wallMs: number): number {
    this.#unsettled = this.#unsettled.filter((endedMs) => endedMs > wallMs - SETTLE_MS);
    let most = 0;
    let oldestMs = Infinity;
    const failing = new Set(demand?.troubles.map(({ name }) => name));
    for (const { name, type, value, active, atMs } of demand?.metrics ?? []) {
      oldestMs = Math.min(oldestMs, atMs);
      // What a source said before it failed may be done long ago.
      if (!active || failing.has(name)) continue;
      const wanted = Math.ceil(COUNTS_INSTANCES.has(type) ? value : value / batch);
      // Its message was acknowledged before it ended.
      const untold = this.#unsettled.filter((endedMs) => endedMs >= atMs).length;
      most = Math.max(most, wanted - running - untold);
    }
    this.#unsettled = this.#unsettled.filter((endedMs) => endedMs >= oldestMs);
    return most;
  }

  status(): RunsStatus {
    return { succeeded: this.#succeeded, failed: this.#failed, last: this.#last };
  }
}
