import type { BalanceConfig } from '../../model/config.ts';
import { finish, hashOf, hashText, NO_KEY, type HashOf } from './hash-key.ts';
import type { BalancedEndpoint, PickContext, Strategy } from './strategy.ts';
import { WeightedDraw } from './weighted-draw.ts';

/**
 * The same key goes to the same endpoint. Weighted rendezvous hashing (Thaler and Ravishankar 1998; weights as in Schindelhauer and Schomaker
 * 2005): each endpoint scores -weight / ln(u) with u = hash(key, endpoint) in (0, 1), the highest score wins. When an endpoint leaves only its
 * keys move, and they spread over the others by weight; the next best is where a retry goes. Unlike a ring it is exact for any weights and
 * needs no memory; a pick costs one pass over the endpoints. All workers agree, since nothing but key and endpoint ids goes in.
 *
 * A request without the key (no such header or cookie) goes to a random endpoint.
 */
export class ConsistentHash<E extends BalancedEndpoint> implements Strategy<E> {
  readonly #hashOf: HashOf;
  readonly #draw = new WeightedDraw<E>();
  #seeds = new Uint32Array(0);
  #equal = true;

  constructor(balance: BalanceConfig) {
    this.#hashOf = hashOf(balance.hash);
  }

  update(endpoints: readonly E[]): void {
    this.#draw.update(endpoints);
    const weighted = this.#draw.endpoints;
    this.#seeds = Uint32Array.from(weighted, (endpoint) => hashText(endpoint.id));
    this.#equal = weighted.every((endpoint) => endpoint.weight === weighted[0]!.weight);
  }

  pick(context: PickContext, exclude: readonly E[] | null): E | null {
    const endpoints = this.#draw.endpoints;
    if (endpoints.length <= 1) return this.#draw.draw(context.random, exclude);
    const key = this.#hashOf(context);
    if (key === NO_KEY) return this.#draw.draw(context.random, exclude);
    let best: E | null = null;
    let bestScore = -Infinity;
    for (let i = 0; i < endpoints.length; i++) {
      const endpoint = endpoints[i]!;
      if (exclude !== null && exclude.includes(endpoint)) continue;
      const hash = finish(key ^ this.#seeds[i]!);
      // With equal weights the score rises with the hash, so the logarithm can be left out.
      const score = this.#equal ? hash : -endpoint.weight / Math.log((hash + 0.5) / 0x1_0000_0000);
      // The id decides between equal scores, so that the order of the list never matters.
      if (score > bestScore || (score === bestScore && best !== null && endpoint.id < best.id)) {
        best = endpoint;
        bestScore = score;
      }
    }
    return best;
  }
}
