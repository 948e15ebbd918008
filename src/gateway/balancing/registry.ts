import { ConsistentHash } from './consistent-hash.ts';
import { LeastConnections } from './least-connections.ts';
import { PowerOfTwo } from './power-of-two.ts';
import { Random } from './random.ts';
import { RoundRobin } from './round-robin.ts';
import type { StrategyRegistry } from './strategy.ts';

/** The strategies by their names in `balance.strategy`. Another one is a file and a line here. */
export const strategies: StrategyRegistry = {
  'round-robin': () => new RoundRobin(),
  random: () => new Random(),
  'least-connections': () => new LeastConnections(),
  'power-of-two': () => new PowerOfTwo(),
  'consistent-hash': (balance) => new ConsistentHash(balance),
};
