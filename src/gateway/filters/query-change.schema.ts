import { z } from 'zod';
import type { QueryChangeOptions } from './query-change.ts';

const name = z.string().min(1, 'the name of a parameter').max(1024);
const value = z
  .union([z.string().max(8192), z.number(), z.boolean()], { error: 'the value of a parameter is text' })
  .transform(String)
  .refine((text) => text.isWellFormed(), 'half of a surrogate pair');

export const queryChangeSchema: z.ZodType<QueryChangeOptions> = z
  .strictObject({
    set: z.record(name, value).default({}),
    add: z
      .record(
        name,
        z.preprocess((given) => (Array.isArray(given) ? given : [given]), z.array(value).max(100)),
      )
      .default({}),
    remove: z.array(name).max(100).default([]),
  })
  .superRefine(({ set, add, remove }, context) => {
    for (const [index, text] of remove.entries()) {
      if (Object.hasOwn(set, text) || Object.hasOwn(add, text)) {
        const message = `${text} is also set or added: use set alone to replace it`;
        context.addIssue({ code: 'custom', path: ['remove', index], message });
      }
    }
    if (Object.keys(set).length + Object.keys(add).length + remove.length === 0)
      context.addIssue({ code: 'custom', message: 'nothing to change: give set, add or remove' });
  });
