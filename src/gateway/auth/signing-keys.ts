/** JSON Web Key Sets (RFC 7517): which keys of one may verify tokens. */
import { createPublicKey, createSecretKey, type KeyObject } from 'node:crypto';

export const ASYMMETRIC_ALGORITHMS = [
  'RS256',
  'RS384',
  'RS512',
  'PS256',
  'PS384',
  'PS512',
  'ES256',
  'ES384',
  'ES512',
  'EdDSA',
  'Ed25519',
] as const;
export const SYMMETRIC_ALGORITHMS = ['HS256', 'HS384', 'HS512'] as const;
export type Algorithm = (typeof ASYMMETRIC_ALGORITHMS)[number] | (typeof SYMMETRIC_ALGORITHMS)[number];

/** Keys of a set beyond these are not looked at: each costs a signature check when tokens name no key. */
export const MAX_KEYS = 100;
export const MAX_KEY_SET_BYTES = 256 * 1024;

export interface SigningKey {
  readonly kid: string | null;
  /** What it is, for comparing: two keys with the same content are the same. */
  readonly content: string;
  /** Algorithms that it can verify. */
  readonly algorithms: ReadonlySet<string>;
  readonly key: KeyObject;
}

export interface KeySetContent {
  keys: SigningKey[];
  /** Why others of the set are not used, one sentence each. */
  ignored: string[];
}

/**
 * Reads a key set. A key is usable when it is public (or, with `allowSymmetric`, a secret), strong enough, meant for signatures and known. Throws an Error when the
 * text is no key set, or has no usable key: such an answer must not replace a good one.
 */
export function parseKeySet(text: string, allowSymmetric: boolean): KeySetContent {
  let parsed: unknown;
  try {
    parsed = JSON.parse(text);
  } catch {
    throw new Error('is not JSON');
  }
  const list = isObject(parsed) ? parsed['keys'] : undefined;
  if (!Array.isArray(list)) throw new Error('is no JSON Web Key Set: it has no list "keys"');
  const keys: SigningKey[] = [];
  const ignored: string[] = [];
  for (const [index, entry] of list.slice(0, MAX_KEYS).entries()) {
    const usable = isObject(entry) ? readKey(entry, allowSymmetric) : 'it is no mapping';
    if (typeof usable !== 'string') keys.push(usable);
    else ignored.push(`keys[${index}]: ${usable}`);
  }
  if (list.length > MAX_KEYS) ignored.push(`keys[${MAX_KEYS}] and further: there are more than ${MAX_KEYS}`);
  if (keys.length === 0) throw new Error(`has no usable key${ignored.length === 0 ? '' : ` (${ignored[0]})`}`);
  return { keys, ignored };
}

type JwkFields = Record<string, unknown>;

/** The key, or why it is not used. */
function readKey(jwk: JwkFields, allowSymmetric: boolean): SigningKey | string {
  const { kty, kid, use, alg } = jwk;
  if (kid !== undefined && (typeof kid !== 'string' || kid.length > 1024))
    return 'its kid is no text of at most 1024 characters';
  if (use !== undefined && use !== 'sig') return 'it is not for signatures';
  const operations = jwk['key_ops'];
  if (operations !== undefined && !(Array.isArray(operations) && operations.includes('verify')))
    return 'it is not for verifying';
  // Who publishes a private key has lost it: everybody can sign with it.
  if (kty !== 'oct' && ['d', 'p', 'q', 'dp', 'dq', 'qi', 'priv'].some((name) => jwk[name] !== undefined))
    return 'it is a private key';
  const made = kty === 'oct' ? readSecret(jwk, allowSymmetric) : readPublic(jwk);
  if (typeof made === 'string') return made;
  let { algorithms } = made;
  if (alg !== undefined) {
    algorithms = algorithms.filter((name) => name === alg || (isEd25519(name) && isEd25519(alg)));
    if (algorithms.length === 0) return 'its alg does not fit its kind';
  }
  return Object.freeze({
    kid: kid ?? null,
    content: made.content,
    key: made.key,
    algorithms: new Set<string>(algorithms),
  });
}

function isEd25519(alg: unknown): boolean {
  return alg === 'EdDSA' || alg === 'Ed25519';
}

interface MadeKey {
  key: KeyObject;
  algorithms: readonly string[];
  content: string;
}

/** RFC 7518 section 3.2: a secret is at least as long as the hash. */
function readSecret(jwk: JwkFields, allowed: boolean): MadeKey | string {
  if (!allowed) return 'it is a shared secret, which only a file may hold and only for algorithms that are listed';
  if (typeof jwk['k'] !== 'string' || !/^[A-Za-z0-9_-]+$/.test(jwk['k'])) return 'its k is not base64url';
  const secret = Buffer.from(jwk['k'], 'base64url');
  const algorithms = SYMMETRIC_ALGORITHMS.filter((name) => secret.length >= Number(name.slice(2)) / 8);
  if (algorithms.length === 0) return 'it is shorter than 32 bytes';
  return { key: createSecretKey(secret), algorithms, content: `oct ${jwk['k']}` };
}

const CURVES: Readonly<Record<string, readonly string[]>> = {
  'P-256': ['ES256'],
  'P-384': ['ES384'],
  'P-521': ['ES512'],
  Ed25519: ['EdDSA', 'Ed25519'],
};

function readPublic(jwk: JwkFields): MadeKey | string {
  const { kty, crv, x, y, n, e } = jwk;
  let fields: Record<string, unknown>;
  let algorithms: readonly string[];
  if (kty === 'RSA') {
    fields = { kty, n, e };
    algorithms = ASYMMETRIC_ALGORITHMS.filter((name) => name.startsWith('RS') || name.startsWith('PS'));
  } else if (
    (kty === 'EC' || kty === 'OKP') &&
    typeof crv === 'string' &&
    Object.hasOwn(CURVES, crv) &&
    (crv === 'Ed25519') === (kty === 'OKP')
  ) {
    fields = kty === 'EC' ? { kty, crv, x, y } : { kty, crv, x };
    algorithms = CURVES[crv]!;
  } else return 'its kind is not known';
  for (const value of Object.values(fields))
    if (typeof value !== 'string' || value.length > 4096) return 'a part of it is missing';
  let key: KeyObject;
  try {
    key = createPublicKey({ key: fields, format: 'jwk' });
  } catch {
    return 'it is no valid key';
  }
  if (kty === 'RSA') {
    const { modulusLength = 0, publicExponent = 0n } = key.asymmetricKeyDetails ?? {};
    if (modulusLength < 2048) return 'it is an RSA key of less than 2048 bits';
    if (modulusLength > 16_384) return 'it is an RSA key of more than 16384 bits';
    // With 1 every text is its own signature; large ones make each check slow.
    if (publicExponent < 3n || publicExponent > 0xffff_ffffn || publicExponent % 2n === 0n)
      return 'its exponent is not usable';
  }
  return { key, algorithms, content: Object.values(fields).join(' ') };
}

function isObject(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}
