/** Who a client is to NATS: user and password, a token, or a signed answer to the server's nonce (https://docs.nats.io/running-a-nats-service/configuration/securing_nats/auth_intro). */
import { createPrivateKey, createPublicKey, sign } from 'node:crypto';

export type NatsLogin =
  | { kind: 'none' }
  | { kind: 'password'; user: string; password: string }
  | { kind: 'token'; token: string }
  /** Of a .creds file: a user's JWT and the seed of its key; or of a file with a seed alone. */
  | { kind: 'key'; jwt: string | null; seed: string };

const ALPHABET = 'ABCDEFGHIJKLMNOPQRSTUVWXYZ234567';
/** What stands before the 32 bytes of an Ed25519 key in PKCS #8 (RFC 8410, 7). */
const PKCS8 = Buffer.from('302e020100300506032b657004220420', 'hex');
/** First byte of a user's public key, and of a seed. */
const USER = 20 << 3;
const SEED = 18 << 3;

/** Throws an Error that says what is missing. */
export function readCredentials(text: string): NatsLogin {
  const jwt = /-----BEGIN NATS USER JWT-----\s*([\w.=-]+)\s*-+END/.exec(text)?.[1] ?? null;
  const seed = (
    /-----BEGIN USER NKEY SEED-----\s*(\w+)\s*-+END/.exec(text) ?? /^\s*(S[A-Z2-7]{57})\s*$/.exec(text)
  )?.[1];
  if (seed === undefined) throw new Error('has neither a user NKEY seed nor is one');
  privateKey(seed);
  return { kind: 'key', jwt, seed };
}

/** The fields of CONNECT. */
export function connectFields(login: NatsLogin, nonce: string): Record<string, string> {
  switch (login.kind) {
    case 'none':
      return {};
    case 'password':
      return { user: login.user, pass: login.password };
    case 'token':
      return { auth_token: login.token };
    case 'key': {
      const key = privateKey(login.seed);
      const sig = sign(null, Buffer.from(nonce), key).toString('base64url');
      return login.jwt === null ? { nkey: publicName(login.seed), sig } : { jwt: login.jwt, sig };
    }
  }
}

/** The public key of a user's seed, as servers name it: `U…`. */
export function publicName(seed: string): string {
  const raw = createPublicKey(privateKey(seed)).export({ format: 'der', type: 'spki' }).subarray(-32);
  const named = Buffer.concat([Buffer.from([USER]), raw]);
  const sum = Buffer.alloc(2);
  sum.writeUInt16LE(crc16(named));
  return base32(Buffer.concat([named, sum]));
}

function privateKey(seed: string) {
  const bytes = fromBase32(seed);
  // Two bytes say what it is, 32 are the key, two are a sum.
  if (bytes.length !== 36 || (bytes[0]! & 0xf8) !== SEED || crc16(bytes.subarray(0, 34)) !== bytes.readUInt16LE(34))
    throw new Error('its NKEY seed is damaged');
  return createPrivateKey({ key: Buffer.concat([PKCS8, bytes.subarray(2, 34)]), format: 'der', type: 'pkcs8' });
}

/** RFC 4648, 6, without padding. */
function base32(bytes: Buffer): string {
  let text = '';
  let bits = 0;
  let value = 0;
  for (const byte of bytes) {
    value = ((value << 8) | byte) & 0xfff;
    bits += 8;
    while (bits >= 5) text += ALPHABET[(value >> (bits -= 5)) & 31];
  }
  return bits === 0 ? text : text + ALPHABET[(value << (5 - bits)) & 31];
}

function fromBase32(text: string): Buffer {
  const bytes: number[] = [];
  let bits = 0;
  let value = 0;
  for (const letter of text) {
    const part = ALPHABET.indexOf(letter);
    if (part < 0) return Buffer.alloc(0);
    value = ((value << 5) | part) & 0xfff;
    bits += 5;
    if (bits >= 8) bytes.push((value >> (bits -= 8)) & 255);
  }
  return Buffer.from(bytes);
}

/** CRC-16/XMODEM: what NKEYs end with. */
function crc16(bytes: Buffer): number {
  let sum = 0;
  for (const byte of bytes) {
    sum ^= byte << 8;
    for (let bit = 0; bit < 8; bit++) sum = (sum & 0x8000 ? (sum << 1) ^ 0x1021 : sum << 1) & 0xffff;
  }
  return sum;
}
