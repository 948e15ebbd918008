/** The buses, by what `events.bus` names. Their clients are large and loaded only when they are used. */
import type { EventsConfig } from '../model/config.ts';
import type { Logger } from '../model/ports.ts';
import type { EventBus } from './event-bus.ts';
import { MemoryBus } from './memory-bus.ts';

export interface BusDeps {
  logger: Logger;
  /** Names the connection at the bus. */
  gateway: string;
}

const BUSES: Record<EventsConfig['bus']['kind'], (config: EventsConfig, deps: BusDeps) => Promise<EventBus>> = {
  memory: ({ buffer }, { logger }) => Promise.resolve(new MemoryBus(buffer, logger)),
  redis: async (config, deps) => (await import('./redis/redis-bus.ts')).openRedisBus(config, deps),
  nats: async (config, deps) => (await import('./nats/nats-bus.ts')).openNatsBus(config, deps),
};

export function createBus(config: EventsConfig, deps: BusDeps): Promise<EventBus> {
  return BUSES[config.bus.kind](config, deps);
}
