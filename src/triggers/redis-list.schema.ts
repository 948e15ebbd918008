import { z } from 'zod';
import { number } from '../config/schema/scalars.ts';
import { refusing } from './credentials.schema.ts';
import type { RedisListOptions } from './redis-list.ts';
import { MOST, redisKeys, redisName, redisServer } from './redis.schema.ts';

export const redisListSchema = z
  .strictObject({
    ...redisKeys(),
    listName: redisName('the name of a list'),
    listLength: number({ min: 0, max: MOST, whole: false, above: true }).prefault(5),
    activationListLength: number({ min: 0, max: MOST, whole: false }).prefault(0),
    processingListName: redisName('the name of a list').optional(),
  })
  .transform((given, context): RedisListOptions => ({
    server: redisServer(given, refusing(context)),
    list: given.listName,
    processingList: given.processingListName ?? null,
    target: given.listLength,
    activation: given.activationListLength,
    pollingMs: given.pollingInterval,
  }));
