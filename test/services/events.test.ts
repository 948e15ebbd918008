/** Traffic events on a real Redis and a real NATS: the contract of buses, and what happens when they are slow, gone, or refuse. */

import { after } from 'node:test';
import { createBus } from '../../src/events/create-bus.ts';
import { busContract } from '../../src/events/event-bus.contract.ts';
import type { EventBus } from '../../src/events/event-bus.ts';
import type { EventsConfig } from '../../src/model/config.ts';
import { silentLogger, type Logger } from '../../src/model/ports.ts';

import { NatsServer } from './nats.ts';
import { RedisServer } from './redis.ts';

function eventsConfig(url: string, more: Partial<EventsConfig> = {}): EventsConfig {
  const kind = url.startsWith('redis') ? 'redis' : 'nats';
  return {
    bus: { kind, url, passwordFile: null, credentialsFile: null, tls: null },
    each: false,
    stream: 'test.traffic',
    maxLength: 100_000,
    buffer: 1000,
    ...more,
  };
}

function open(url: string, more: Partial<EventsConfig> = {}, logger: Logger = silentLogger): Promise<EventBus> {
  return createBus(eventsConfig(url, more), { logger, gateway: 'test' });
}

let redis: RedisServer | null = null;
let nats: NatsServer | null = null;
after(async () => {
  await redis?.[Symbol.asyncDispose]();
  await nats?.[Symbol.asyncDispose]();
});

busContract('Redis Streams', async () => {
  redis ??= await RedisServer.start();
  const { url } = redis;
  // Redis trims whole nodes of its radix tree: 100 entries each.
  return { open: ({ logger, ...more }) => open(url, more, logger), isShared: true, slack: 100 };
});

busContract('NATS JetStream', async () => {
  nats ??= await NatsServer.start();
  const { url } = nats;
  return { open: ({ logger, ...more }) => open(url, more, logger), isShared: true, slack: 0 };
});
