import type { BalancedEndpoint, PickContext, Strategy } from './strategy.ts';
import { WeightedDraw } from './weighted-draw.ts';

/** Any endpoint, with a chance that is its share of the weights. */
export class Random<E extends BalancedEndpoint> implements Strategy<E> {
  readonly #draw = new WeightedDraw<E>();

  update(endpoints: readonly E[]): void {
    this.#draw.update(endpoints);
  }

  pick(context: PickContext, exclude: readonly E[] | null): E | null {
    return this.#draw.draw(context.random, exclude);
  }
}
