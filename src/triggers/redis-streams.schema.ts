import { z } from 'zod';
import { number } from '../config/schema/scalars.ts';
import { refusing } from './credentials.schema.ts';
import type { RedisStreamsOptions } from './redis-streams.ts';
import { MOST, redisKeys, redisName, redisServer } from './redis.schema.ts';

const count = () => number({ min: 0, max: MOST, whole: false, above: true });

/** As KEDA decides: without a group the length of the stream; with one what is pending, or with lagCount its lag. */
export const redisStreamsSchema = z
  .strictObject({
    ...redisKeys(),
    stream: redisName('the name of a stream'),
    consumerGroup: redisName('the name of a consumer group').optional(),
    streamLength: count().optional(),
    pendingEntriesCount: count().optional(),
    lagCount: count().optional(),
    activationLagCount: number({ min: 0, max: MOST, whole: false }).prefault(0),
  })
  .transform((given, context): RedisStreamsOptions => {
    const refuse = refusing(context);
    const { consumerGroup, streamLength, pendingEntriesCount, lagCount } = given;
    const server = redisServer(given, refuse);
    const mode = consumerGroup === undefined ? 'length' : lagCount === undefined ? 'pending' : 'lag';
    if (mode === 'length') {
      for (const [key, value] of Object.entries({ pendingEntriesCount, lagCount }))
        if (value !== undefined) refuse(key, 'has no meaning without consumerGroup', 'add consumerGroup: NAME');
    } else if (mode === 'lag' && pendingEntriesCount !== undefined)
      refuse('pendingEntriesCount', 'has no place beside lagCount', 'keep one of them');
    if (mode !== 'length' && streamLength !== undefined)
      refuse('streamLength', 'has no place beside consumerGroup', 'write pendingEntriesCount or lagCount');
    const target = { length: streamLength, pending: pendingEntriesCount, lag: lagCount }[mode] ?? 5;
    return {
      server,
      stream: given.stream,
      group: consumerGroup ?? null,
      mode,
      target,
      activation: given.activationLagCount,
      pollingMs: given.pollingInterval,
    };
  });
