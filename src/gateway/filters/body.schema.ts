import { z } from 'zod';
import { size } from '../../config/schema/scalars.ts';
import type { BodyOptions } from './body.ts';
import { jsonPath, overlap, type JsonChange } from './json-edit.ts';

const MAX_DEPTH = 32;
const HINT = 'write /user/role (a JSON pointer) or user.role';

const maxBody = () => size({ min: 1, max: 64 * 1024 * 1024 }).prefault('1MiB');
const fields = () => ({
  set: z.record(z.string().max(1024), z.json()).prefault({}),
  remove: z.array(z.string().max(1024)).max(100).prefault([]),
});

interface Fields {
  set: Record<string, unknown>;
  remove: string[];
}

/** The changes, or nothing and issues. */
function changesOf(given: Fields, context: z.core.$RefinementCtx): JsonChange[] {
  const issue = (path: (string | number)[], message: string): void => {
    context.issues.push({ code: 'custom', path, message, input: given });
  };
  const places: (string | number)[][] = [];
  const changes: JsonChange[] = [];
  const add = (text: string, json: string | null, place: (string | number)[]): void => {
    const path = jsonPath(text);
    if (path === null || text === '') issue(place, `"${text}" names no field: ${HINT}`);
    else if (path.length > MAX_DEPTH) issue(place, `is deeper than ${MAX_DEPTH} levels`);
    else if (json === null && path.at(-1) === '-')
      issue(place, '"-" is behind the last one of a list: there is nothing to remove');
    else {
      changes.push({ path, json });
      places.push(place);
    }
  };
  for (const [text, value] of Object.entries(given.set)) add(text, JSON.stringify(value), ['set', text]);
  for (const [index, text] of given.remove.entries()) add(text, null, ['remove', index]);
  const within = overlap(changes.map(({ path }) => path));
  if (within !== null) issue(places[within]!, 'lies within another field that is set or removed: name one of them');
  if (Object.keys(given.set).length + given.remove.length === 0) issue([], 'nothing to change: give set or remove');
  if (Object.keys(given.set).length > 100) issue(['set'], 'at most 100 fields');
  return changes;
}

const request = z
  .strictObject({ ...fields(), maxBody: maxBody() })
  .transform(({ maxBody: bytes, ...given }, context) => ({ changes: changesOf(given, context), maxBody: bytes }));

const response = z
  .strictObject({ ...fields(), maxBody: maxBody(), unreadable: z.enum(['refuse', 'pass']).prefault('refuse') })
  .transform(({ maxBody: bytes, unreadable, ...given }, context) => ({
    changes: changesOf(given, context),
    maxBody: bytes,
    unreadable,
  }));

export const bodySchema = z
  .strictObject({ request: request.optional(), response: response.optional() })
  .refine(
    (given) => given.request !== undefined || given.response !== undefined,
    'nothing to change: give request or response',
  )
  .transform((given): BodyOptions => ({ request: given.request ?? null, response: given.response ?? null }));
