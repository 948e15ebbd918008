import { Rotation } from './rotation.ts';
import type { BalancedEndpoint, PickContext, Strategy } from './strategy.ts';

/**
 * The endpoint with the fewest requests in flight for its weight, counted in this worker; among equals in turn by weight. One pass over
 * the endpoints to find the least, one to take the turn.
 */
export class LeastConnections<E extends BalancedEndpoint> implements Strategy<E> {
  readonly #rotation = new Rotation<E>();

  update(endpoints: readonly E[]): void {
    this.#rotation.update(endpoints);
  }

  pick(context: PickContext, exclude: readonly E[] | null): E | null {
    const endpoints = this.#rotation.endpoints;
    if (endpoints.length === 1) return this.#rotation.next(context.random, exclude);
    let least = Infinity;
    for (let i = 0; i < endpoints.length; i++) {
      const endpoint = endpoints[i]!;
      const load = endpoint.inFlight / endpoint.weight;
      if (load < least && (exclude === null || !exclude.includes(endpoint))) least = load;
    }
    return least === Infinity ? null : this.#rotation.nextAtLoad(context.random, exclude, least);
  }
}
