/**
 * The shape of every message, checked where one comes in: the other end may be another version of the program. Only what is read without
 * a further look is checked; a field that is not listed is passed on.
 */
import type { DownMessage, UpMessage } from './messages.ts';

type Kind = 'string' | 'number' | 'boolean' | 'array' | 'object' | 'object-or-null';
/** Fields that may be left out are passed on as they are. */
type Named<M> = { [F in keyof M as F extends 'type' ? never : undefined extends M[F] ? never : F]: Kind };
type Shapes<M extends { type: string }> = { [T in M['type']]: Named<Extract<M, { type: T }>> };

const DOWN: Shapes<DownMessage> = {
  configure: { version: 'number', config: 'object' },
  backend: {
    backend: 'string',
    version: 'number',
    phase: 'string',
    endpoints: 'array',
    crash: 'object-or-null',
    wakingSinceMs: 'number',
  },
  lease: { backend: 'string', holds: 'number', bytes: 'number' },
  'limit-grant': { seq: 'number', grants: 'array' },
  'ticket-keys': { keys: 'string' },
  shutdown: { drainMs: 'number' },
  collect: { id: 'number' },
  role: { leader: 'boolean', term: 'number' },
  'redirect-watch': { id: 'number', listener: 'string' },
  'redirect-probe': { id: 'number', host: 'string', port: 'number', count: 'number' },
  'redirect-end': { id: 'number' },
};

const UP: Shapes<UpMessage> = {
  hello: { gateway: 'string', pid: 'number', linkVersion: 'number' },
  configured: { version: 'number' },
  refused: { version: 'number', reason: 'string' },
  applied: { backend: 'string', version: 'number' },
  wake: { backend: 'string', route: 'string', client: 'string', method: 'string', path: 'string', atMs: 'number' },
  demand: { windows: 'array' },
  drained: { backend: 'string', version: 'number', endpoint: 'string', held: 'number', lastActivityMs: 'number' },
  suspect: { backend: 'string', endpoint: 'string', reason: 'string' },
  'lease-ask': { backend: 'string', holds: 'number', bytes: 'number' },
  'lease-return': { backend: 'string', holds: 'number', bytes: 'number' },
  'leases-held': { backend: 'string', holds: 'number', bytes: 'number' },
  known: { backends: 'array' },
  leaving: {},
  'redirect-watching': { id: 'number' },
  'redirect-probed': { id: 'number', opened: 'array', failed: 'number' },
  'redirect-silent': { id: 'number', from: 'array' },
  'limit-open': { terms: 'object' },
  'limit-close': { name: 'string' },
  'limit-ask': { seq: 'number', asks: 'array' },
  traces: { records: 'array', dropped: 'number' },
  requests: { startMs: 'number', sets: 'array', dropped: 'number' },
  collected: { id: 'number', metrics: 'array', status: 'object' },
};

/** Entries of a list, at most: a window for each of many backends, the endpoints of a large one. */
const MAX_LIST = 100_000;

export type Checked<M> = { ok: true; message: M } | { ok: false; reason: string };

/** What a gateway accepts. */
export function checkDown(value: unknown): Checked<DownMessage> {
  return check<DownMessage>(DOWN, value);
}

/** What a controller accepts. */
export function checkUp(value: unknown): Checked<UpMessage> {
  return check<UpMessage>(UP, value);
}

function check<M>(shapes: Record<string, Record<string, Kind>>, value: unknown): Checked<M> {
  if (kindOf(value) !== 'object') return { ok: false, reason: `a message must be an object, this is ${kindOf(value)}` };
  const message = value as Record<string, unknown>;
  const type = message.type;
  if (typeof type !== 'string' || !Object.hasOwn(shapes, type)) {
    return { ok: false, reason: `unknown message type ${JSON.stringify(type)?.slice(0, 80)}` };
  }
  for (const [field, kind] of Object.entries(shapes[type]!)) {
    const found = kindOf(message[field]);
    if (found !== kind && !(kind === 'object-or-null' && (found === 'object' || found === 'null'))) {
      return { ok: false, reason: `message ${type}: ${field} must be ${kind}, is ${found}` };
    }
    if (kind !== 'array') continue;
    const list = message[field] as unknown[];
    if (list.length > MAX_LIST)
      return { ok: false, reason: `message ${type}: ${field} has ${list.length} entries, at most ${MAX_LIST}` };
    // All lists of messages are lists of objects.
    for (const entry of list) {
      if (kindOf(entry) !== 'object')
        return { ok: false, reason: `message ${type}: each of ${field} must be object, one is ${kindOf(entry)}` };
    }
  }
  return { ok: true, message: value as M };
}

function kindOf(value: unknown): string {
  if (value === null) return 'null';
  return Array.isArray(value) ? 'array' : typeof value;
}
