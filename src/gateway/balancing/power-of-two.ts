import type { BalancedEndpoint, PickContext, Strategy } from './strategy.ts';
import { WeightedDraw } from './weighted-draw.ts';

/**
 * Two drawn at random by weight, the one with fewer requests in flight for its weight is taken (Mitzenmacher, "The power of two choices in
 * randomized load balancing", 2001). Unlike least-connections, workers that don't know of each other don't all run to the same idle endpoint.
 */
export class PowerOfTwo<E extends BalancedEndpoint> implements Strategy<E> {
  readonly #draw = new WeightedDraw<E>();

  update(endpoints: readonly E[]): void {
    this.#draw.update(endpoints);
  }

  pick(context: PickContext, exclude: readonly E[] | null): E | null {
    const first = this.#draw.draw(context.random, exclude);
    if (first === null || this.#draw.endpoints.length === 1) return first;
    const second = this.#draw.drawOther(context.random, first, exclude);
    // The tie goes to the first: it was drawn with the right chance, the second was not.
    return second === null || first.inFlight * second.weight <= second.inFlight * first.weight ? first : second;
  }
}
