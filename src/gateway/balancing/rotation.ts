import type { RandomSource } from '../../model/ports.ts';
import type { BalancedEndpoint } from './strategy.ts';

/** `load` of a pick that takes any endpoint. */
const ANY = -1;

/**
 * Smooth weighted round robin, as in nginx: every endpoint gains its weight, the one that has most is chosen and pays the sum of the gains.
 * Over a run of (sum of weights) picks each is chosen exactly weight times. With equal weights it is a plain turn.
 *
 * A plain turn begins at random, so that workers, which don't know of each other, don't all begin with the same endpoint. Turn and credit
 * survive an update, so that frequent updates don't favour whoever stands first.
 */
export class Rotation<E extends BalancedEndpoint> {
  /** Those with a weight. */
  #endpoints: readonly E[] = [];
  #totalWeight = 0;
  #equal = true;
  #credit = new Float64Array(0);
  /** Of the plain turn: whose turn is next; -1 before the first pick. */
  #cursor = -1;

  get endpoints(): readonly E[] {
    return this.#endpoints;
  }

  update(endpoints: readonly E[]): void {
    const next = endpoints.filter((endpoint) => endpoint.weight > 0);
    const totalWeight = next.reduce((sum, endpoint) => sum + endpoint.weight, 0);
    const before = new Map<string, number>();
    this.#endpoints.forEach((endpoint, i) => before.set(endpoint.id, this.#credit[i]!));
    // Credit is a share of the total: kept as it is, what a heavy endpoint leaves behind would be paid out in a burst.
    const scale = this.#totalWeight === 0 ? 0 : totalWeight / this.#totalWeight;
    const upcoming = this.#endpoints[this.#cursor];
    this.#credit = Float64Array.from(next, (endpoint) => (before.get(endpoint.id) ?? 0) * scale);
    this.#endpoints = next;
    this.#totalWeight = totalWeight;
    this.#equal = next.every((endpoint) => endpoint.weight === next[0]!.weight);
    if (upcoming !== undefined) {
      const at = next.findIndex((endpoint) => endpoint.id === upcoming.id);
      this.#cursor = at >= 0 || next.length === 0 ? at : this.#cursor % next.length;
    }
  }

  /** Whose turn it is, passing over the excluded; null when none is left. */
  next(random: RandomSource, exclude: readonly E[] | null): E | null {
    return this.nextAtLoad(random, exclude, ANY);
  }

  /** The same among those endpoints whose `inFlight / weight` is exactly `load`. */
  nextAtLoad(random: RandomSource, exclude: readonly E[] | null, load: number): E | null {
    const endpoints = this.#endpoints;
    if (endpoints.length === 1) {
      const only = endpoints[0]!;
      return takes(only, exclude, load) ? only : null;
    }
    return this.#equal ? this.#turn(random, exclude, load) : this.#smooth(exclude, load);
  }

  #turn(random: RandomSource, exclude: readonly E[] | null, load: number): E | null {
    const endpoints = this.#endpoints;
    const count = endpoints.length;
    let at = this.#cursor < 0 ? Math.floor(random() * count) : this.#cursor;
    for (let tried = 0; tried < count; tried++) {
      const endpoint = endpoints[at]!;
      at = at + 1 === count ? 0 : at + 1;
      if (takes(endpoint, exclude, load)) {
        this.#cursor = at;
        return endpoint;
      }
    }
    return null;
  }

  #smooth(exclude: readonly E[] | null, load: number): E | null {
    const endpoints = this.#endpoints;
    const credit = this.#credit;
    let gains = 0;
    let best = -1;
    for (let i = 0; i < endpoints.length; i++) {
      const endpoint = endpoints[i]!;
      if (!takes(endpoint, exclude, load)) continue;
      gains += endpoint.weight;
      credit[i]! += endpoint.weight;
      if (best < 0 || credit[i]! > credit[best]!) best = i;
    }
    if (best < 0) return null;
    credit[best]! -= gains;
    return endpoints[best]!;
  }
}

function takes<E extends BalancedEndpoint>(endpoint: E, exclude: readonly E[] | null, load: number): boolean {
  return (
    (load === ANY || endpoint.inFlight / endpoint.weight === load) && (exclude === null || !exclude.includes(endpoint))
  );
}
