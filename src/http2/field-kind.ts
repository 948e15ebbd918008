import { FIELD_VALUE, SP, TAB, TOKEN, COLON } from '../http1/characters.ts';
import { headerKind, HeaderKind } from '../http1/header-kind.ts';

/** What a field is: a HeaderKind (>= 0) or one of these. */
export const FieldKind = Object.freeze({
  METHOD: -1,
  SCHEME: -2,
  AUTHORITY: -3,
  PATH: -4,
  STATUS: -5,
  PROTOCOL: -6,
  /** It must not stand in any HTTP/2 message: the message is malformed (RFC 9113 8.1.1). */
  MALFORMED: -128,
});

const PSEUDO: ReadonlyMap<string, number> = new Map([
  [':method', FieldKind.METHOD],
  [':scheme', FieldKind.SCHEME],
  [':authority', FieldKind.AUTHORITY],
  [':path', FieldKind.PATH],
  [':status', FieldKind.STATUS],
  [':protocol', FieldKind.PROTOCOL],
]);

const TRAILERS = 'trailers';

/**
 * The kind of the field with the name bytes[start, nameEnd) and the value bytes[valueStart, valueEnd). What HTTP/2 forbids is MALFORMED: names that are no
 * lower-case tokens (section 8.2.1), values with control characters or spaces around them (8.2.1), fields that are about an HTTP/1 connection, TE
 * other than `trailers` (8.2.2), unknown pseudo-header fields (8.3). So a field that is not may be written as a line of HTTP/1.1.
 */
export function fieldKind(
  bytes: Uint8Array,
  start: number,
  nameEnd: number,
  valueStart: number,
  valueEnd: number,
): number {
  if (nameEnd === start) return FieldKind.MALFORMED;
  for (let i = valueStart; i < valueEnd; i++) if (FIELD_VALUE[bytes[i]!] === 0) return FieldKind.MALFORMED;
  if (valueEnd > valueStart && (isSpace(bytes[valueStart]!) || isSpace(bytes[valueEnd - 1]!)))
    return FieldKind.MALFORMED;
  if (bytes[start] === COLON) {
    let name = '';
    for (let i = start; i < nameEnd && i < start + 16; i++) name += String.fromCharCode(bytes[i]!);
    return PSEUDO.get(name) ?? FieldKind.MALFORMED;
  }
  for (let i = start; i < nameEnd; i++) {
    const code = bytes[i]!;
    // The table has upper case as lower case, and 0 for what is no token character.
    if (TOKEN[code] !== code) return FieldKind.MALFORMED;
  }
  const kind = headerKind(bytes, start, nameEnd);
  switch (kind) {
    case HeaderKind.CONNECTION:
    case HeaderKind.PROXY_CONNECTION:
    case HeaderKind.KEEP_ALIVE:
    case HeaderKind.TRANSFER_ENCODING:
    case HeaderKind.UPGRADE:
      return FieldKind.MALFORMED;
    case HeaderKind.TE:
      return isTrailers(bytes, valueStart, valueEnd) ? kind : FieldKind.MALFORMED;
    default:
      return kind;
  }
}

function isSpace(code: number): boolean {
  return code === SP || code === TAB;
}

function isTrailers(bytes: Uint8Array, start: number, end: number): boolean {
  if (end - start !== TRAILERS.length) return false;
  for (let i = 0; i < TRAILERS.length; i++) if ((bytes[start + i]! | 0x20) !== TRAILERS.charCodeAt(i)) return false;
  return true;
}
