/** Fills one instance before it takes the next, so that the others become idle and can be stopped. */
import type { BalancedEndpoint, PickContext, PluginStrategy, StrategyDefinition } from 'dormouse/plugin';
import { mapping, whole } from './options.ts';

interface FillFirstOptions {
  /** Requests at once at an instance before the next one gets any. */
  requests: number;
}

export const fillFirst: StrategyDefinition = {
  options: (given): FillFirstOptions => {
    const { requests = 10 } = mapping(given, ['requests']);
    return { requests: whole(requests, 'requests', 1, 100_000) };
  },
  create: (options: FillFirstOptions) => new FillFirst(options.requests),
};

class FillFirst implements PluginStrategy {
  readonly #requests: number;
  #endpoints: readonly BalancedEndpoint[] = [];

  constructor(requests: number) {
    this.#requests = requests;
  }

  update(endpoints: readonly BalancedEndpoint[]): void {
    this.#endpoints = endpoints.filter(({ weight }) => weight > 0);
  }

  /** Runs for each request: it makes nothing. */
  pick(_context: PickContext, exclude: readonly BalancedEndpoint[] | null): BalancedEndpoint | null {
    let least: BalancedEndpoint | null = null;
    for (const endpoint of this.#endpoints) {
      if (exclude?.includes(endpoint)) continue;
      if (endpoint.inFlight < this.#requests) return endpoint;
      if (least === null || endpoint.inFlight < least.inFlight) least = endpoint;
    }
    return least;
  }
}
