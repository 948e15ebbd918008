/** The contract of buses of traffic events, with a real Redis and a real NATS. */
import { after } from 'node:test';
import { busContract } from '../../src/events/event-bus.contract.ts';
import { openBus } from './events.ts';
import { NatsServer } from './nats.ts';
import { RedisServer } from './redis.ts';

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
  return { open: ({ logger, ...more }) => openBus(url, more, logger), isShared: true, slack: 100 };
});

busContract('NATS JetStream', async () => {
  nats ??= await NatsServer.start();
  const { url } = nats;
  return { open: ({ logger, ...more }) => openBus(url, more, logger), isShared: true, slack: 0 };
});
