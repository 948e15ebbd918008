/** What the controller counts, as metric families. Label values come from the configuration and from fixed lists only. */
import { DURATION_BOUNDS_SECONDS, type MetricFamily, type MetricSeries } from '../model/metrics.ts';
import type { BackendPhase, WakeCause } from '../model/backend.ts';

export const PHASES: readonly BackendPhase[] = ['asleep', 'waking', 'awake', 'falling-asleep'];

/** Parts of a wake: `start` until the driver was asked (dependencies wake first), `ready` from there to the first endpoint, `total` both. */
const WAKE_PARTS = ['start', 'ready', 'total'] as const;
type WakePart = (typeof WAKE_PARTS)[number];

class Durations {
  readonly counts = new Array<number>(DURATION_BOUNDS_SECONDS.length + 1).fill(0);
  sum = 0;

  observe(seconds: number): void {
    const index = DURATION_BOUNDS_SECONDS.findIndex((bound) => seconds <= bound);
    const at = index === -1 ? DURATION_BOUNDS_SECONDS.length : index;
    this.counts[at] = (this.counts[at] ?? 0) + 1;
    this.sum += seconds;
  }
}

/** Counters of one backend. */
export class BackendCounters {
  wakes = 0;
  sleeps = 0;
  sleepsCancelled = 0;
  crashes = 0;
  readonly wakesByCause = new Map<WakeCause['kind'], number>();
  #durations: Record<WakePart, Durations> | null = null;

  woke(kind: WakeCause['kind'], startMs: number, readyMs: number): void {
    this.wakes++;
    this.wakesByCause.set(kind, (this.wakesByCause.get(kind) ?? 0) + 1);
    this.#durations ??= { start: new Durations(), ready: new Durations(), total: new Durations() };
    this.#durations.start.observe(startMs / 1000);
    this.#durations.ready.observe(readyMs / 1000);
    this.#durations.total.observe((startMs + readyMs) / 1000);
  }

  durations(): readonly (readonly [WakePart, Durations])[] {
    const all = this.#durations;
    return all === null ? [] : WAKE_PARTS.map((part) => [part, all[part]] as const);
  }
}

/** What a scrape reads of one backend. */
export interface BackendReading {
  name: string;
  phase: BackendPhase;
  desired: number;
  /** Number of instances by state, those that drain as `draining`. */
  instances: ReadonlyMap<string, number>;
  counters: BackendCounters;
  /** With scale.jobs: runs that have ended. */
  runs: { succeeded: number; failed: number } | null;
}

export function backendFamilies(backends: Iterable<BackendReading>): MetricFamily[] {
  const wakes = family('dormouse_wakes_total', 'counter', 'Wakes, by what caused them.');
  const durations = family(
    'dormouse_wake_duration_seconds',
    'histogram',
    'Time of a wake: start = until the driver was asked (dependencies first), ready = from there to the first endpoint, total = both.',
  );
  const sleeps = family('dormouse_sleeps_total', 'counter', 'Times that a backend fell asleep.');
  const cancelled = family(
    'dormouse_sleep_cancelled_total',
    'counter',
    'Sleeps that were taken back before anything was stopped.',
  );
  const state = family('dormouse_backend_state', 'gauge', '1 for the state that the backend is in, 0 for the others.');
  const instances = family('dormouse_backend_instances', 'gauge', 'Instances by state.');
  const crashes = family(
    'dormouse_backend_crashes_total',
    'counter',
    'Failed starts and instances that ended unasked.',
  );
  const desired = family(
    'dormouse_backend_desired_instances',
    'gauge',
    'Instances that the backend is meant to have now.',
  );
  const runs = family('dormouse_job_runs_total', 'counter', 'Runs (scale.jobs) that have ended, by how.');
  for (const { name: backend, phase, desired: wanted, instances: byState, counters, runs: ended } of backends) {
    if (ended !== null) {
      runs.series.push({ labels: { backend, result: 'succeeded' }, value: ended.succeeded });
      runs.series.push({ labels: { backend, result: 'failed' }, value: ended.failed });
    }
    for (const [cause, value] of counters.wakesByCause) wakes.series.push({ labels: { backend, cause }, value });
    for (const [part, { counts, sum }] of counters.durations()) {
      durations.series.push({
        labels: { backend, phase: part },
        histogram: { bounds: DURATION_BOUNDS_SECONDS, counts: [...counts], sum },
      });
    }
    sleeps.series.push({ labels: { backend }, value: counters.sleeps });
    cancelled.series.push({ labels: { backend }, value: counters.sleepsCancelled });
    for (const one of PHASES) state.series.push({ labels: { backend, state: one }, value: one === phase ? 1 : 0 });
    if (!byState.has('ready')) instances.series.push({ labels: { backend, state: 'ready' }, value: 0 });
    for (const [one, value] of byState) instances.series.push({ labels: { backend, state: one }, value });
    crashes.series.push({ labels: { backend }, value: counters.crashes });
    desired.series.push({ labels: { backend }, value: wanted });
  }
  return [wakes, durations, sleeps, cancelled, state, instances, crashes, desired, runs];
}

function family(name: string, type: MetricFamily['type'], help: string): MetricFamily {
  return { name, type, help, series: [] };
}

/** One family per name, equal labels added up, so that the answers of several gateways are one set of metrics. */
export function addFamilies(sets: readonly (readonly MetricFamily[])[]): MetricFamily[] {
  const byName = new Map<string, MetricFamily[]>();
  for (const set of sets) {
    for (const one of set) {
      const known = byName.get(one.name);
      if (known === undefined) byName.set(one.name, [one]);
      else known.push(one);
    }
  }
  return [...byName.values()].map((same) => addSame(same));
}

function addSame(families: readonly MetricFamily[]): MetricFamily {
  const [first] = families;
  if (first === undefined || families.length === 1) return first as MetricFamily;
  const byLabels = new Map<string, MetricSeries>();
  for (const family of families) {
    for (const series of family.series) {
      const key = JSON.stringify(Object.entries(series.labels).sort(([a], [b]) => (a < b ? -1 : 1)));
      const known = byLabels.get(key);
      if (known === undefined) byLabels.set(key, copyOf(series));
      else addTo(known, series);
    }
  }
  return { ...first, series: [...byLabels.values()] };
}

function copyOf(series: MetricSeries): MetricSeries {
  return series.histogram === undefined
    ? { ...series }
    : { ...series, histogram: { ...series.histogram, counts: [...series.histogram.counts] } };
}

function addTo(known: MetricSeries, more: MetricSeries): void {
  if (more.value !== undefined) known.value = (known.value ?? 0) + more.value;
  if (more.histogram === undefined || known.histogram === undefined) return;
  const { counts } = known.histogram;
  known.histogram.sum += more.histogram.sum;
  more.histogram.counts.forEach((count, index) => {
    counts[index] = (counts[index] ?? 0) + count;
  });
}
