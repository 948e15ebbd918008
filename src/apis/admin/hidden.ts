/** Secrets in a spec: answers show ******** in their place, and that text sent back means what is there. */
import { AdminError } from './admin-error.ts';

export const HIDDEN = '********';

const SECRET_KEY = /pass(word|phrase|wd)?$|secret|token|credential|authorization|api-?key|private-?key|^sasl$/i;
/** Mappings whose values are shown of none. */
const SECRET_MAPPING = /^(env|headers)$/i;
/** Names in them that are none: they say where a secret is, or how it is sent. */
const NOT_SECRET = /(FromEnv|File|Ref|Name|Path)$/;

/** A copy in which every value that may be a secret is HIDDEN. */
export function hidden(value: unknown): unknown {
  return visit(value, false, 0);
}

function visit(value: unknown, isSecret: boolean, depth: number): unknown {
  if (depth > 64) return HIDDEN;
  if (Array.isArray(value)) return value.map((item) => visit(item, isSecret, depth + 1));
  if (typeof value === 'object' && value !== null) {
    return Object.fromEntries(
      Object.entries(value).map(([key, inner]) => [
        key,
        visit(
          inner,
          isSecret || SECRET_MAPPING.test(key) || (SECRET_KEY.test(key) && !NOT_SECRET.test(key)),
          depth + 1,
        ),
      ]),
    );
  }
  if (isSecret && value !== null) return HIDDEN;
  return typeof value === 'string' ? withoutUserinfo(value) : value;
}

/** `redis://user:password@host` -> `redis://********@host`. */
function withoutUserinfo(text: string): string {
  return text.replace(/^([a-z][a-z0-9+.-]*:\/\/)[^/?#\s]*@/i, `$1${HIDDEN}@`);
}

/** A copy of `next` in which each HIDDEN is what `before` has there. Throws DORMOUSE_ADMIN_FIELD where it has nothing. */
export function revealed(next: unknown, before: unknown, path = ''): unknown {
  if (typeof next === 'string' && next.includes(HIDDEN)) {
    if (typeof before === 'string' && hiddenText(before) === next) return before;
    if (next === HIDDEN && (typeof before === 'string' || typeof before === 'number' || typeof before === 'boolean'))
      return before;
    const detail = `is ${HIDDEN}, which stands for what was there before, and nothing was`;
    throw new AdminError(422, 'DORMOUSE_ADMIN_FIELD', `${path}: ${detail}; write the value itself`, {
      errors: [{ field: path, detail, next: 'write the value itself' }],
    });
  }
  if (Array.isArray(next)) {
    const old: unknown[] = Array.isArray(before) ? before : [];
    return next.map((item, index) => revealed(item, old[index], `${path}/${index}`));
  }
  if (typeof next === 'object' && next !== null) {
    const old = typeof before === 'object' && before !== null ? (before as Record<string, unknown>) : {};
    return Object.fromEntries(
      Object.entries(next).map(([key, value]) => [
        key,
        revealed(
          value,
          Object.hasOwn(old, key) ? old[key] : undefined,
          `${path}/${key.replaceAll('~', '~0').replaceAll('/', '~1')}`,
        ),
      ]),
    );
  }
  return next;
}

function hiddenText(before: string): string {
  return withoutUserinfo(before);
}
