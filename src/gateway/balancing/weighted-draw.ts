import type { RandomSource } from '../../model/ports.ts';
import type { BalancedEndpoint } from './strategy.ts';

/** Then `other` has nearly all the weight, and one pass over the rest is cheaper. */
const REDRAWS = 4;

/** Draws an endpoint at random with a chance that is its share of the weights. */
export class WeightedDraw<E extends BalancedEndpoint> {
  #endpoints: readonly E[] = [];
  /** Sum of the weights up to and with each endpoint. */
  #sums = new Float64Array(0);
  #equal = true;

  /** Those with a weight. */
  get endpoints(): readonly E[] {
    return this.#endpoints;
  }

  update(endpoints: readonly E[]): void {
    const next = endpoints.filter((endpoint) => endpoint.weight > 0);
    let sum = 0;
    this.#sums = Float64Array.from(next, (endpoint) => (sum += endpoint.weight));
    this.#endpoints = next;
    this.#equal = next.every((endpoint) => endpoint.weight === next[0]!.weight);
  }

  /** null when none is left. */
  draw(random: RandomSource, exclude: readonly E[] | null): E | null {
    const endpoints = this.#endpoints;
    const count = endpoints.length;
    if (exclude !== null) return this.#drawAmongRest(random, exclude, null);
    if (count <= 1) return endpoints[0] ?? null;
    if (this.#equal) return endpoints[Math.floor(random() * count)]!;
    const sums = this.#sums;
    const at = random() * sums[count - 1]!;
    let low = 0;
    let high = count - 1;
    while (low < high) {
      const middle = (low + high) >>> 1;
      if (sums[middle]! > at) high = middle;
      else low = middle + 1;
    }
    return endpoints[low]!;
  }

  /** Like `draw`, but not `other`: for the second of two choices. null when there is no second one. */
  drawOther(random: RandomSource, other: E, exclude: readonly E[] | null): E | null {
    const endpoints = this.#endpoints;
    if (exclude === null) {
      if (endpoints.length === 2) return endpoints[0] === other ? endpoints[1]! : endpoints[0]!;
      // Drawing again until it is another one gives the same chances as drawing among the others, and rarely takes a second time.
      for (let attempt = 0; attempt < REDRAWS; attempt++) {
        const drawn = this.draw(random, null);
        if (drawn !== other) return drawn;
      }
    }
    return this.#drawAmongRest(random, exclude, other);
  }

  #drawAmongRest(random: RandomSource, exclude: readonly E[] | null, other: E | null): E | null {
    const endpoints = this.#endpoints;
    let sum = 0;
    for (let i = 0; i < endpoints.length; i++) {
      const endpoint = endpoints[i]!;
      if (endpoint !== other && (exclude === null || !exclude.includes(endpoint))) sum += endpoint.weight;
    }
    if (sum === 0) return null;
    let at = random() * sum;
    let last: E | null = null;
    for (let i = 0; i < endpoints.length; i++) {
      const endpoint = endpoints[i]!;
      if (endpoint === other || (exclude !== null && exclude.includes(endpoint))) continue;
      last = endpoint;
      at -= endpoint.weight;
      if (at < 0) break;
    }
    return last;
  }
}
