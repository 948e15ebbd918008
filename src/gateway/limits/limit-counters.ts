import type { MetricFamily, MetricSeries } from '../../model/metrics.ts';

interface StoreCounts {
  errors: number;
  calls: number;
}

/** What limiters count, by route: bounded by the configurations that there were. */
export class LimitCounters {
  readonly #rateLimited = new Map<string, number>();
  readonly #undecided = new Map<string, number>();
  readonly #concurrencyLimited = new Map<string, number>();

  rateLimited(route: string): void {
    this.#rateLimited.set(route, (this.#rateLimited.get(route) ?? 0) + 1);
  }

  undecided(route: string): void {
    this.#undecided.set(route, (this.#undecided.get(route) ?? 0) + 1);
  }

  concurrencyLimited(route: string): void {
    this.#concurrencyLimited.set(route, (this.#concurrencyLimited.get(route) ?? 0) + 1);
  }

  families(stores: Record<'supervisor' | 'redis', StoreCounts>): MetricFamily[] {
    const byStore = (what: keyof StoreCounts): MetricSeries[] =>
      Object.entries(stores).flatMap(([store, counts]) =>
        counts.calls === 0 && counts.errors === 0 ? [] : [{ labels: { store }, value: counts[what] }],
      );
    return [
      {
        name: 'dormouse_rate_limited_total',
        help: 'Requests that a rate limit refused.',
        type: 'counter',
        series: byRoute(this.#rateLimited),
      },
      {
        name: 'dormouse_rate_limit_undecided_total',
        help: 'Requests that were let through or refused unasked because Redis did not answer.',
        type: 'counter',
        series: byRoute(this.#undecided),
      },
      {
        name: 'dormouse_concurrency_limited_total',
        help: 'Requests that a concurrency limit refused.',
        type: 'counter',
        series: byRoute(this.#concurrencyLimited),
      },
      {
        name: 'dormouse_limit_store_calls_total',
        help: 'Messages to whoever counts: the supervisor, or Redis.',
        type: 'counter',
        series: byStore('calls'),
      },
      {
        name: 'dormouse_limit_store_errors_total',
        help: 'Of those the ones that failed or were not answered in time, and failed connections.',
        type: 'counter',
        series: byStore('errors'),
      },
    ];
  }
}

function byRoute(counts: ReadonlyMap<string, number>): MetricSeries[] {
  return Array.from(counts, ([route, value]) => ({ labels: { route }, value }));
}
