import type { EventsConfig } from '../../model/config.ts';
import type { BusDeps } from '../create-bus.ts';
import type { EventBus } from '../event-bus.ts';
import { RemoteEventBus } from '../remote-bus.ts';
import { RedisReader } from './redis-reader.ts';
import { RedisTransport } from './redis-transport.ts';

/** Redis Streams. `config.bus` is a Redis. */
export function openRedisBus(config: EventsConfig, { logger, gateway }: BusDeps): EventBus {
  const { bus } = config;
  if (bus.kind !== 'redis') throw new TypeError(`a ${bus.kind} is no Redis`);
  return new RemoteEventBus(
    config,
    bus,
    {
      kind: 'redis',
      transport: (refused) => new RedisTransport(config, bus, `dormouse-events-${gateway}`, refused),
      reader: (options, handler) => new RedisReader(config.stream, bus, options, handler, logger),
    },
    logger,
  );
}
