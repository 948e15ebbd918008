/**
 * Reads from a TLS ClientHello, which is not answered, the name that the client asks for (RFC 8446 section 4.1.2, RFC 6066 section 3). Looks at all bytes that have come each
 * time it is called; the hello may be spread over several records and reads.
 */
export type ClientHello =
  | { kind: 'more' }
  | { kind: 'malformed'; reason: string }
  /** `serverName`: lower case; '' when there is none. */
  | { kind: 'hello'; serverName: string };

/** Hellos with post-quantum keys and many extensions have some 2 kB; beyond this it is none that a server would take. */
export const CLIENT_HELLO_MAX_BYTES = 16_384;

const HANDSHAKE_RECORD = 22;
const CLIENT_HELLO = 1;
const SERVER_NAME_EXTENSION = 0;
const HOST_NAME = 0;

const MORE: ClientHello = { kind: 'more' };

export function readClientHello(bytes: Buffer): ClientHello {
  const message = handshakeBytes(bytes);
  if (typeof message === 'string') return { kind: 'malformed', reason: message };
  if (message.length > 0 && message[0] !== CLIENT_HELLO) return { kind: 'malformed', reason: 'no ClientHello' };
  if (message.length < 4) return MORE;
  const size = message.readUIntBE(1, 3);
  if (size > CLIENT_HELLO_MAX_BYTES)
    return { kind: 'malformed', reason: `longer than ${CLIENT_HELLO_MAX_BYTES} bytes` };
  if (message.length < 4 + size) return bytes.length > 2 * CLIENT_HELLO_MAX_BYTES ? tooManyRecords() : MORE;
  const name = serverNameOf(message.subarray(4, 4 + size));
  return name === null
    ? { kind: 'malformed', reason: 'the ClientHello contradicts its own lengths' }
    : { kind: 'hello', serverName: name };
}

function tooManyRecords(): ClientHello {
  return { kind: 'malformed', reason: 'the ClientHello is spread over too many records' };
}

/** The handshake bytes of the complete and the begun records; a string says what is wrong. */
function handshakeBytes(bytes: Buffer): Buffer | string {
  const parts: Buffer[] = [];
  let at = 0;
  while (at < bytes.length) {
    if (bytes[at] !== HANDSHAKE_RECORD) return 'no TLS handshake';
    if (at + 1 < bytes.length && bytes[at + 1] !== 3) return 'no TLS handshake';
    if (at + 5 > bytes.length) break;
    const length = bytes.readUInt16BE(at + 3);
    // RFC 8446 section 5.1: no empty fragments of a handshake, none beyond 2^14.
    if (length === 0 || length > 16_384) return 'a record of a wrong length';
    parts.push(bytes.subarray(at + 5, Math.min(at + 5 + length, bytes.length)));
    at += 5 + length;
  }
  return parts.length === 1 ? parts[0]! : Buffer.concat(parts);
}

/** null: lengths that don't fit. */
function serverNameOf(body: Buffer): string | null {
  // legacy_version and random.
  let at = 34;
  for (const width of [1, 2, 1]) {
    // legacy_session_id, cipher_suites, legacy_compression_methods.
    if (at + width > body.length) return null;
    at += width + body.readUIntBE(at, width);
  }
  if (at === body.length) return '';
  if (at + 2 > body.length || at + 2 + body.readUInt16BE(at) !== body.length) return null;
  at += 2;
  while (at < body.length) {
    if (at + 4 > body.length) return null;
    const type = body.readUInt16BE(at);
    const length = body.readUInt16BE(at + 2);
    at += 4;
    if (at + length > body.length) return null;
    if (type === SERVER_NAME_EXTENSION) return hostNameOf(body.subarray(at, at + length));
    at += length;
  }
  return '';
}

function hostNameOf(list: Buffer): string | null {
  if (list.length < 5 || list.readUInt16BE(0) !== list.length - 2) return null;
  if (list[2] !== HOST_NAME) return '';
  const length = list.readUInt16BE(3);
  if (length === 0 || 5 + length > list.length) return null;
  const name = list.toString('latin1', 5, 5 + length);
  // RFC 6066 section 3: ASCII, without the dot at the end. Something else names nobody.
  return /^[\w.-]{1,255}$/.test(name) ? name.toLowerCase() : '';
}
