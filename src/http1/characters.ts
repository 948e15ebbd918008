/** Look-up tables over one byte, so that a parser decides per byte with one load. Built once, never written again. */

function table(accepts: (code: number) => number): Uint8Array {
  const made = new Uint8Array(256);
  for (let code = 0; code < 256; code++) made[code] = accepts(code);
  return made;
}

function among(characters: string): (code: number) => boolean {
  return (code) => code < 0x80 && characters.includes(String.fromCharCode(code));
}

const isDigit = (code: number): boolean => code >= 0x30 && code <= 0x39;
const isUpper = (code: number): boolean => code >= 0x41 && code <= 0x5a;
const isAlpha = (code: number): boolean => isUpper(code) || (code >= 0x61 && code <= 0x7a);
const isVisible = (code: number): boolean => code > 0x20 && code < 0x7f;
const isTokenMark = among("!#$%&'*+-.^_`|~");
/** unreserved and sub-delims of RFC 3986; `%` is looked at by the code that uses the table. */
const isHostMark = among("-._~!$&'()*+,;=");

/** RFC 9110 5.6.2 token: the character in lower case, 0 for what is no token character. */
export const TOKEN = table((code) =>
  isDigit(code) || isAlpha(code) || isTokenMark(code) ? (isUpper(code) ? code + 32 : code) : 0,
);

/** RFC 9110 5.5 field content: visible, SP, HTAB, obs-text. */
export const FIELD_VALUE = table((code) => (code === 0x09 || code === 0x20 || isVisible(code) || code >= 0x80 ? 1 : 0));

/**
 * A request-target up to its `?`: visible ASCII but `#` (a fragment is never sent), `?` (ends it) and `\` (some servers read it as `/`). Wider than RFC 3986,
 * since browsers send `|`, `[` and alike as they are; what passes is forwarded byte for byte.
 */
export const TARGET_PATH = table((code) => (isVisible(code) && !among('#?\\')(code) ? 1 : 0));

/** A query: visible ASCII but `#`. */
export const TARGET_QUERY = table((code) => (isVisible(code) && code !== 0x23 ? 1 : 0));

/** reg-name of RFC 3986 without `%`: the character in lower case, 0 for others. */
export const REG_NAME = table((code) =>
  isDigit(code) || isAlpha(code) || isHostMark(code) ? (isUpper(code) ? code + 32 : code) : 0,
);

/** Value of a hexadecimal digit, 255 for others. */
export const HEX = table((code) =>
  isDigit(code)
    ? code - 0x30
    : code >= 0x41 && code <= 0x46
      ? code - 55
      : code >= 0x61 && code <= 0x66
        ? code - 87
        : 255,
);

export const TAB = 0x09;
export const LF = 0x0a;
export const CR = 0x0d;
export const SP = 0x20;
export const DQUOTE = 0x22;
export const COMMA = 0x2c;
export const SLASH = 0x2f;
export const COLON = 0x3a;
export const SEMICOLON = 0x3b;
export const EQUALS = 0x3d;
export const QUESTION = 0x3f;
export const BACKSLASH = 0x5c;

/** The bytes of an ASCII text, for comparisons. */
export function ascii(text: string): Uint8Array {
  return Uint8Array.from(text, (character) => character.charCodeAt(0));
}

/** True when bytes[start, end) is `lower` but for case; `lower` holds lower-case token characters. */
export function equalsToken(bytes: Uint8Array, start: number, end: number, lower: Uint8Array): boolean {
  const length = lower.length;
  if (end - start !== length) return false;
  for (let k = 0; k < length; k++) if (TOKEN[bytes[start + k]!] !== lower[k]) return false;
  return true;
}

const latin1Of = (Buffer.prototype as unknown as { latin1Slice(this: Uint8Array, start: number, end: number): string })
  .latin1Slice;

/** Text of bytes[start, end), one character per byte. One native call. */
export function latin1(bytes: Uint8Array, start: number, end: number): string {
  return latin1Of.call(bytes, start, end);
}
