import { Rotation } from './rotation.ts';
import type { BalancedEndpoint, PickContext, Strategy } from './strategy.ts';

/** In turn, by weight, and evenly spread in time: weights 2 and 1 give a b a, not a a b. */
export class RoundRobin<E extends BalancedEndpoint> implements Strategy<E> {
  readonly #rotation = new Rotation<E>();

  update(endpoints: readonly E[]): void {
    this.#rotation.update(endpoints);
  }

  pick(context: PickContext, exclude: readonly E[] | null): E | null {
    return this.#rotation.next(context.random, exclude);
  }
}
