import type { EventsConfig } from '../../model/config.ts';
import type { BusDeps } from '../create-bus.ts';
import type { EventBus } from '../event-bus.ts';
import { RemoteEventBus } from '../remote-bus.ts';
import { NatsReader } from './nats-reader.ts';
import { NatsTransport } from './nats-transport.ts';

/** NATS JetStream. `config.bus` is a NATS. */
export function openNatsBus(config: EventsConfig, { logger, gateway }: BusDeps): EventBus {
  const { bus } = config;
  if (bus.kind !== 'nats') throw new TypeError(`a ${bus.kind} is no NATS`);
  return new RemoteEventBus(
    config,
    bus,
    {
      kind: 'nats',
      transport: () => new NatsTransport(config, bus, `dormouse-events-${gateway}`),
      reader: (options, handler) => new NatsReader(config, bus, options, handler, logger),
    },
    logger,
  );
}
