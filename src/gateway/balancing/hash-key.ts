/** What consistent-hash keeps together, as a 32-bit number. */
import type { HashKey } from '../../model/config.ts';
import { joinedValue, nextNamed } from '../request-view.ts';
import type { PickContext } from './strategy.ts';

/** No key in this request. */
export const NO_KEY = -1;

export type HashOf = (context: PickContext) => number;

/**
 * The hash (0 to 2^32 - 1) of the request's key, or NO_KEY. Without a configured key it is the client's address. `uri` is path and query as
 * received. A raw connection has no header, cookie or URI.
 */
export function hashOf(key: HashKey | null): HashOf {
  switch (key?.by) {
    case undefined:
    case 'client':
      return (context) => hashText(context.client);
    case 'header': {
      const name = key.name.toLowerCase();
      return ({ view }) => {
        const value = view === null ? undefined : joinedValue(view, name);
        return value === undefined ? NO_KEY : hashText(value);
      };
    }
    case 'cookie': {
      const { name } = key;
      return ({ view }) => {
        if (view === null) return NO_KEY;
        for (let i = view.indexOf('cookie'); i >= 0; i = nextNamed(view, 'cookie', i + 1)) {
          const value = cookieValue(view.valueAt(i), name);
          if (value !== null) return hashText(value);
        }
        return NO_KEY;
      };
    }
    case 'uri':
      return ({ view }) =>
        view === null ? NO_KEY : finish(addText(addText(FNV_OFFSET, view.path) ^ 0x3f, view.query));
  }
}

/** Value of the first cookie of this name (RFC 6265 section 4.2); null when there is none. */
export function cookieValue(cookies: string, name: string): string | null {
  let start = 0;
  while (start < cookies.length) {
    let end = cookies.indexOf(';', start);
    if (end < 0) end = cookies.length;
    while (start < end && cookies.charCodeAt(start) === 0x20) start++;
    if (cookies.charCodeAt(start + name.length) === 0x3d && cookies.startsWith(name, start)) {
      return cookies.slice(start + name.length + 1, end).trimEnd();
    }
    start = end + 1;
  }
  return null;
}

const FNV_OFFSET = 0x811c9dc5;
const FNV_PRIME = 0x01000193;

/** FNV-1a over the character codes, then mixed. */
export function hashText(text: string): number {
  return finish(addText(FNV_OFFSET, text));
}

function addText(hash: number, text: string): number {
  let sum = hash;
  for (let i = 0; i < text.length; i++) sum = Math.imul(sum ^ text.charCodeAt(i), FNV_PRIME);
  return sum;
}

/** The finalizer of MurmurHash3: every bit of the input moves every bit of the output. */
export function finish(hash: number): number {
  let mixed = hash;
  mixed = Math.imul(mixed ^ (mixed >>> 16), 0x85ebca6b);
  mixed = Math.imul(mixed ^ (mixed >>> 13), 0xc2b2ae35);
  return (mixed ^ (mixed >>> 16)) >>> 0;
}
