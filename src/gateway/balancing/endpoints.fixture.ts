import type { RandomSource } from '../../model/ports.ts';
import { requestView, type ViewParts } from '../request-view.fixture.ts';
import type { BalancedEndpoint, PickContext, Strategy } from './strategy.ts';

export interface TestEndpoint extends BalancedEndpoint {
  weight: number;
}

export function endpoints(weights: readonly number[], prefix = 'e'): TestEndpoint[] {
  return weights.map((weight, i) => ({ id: `${prefix}-${i}`, weight, inFlight: 0 }));
}

/** Always the same sequence for the same seed (mulberry32). */
export function seededRandom(seed: number): RandomSource {
  let state = seed;
  return () => {
    state = (state + 0x6d2b79f5) | 0;
    let mixed = Math.imul(state ^ (state >>> 15), 1 | state);
    mixed = (mixed + Math.imul(mixed ^ (mixed >>> 7), 61 | mixed)) ^ mixed;
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 0x1_0000_0000;
  };
}

export function pickContext(client = '192.0.2.1', parts: ViewParts = {}, seed = 1): PickContext {
  return { view: requestView(parts), client, random: seededRandom(seed) };
}

/** How often each endpoint is chosen in `picks` requests; `clientOf` names the client of each. */
export function tally<E extends BalancedEndpoint>(
  strategy: Strategy<E>,
  picks: number,
  context: PickContext,
  clientOf: (i: number) => string = () => context.client,
): Map<string, number> {
  const counts = new Map<string, number>();
  for (let i = 0; i < picks; i++) {
    const { id } = strategy.pick({ ...context, client: clientOf(i) }, null)!;
    counts.set(id, (counts.get(id) ?? 0) + 1);
  }
  return counts;
}
