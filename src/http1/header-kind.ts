import { ascii } from './characters.ts';

/** A small number for each header that the gateway knows. Those up to `LAST_SEMANTIC` mean something to the wire itself. */
export const HeaderKind = Object.freeze({
  OTHER: 0,
  HOST: 1,
  CONNECTION: 2,
  TE: 3,
  TRANSFER_ENCODING: 4,
  UPGRADE: 5,
  CONTENT_LENGTH: 6,
  EXPECT: 7,
  KEEP_ALIVE: 8,
  PROXY_CONNECTION: 9,
  TRAILER: 10,
  HTTP2_SETTINGS: 11,
  PROXY_AUTHORIZATION: 12,
  PROXY_AUTHENTICATE: 13,
  PROXY_AUTHENTICATION_INFO: 14,
  X_FORWARDED_FOR: 15,
  X_FORWARDED_PROTO: 16,
  X_FORWARDED_HOST: 17,
  X_FORWARDED_PORT: 18,
  FORWARDED: 19,
  VIA: 20,
  X_REQUEST_ID: 21,
  COOKIE: 22,
  SET_COOKIE: 23,
  USER_AGENT: 24,
  REFERER: 25,
  ACCEPT: 26,
  ACCEPT_ENCODING: 27,
  AUTHORIZATION: 28,
  SERVER: 29,
  DATE: 30,
  LOCATION: 31,
  CONTENT_TYPE: 32,
  CONTENT_ENCODING: 33,
  CACHE_CONTROL: 34,
  ORIGIN: 35,
  TRACEPARENT: 36,
  RETRY_AFTER: 37,
  X_REAL_IP: 38,
  MAX_FORWARDS: 39,
  GRPC_TIMEOUT: 40,
  X_COLD_START: 41,
  SERVER_TIMING: 42,
  SEC_WEBSOCKET_KEY: 43,
  X_DORMOUSE_TRACE: 44,
  X_FORWARDED_CLIENT_CERT: 45,
});

/** Kinds in 1..LAST_SEMANTIC are looked at while a head is parsed. */
export const LAST_SEMANTIC = HeaderKind.EXPECT;

/** Lower-case names, indexed by kind; '' for OTHER. */
export const HEADER_NAMES: readonly string[] = Object.freeze(
  Object.entries(HeaderKind).map(([key, kind]) => (kind === 0 ? '' : key.toLowerCase().replaceAll('_', '-'))),
);

const NAME_BYTES: readonly Uint8Array[] = HEADER_NAMES.map(ascii);

/**
 * Hop-by-hop headers (RFC 9110 7.6.1; HTTP2-Settings: RFC 7540 3.2.1; Proxy-*: meant for the next proxy, RFC 9110 11.7). Trailer is end-to-end
 * (RFC 9110 6.6.2 and the list of 7.6.1) and passes.
 */
export const HOP_BY_HOP: Uint8Array = new Uint8Array(NAME_BYTES.length);
for (const kind of [
  HeaderKind.CONNECTION,
  HeaderKind.TE,
  HeaderKind.TRANSFER_ENCODING,
  HeaderKind.UPGRADE,
  HeaderKind.KEEP_ALIVE,
  HeaderKind.PROXY_CONNECTION,
  HeaderKind.HTTP2_SETTINGS,
  HeaderKind.PROXY_AUTHORIZATION,
  HeaderKind.PROXY_AUTHENTICATE,
  HeaderKind.PROXY_AUTHENTICATION_INFO,
]) {
  HOP_BY_HOP[kind] = 1;
}

// A hash of length, first and last character leads to a short chain of candidates; most unknown names end at an empty slot. The names lie in one
// array, NAME_STRIDE bytes each, which is what the processor likes to read.
const NAME_STRIDE = 32;
const NAME_DATA = new Uint8Array(NAME_BYTES.length * NAME_STRIDE);
const NAME_LENGTH = new Uint8Array(NAME_BYTES.length);
const FIRST_OF_SLOT = new Uint8Array(512);
const NEXT_OF_KIND = new Uint8Array(NAME_BYTES.length);
for (let kind = 1; kind < NAME_BYTES.length; kind++) {
  const name = NAME_BYTES[kind]!;
  NAME_DATA.set(name, kind * NAME_STRIDE);
  NAME_LENGTH[kind] = name.length;
  const slot = slotOf(name.length, name[0]!, name[name.length - 1]!);
  NEXT_OF_KIND[kind] = FIRST_OF_SLOT[slot]!;
  FIRST_OF_SLOT[slot] = kind;
}

/** Bit 0x20 makes letters lower case and leaves digits and `-` as they are. */
function slotOf(length: number, first: number, last: number): number {
  return (length * 7 + (first | 0x20) * 19 + (last | 0x20) * 3) & 511;
}

/**
 * The kind of the header name bytes[start, end), which holds token characters, at least one. Comparing with bit 0x20 set is exact for these: the token
 * characters that it changes besides letters become `~` and DEL, and no name above has those.
 */
export function headerKind(bytes: Uint8Array, start: number, end: number): number {
  const length = end - start;
  let kind = FIRST_OF_SLOT[slotOf(length, bytes[start]!, bytes[end - 1]!)]!;
  while (kind !== 0) {
    if (NAME_LENGTH[kind] === length) {
      const from = kind * NAME_STRIDE;
      let k = 0;
      while (k < length && (bytes[start + k]! | 0x20) === NAME_DATA[from + k]) k++;
      if (k === length) return kind;
    }
    kind = NEXT_OF_KIND[kind]!;
  }
  return 0;
}
