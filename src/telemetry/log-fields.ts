/** The fields of a log line, made safe to write: plain data, bounded, without secrets. The same for the supervisor's logger and the workers'. */

const REDACTED = '[redacted]';
/** Names of fields whose values nobody should read in a log, compared without case, `-` and `_`. */
const SECRET_NAMES =
  /^(authorization|proxyauthorization|cookie|setcookie|.*password|passwd|.*secret|.*token|.*apikey|xapikey|privatekey|credentials)$/;
/** `redis://user:password@host`: what stands before the @. */
const URL_CREDENTIALS = /\b([a-z][a-z0-9+.-]*:\/\/)[^\s/@]+@/gi;
const DEEPEST = 6;
const MOST_ITEMS = 100;
const LONGEST_TEXT = 16 * 1024;

/** A copy without secrets. Errors become { name, code, message, stack, cause }; what is too deep, too long or circular is cut. */
export function cleanFields(fields: Record<string, unknown>): Record<string, unknown> {
  return cleanObject(fields, DEEPEST, []);
}

/** Text without the user and password of URLs in it, cut to 16 kB. */
export function cleanText(text: string): string {
  const short = text.length > LONGEST_TEXT ? `${text.slice(0, LONGEST_TEXT)}...` : text;
  return short.includes('://') ? short.replace(URL_CREDENTIALS, `$1${REDACTED}@`) : short;
}

function cleanObject(object: object, depth: number, above: readonly object[]): Record<string, unknown> {
  const clean: Record<string, unknown> = {};
  let items = 0;
  for (const [name, value] of Object.entries(object)) {
    if (items++ === MOST_ITEMS) {
      clean['...'] = `${Object.keys(object).length - MOST_ITEMS} more`;
      break;
    }
    const secret =
      value !== null && value !== undefined && SECRET_NAMES.test(name.replaceAll(/[-_]/g, '').toLowerCase());
    clean[name] = secret ? REDACTED : cleanValue(value, depth - 1, above);
  }
  return clean;
}

function cleanValue(value: unknown, depth: number, above: readonly object[]): unknown {
  if (typeof value === 'string') return cleanText(value);
  if (typeof value === 'bigint') return value.toString();
  if (typeof value === 'number') return Number.isFinite(value) ? value : String(value);
  if (typeof value === 'function' || typeof value === 'symbol') return undefined;
  if (typeof value !== 'object' || value === null) return value;
  if (depth < 0 || above.includes(value)) return '[...]';
  const path = [...above, value];
  if (value instanceof Error) return cleanError(value, depth, path);
  if (value instanceof Date) return Number.isNaN(value.getTime()) ? 'Invalid Date' : value.toISOString();
  if (ArrayBuffer.isView(value)) return `[${value.byteLength} bytes]`;
  if (value instanceof Map) return cleanObject(Object.fromEntries(value), depth, path);
  if (value instanceof Set) return cleanValue([...value], depth, path);
  if (Array.isArray(value)) {
    const items = value.slice(0, MOST_ITEMS).map((item) => cleanValue(item, depth - 1, path));
    return value.length > MOST_ITEMS ? [...items, `${value.length - MOST_ITEMS} more`] : items;
  }
  return cleanObject(value, depth, path);
}

function cleanError(error: Error, depth: number, path: readonly object[]): Record<string, unknown> {
  const { code } = error as { code?: unknown };
  const userFault = (error as { userFault?: unknown }).userFault === true;
  return {
    name: error.name,
    ...(code === undefined ? {} : { code: String(code) }),
    message: cleanText(error.message),
    // What a user did wrong needs no stack.
    ...(userFault || error.stack === undefined ? {} : { stack: cleanText(error.stack) }),
    ...(error.cause === undefined ? {} : { cause: cleanValue(error.cause, depth - 1, path) }),
  };
}
