/** What tests of traffic events on real buses have in common. */
import { createBus } from '../../src/events/create-bus.ts';
import type { EventBus } from '../../src/events/event-bus.ts';
import type { EventBusConfig, EventsConfig } from '../../src/model/config.ts';
import { silentLogger, type Logger } from '../../src/model/ports.ts';

type RemoteBus = Exclude<EventBusConfig, { kind: 'memory' }>;

export type BusChanges = Partial<Omit<EventsConfig, 'bus'>> & { bus?: Partial<Omit<RemoteBus, 'kind' | 'url'>> };

export function openBus(url: string, changes: BusChanges = {}, logger: Logger = silentLogger): Promise<EventBus> {
  const { bus, ...more } = changes;
  const kind = url.startsWith('redis') ? 'redis' : 'nats';
  const config: EventsConfig = {
    bus: { kind, url, passwordFile: null, credentialsFile: null, tls: null, ...bus },
    each: false,
    stream: 'test.traffic',
    maxLength: 100_000,
    buffer: 1000,
    ...more,
  };
  return createBus(config, { logger, gateway: 'test' });
}
