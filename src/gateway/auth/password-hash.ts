/**
 * Hashes of passwords as text, in the PHC string format: `$scrypt$ln=14,r=8,p=5$salt$hash` (RFC 7914) and `$argon2id$v=19$m=19456,t=2,p=1$salt$hash`
 * (RFC 9106), salt and hash in base64 without padding. Both run in Node's thread pool. bcrypt is not among them: Node has none, and in JavaScript it would hold up
 * all other requests for tens of ms per password.
 */
import { argon2, randomBytes, scrypt, timingSafeEqual } from 'node:crypto';

export interface PasswordHash {
  readonly salt: Buffer;
  readonly hash: Buffer;
  readonly cost: ScryptCost | Argon2Cost;
}

interface ScryptCost {
  readonly kind: 'scrypt';
  /** Binary logarithm of N. */
  readonly ln: number;
  readonly r: number;
  readonly p: number;
}

interface Argon2Cost {
  readonly kind: 'argon2id';
  /** KiB. */
  readonly memory: number;
  readonly passes: number;
  readonly parallelism: number;
}

/** OWASP's figures for 16 MiB: memory of a gateway is shared by many requests, so the work is in p. About 0.2 s. */
export const STANDARD_COST: ScryptCost = Object.freeze({ kind: 'scrypt', ln: 14, r: 8, p: 5 });

/** A hash that needs more than this is refused: two of them run at once in each worker. */
export const MAX_HASH_MEMORY_BYTES = 128 * 1024 * 1024;
/** Bound of p and t times the memory in MiB: about ten times the standard cost. */
const MAX_WORK = 1024;
/** A longer password is wrong without being looked at. */
export const MAX_PASSWORD_BYTES = 1024;
const HASH_BYTES = 32;

/** Throws an Error with a sentence that does not hold the text. */
export function parsePasswordHash(text: string): PasswordHash {
  const foreign = /^(?:\$(?<id>2[abxy]?|apr1|1|5|6|y|argon2i|argon2d)\$|\{(?<scheme>[A-Za-z0-9]+)\})/.exec(text);
  if (foreign !== null) {
    const name = foreign.groups!['id'] ?? foreign.groups!['scheme']!;
    throw new Error(
      `is a hash of the kind ${name}, and only scrypt and argon2id are read; make one with: dormouse hash-password`,
    );
  }
  const scryptMatch = /^\$scrypt\$ln=(\d{1,2}),r=(\d{1,2}),p=(\d{1,3})\$([A-Za-z0-9+/]+)\$([A-Za-z0-9+/]+)$/.exec(text);
  if (scryptMatch !== null) {
    const [ln, r, p] = [Number(scryptMatch[1]), Number(scryptMatch[2]), Number(scryptMatch[3])];
    if (ln < 10 || r < 1 || p < 1)
      throw new Error('is a scrypt hash that is too cheap: ln is at least 10, r and p at least 1');
    return checked({ kind: 'scrypt', ln, r, p }, scryptMatch[4]!, scryptMatch[5]!);
  }
  const argonMatch = /^\$argon2id\$v=19\$m=(\d{1,8}),t=(\d{1,3}),p=(\d{1,3})\$([A-Za-z0-9+/]+)\$([A-Za-z0-9+/]+)$/.exec(
    text,
  );
  if (argonMatch !== null) {
    const [memory, passes, parallelism] = [Number(argonMatch[1]), Number(argonMatch[2]), Number(argonMatch[3])];
    if (parallelism < 1 || passes < 1 || memory < Math.max(1024, 8 * parallelism))
      throw new Error('is an argon2id hash that is too cheap: m is at least 1024, t and p at least 1');
    return checked({ kind: 'argon2id', memory, passes, parallelism }, argonMatch[4]!, argonMatch[5]!);
  }
  throw new Error('is no password hash such as $scrypt$ln=14,r=8,p=5$salt$hash; make one with: dormouse hash-password');
}

function checked(cost: PasswordHash['cost'], saltText: string, hashText: string): PasswordHash {
  const salt = Buffer.from(saltText, 'base64');
  const hash = Buffer.from(hashText, 'base64');
  if (salt.length < 8 || salt.length > 64) throw new Error('has a salt of less than 8 or more than 64 bytes');
  if (hash.length < 16 || hash.length > 64) throw new Error('has a hash of less than 16 or more than 64 bytes');
  const memory = memoryBytes(cost);
  const rounds = cost.kind === 'scrypt' ? cost.p : cost.passes;
  if (memory > MAX_HASH_MEMORY_BYTES || (memory / (1024 * 1024)) * rounds > MAX_WORK)
    throw new Error('is a hash whose check takes more than 128 MiB or several seconds: make a cheaper one');
  return Object.freeze({ salt, hash, cost });
}

function memoryBytes(cost: PasswordHash['cost']): number {
  return cost.kind === 'scrypt' ? 128 * 2 ** cost.ln * cost.r : cost.memory * 1024;
}

/** A new hash with a salt of 16 random bytes. */
export async function hashPassword(password: string, cost: PasswordHash['cost'] = STANDARD_COST): Promise<string> {
  const salt = randomBytes(16);
  const hash = await derive(password, salt, HASH_BYTES, cost);
  const setting =
    cost.kind === 'scrypt'
      ? `scrypt$ln=${cost.ln},r=${cost.r},p=${cost.p}`
      : `argon2id$v=19$m=${cost.memory},t=${cost.passes},p=${cost.parallelism}`;
  return `$${setting}$${unpadded(salt)}$${unpadded(hash)}`;
}

/** Compares in constant time; the work is done in the thread pool. */
export async function isPassword(password: string, against: PasswordHash): Promise<boolean> {
  const derived = await derive(password, against.salt, against.hash.length, against.cost);
  return timingSafeEqual(derived, against.hash);
}

/** A hash of the same cost that no password has: an unknown user is to take as long as a known one. */
export function unknownUserHash(like: PasswordHash | null): PasswordHash {
  return {
    salt: randomBytes(16),
    hash: randomBytes(like?.hash.length ?? HASH_BYTES),
    cost: like?.cost ?? STANDARD_COST,
  };
}

function derive(password: string, salt: Buffer, bytes: number, cost: PasswordHash['cost']): Promise<Buffer> {
  return new Promise((resolve, reject) => {
    const done = (error: Error | null, key: Buffer): void => (error === null ? resolve(key) : reject(error));
    if (cost.kind === 'scrypt') {
      const options = { N: 2 ** cost.ln, r: cost.r, p: cost.p, maxmem: 2 * memoryBytes(cost) };
      scrypt(password, salt, bytes, options, done);
    } else {
      const { memory, passes, parallelism } = cost;
      argon2('argon2id', { message: password, nonce: salt, parallelism, tagLength: bytes, memory, passes }, done);
    }
  });
}

function unpadded(bytes: Buffer): string {
  return bytes.toString('base64').replace(/=+$/, '');
}
