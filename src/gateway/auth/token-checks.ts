import { hash } from 'node:crypto';
import type { Clock } from '../../model/ports.ts';
import { claimLines, lacking, type ClaimRequirements, type Claims } from './claims.ts';
import type { KeySet } from './key-set.ts';
import { RecentCache } from './recent-cache.ts';

/** A longer token is bad without being looked at, characters. */
export const MAX_TOKEN_CHARS = 16 * 1024;
/** Tokens that are being verified at once per worker; more are answered 503. */
export const MAX_PENDING = 1000;
/** Bad tokens that are remembered, so that a client that goes on sending one costs no signature check. */
const BAD_TOKENS = 1000;

export interface TokenRules {
  /** null: not looked at. */
  issuer: readonly string[] | null;
  audience: readonly string[] | null;
  algorithms: readonly string[];
  clockSkewMs: number;
  /** The `typ` that the token's header must have; null: not looked at. */
  type: string | null;
  requireExpiry: boolean;
  require: ClaimRequirements;
  /** Header names to claims. */
  headers: Readonly<Record<string, string>>;
  /** The claim that says who it is. */
  identity: string;
  maxEntries: number;
}

/** A token with a good signature, for this audience. */
export interface VerifiedToken {
  readonly kind: 'verified';
  readonly claims: Claims;
  readonly identity: string;
  /** Lines for the backend. */
  readonly lines: string;
  /** What the route requires and the token lacks. `header`: a claim can't be passed on. */
  readonly lacks: 'scope' | 'claim' | 'header' | null;
  /** Seconds since 1970; Infinity: never. */
  readonly expires: number;
  /** Seconds since 1970; -Infinity: always was. */
  readonly notBefore: number;
}

/** `unknown`: there are no keys to say it with. `busy`: too many at once. */
export type TokenVerdict =
  | VerifiedToken
  | { readonly kind: 'bad' }
  | { readonly kind: 'unknown' }
  | { readonly kind: 'busy' };

const BAD: TokenVerdict = Object.freeze({ kind: 'bad' });
const UNKNOWN: TokenVerdict = Object.freeze({ kind: 'unknown' });
const BUSY: TokenVerdict = Object.freeze({ kind: 'busy' });

/**
 * Verifies tokens (RFC 7519 in JWS compact form, with the advice of RFC 8725) and keeps the verdicts by the hash of the whole token: a known token costs a hash and
 * a comparison of its times. Verdicts go when a key of the set is gone.
 */
export class TokenChecks {
  readonly #rules: TokenRules;
  readonly #keys: KeySet;
  readonly #clock: Clock;
  readonly #good: RecentCache<VerifiedToken>;
  readonly #bad = new RecentCache<true>(BAD_TOKENS);
  readonly #pending = new Map<string, Promise<TokenVerdict>>();
  #removals = 0;

  constructor(rules: TokenRules, keys: KeySet, clock: Clock) {
    this.#rules = rules;
    this.#keys = keys;
    this.#clock = clock;
    this.#good = new RecentCache(rules.maxEntries);
  }

  get size(): number {
    return this.#good.size + this.#bad.size + this.#pending.size;
  }

  /** A promise only for a token that is not known yet. Never rejects for what a client sent. */
  check(token: string): TokenVerdict | Promise<TokenVerdict> {
    if (token.length > MAX_TOKEN_CHARS) return BAD;
    this.#keys.touch();
    if (this.#removals !== this.#keys.removals) this.#forget();
    const key = hash('sha256', token, 'base64');
    const known = this.#good.get(key);
    if (known !== undefined) {
      const now = this.#clock.wallMs() / 1000;
      const skew = this.#rules.clockSkewMs / 1000;
      if (now < known.expires + skew && now >= known.notBefore - skew) return known;
      return BAD;
    }
    if (this.#bad.get(key) !== undefined) return BAD;
    const pending = this.#pending.get(key);
    if (pending !== undefined) return pending;
    const header = readHeader(token);
    if (header === null || !this.#rules.algorithms.includes(header.alg)) return BAD;
    if (this.#pending.size >= MAX_PENDING) return BUSY;
    const verifying = this.#verify(key, token, header).finally(() => this.#pending.delete(key));
    this.#pending.set(key, verifying);
    return verifying;
  }

  #forget(): void {
    this.#removals = this.#keys.removals;
    this.#good.clear();
    this.#bad.clear();
  }

  async #verify(cacheKey: string, token: string, { alg, kid }: TokenHeader): Promise<TokenVerdict> {
    const keys = this.#keys;
    let candidates = keys.find(alg, kid);
    if (candidates.length === 0) {
      await keys.refresh();
      if (!keys.isKnown) return UNKNOWN;
      candidates = keys.find(alg, kid);
      if (candidates.length === 0) return BAD;
    }
    const removals = keys.removals;
    const { jwtVerify } = await import('jose/jwt/verify');
    const { issuer, audience, algorithms, clockSkewMs, type, requireExpiry } = this.#rules;
    const options = {
      algorithms: [...algorithms],
      clockTolerance: Math.floor(clockSkewMs / 1000),
      currentDate: new Date(this.#clock.wallMs()),
      requiredClaims: requireExpiry ? ['exp'] : [],
      ...(issuer === null ? {} : { issuer: [...issuer] }),
      ...(audience === null ? {} : { audience: [...audience] }),
      ...(type === null ? {} : { typ: type }),
    };
    let isLasting = true;
    for (const { key } of candidates) {
      try {
        const { payload } = await jwtVerify(token, key, options);
        const verified = this.#verified(payload);
        if (removals === keys.removals) this.#good.set(cacheKey, verified);
        return verified;
      } catch (error) {
        const { code, claim } = error as { code?: string; claim?: string };
        // What is not the token's fault must not be taken for it.
        if (code === undefined) throw error;
        if (code === 'ERR_JWS_SIGNATURE_VERIFICATION_FAILED') continue;
        // Its time may come.
        isLasting = claim !== 'nbf' && claim !== 'iat';
        break;
      }
    }
    if (isLasting && removals === keys.removals) this.#bad.set(cacheKey, true);
    return BAD;
  }

  #verified(payload: Claims): VerifiedToken {
    const { require, headers, identity } = this.#rules;
    const lines = claimLines(payload, headers);
    const who = payload[identity];
    return Object.freeze({
      kind: 'verified',
      claims: Object.freeze(payload),
      identity: typeof who === 'string' ? who : typeof who === 'number' ? String(who) : '',
      lines: lines ?? '',
      lacks: lacking(payload, require) ?? (lines === null ? 'header' : null),
      expires: typeof payload['exp'] === 'number' ? payload['exp'] : Number.POSITIVE_INFINITY,
      notBefore: typeof payload['nbf'] === 'number' ? payload['nbf'] : Number.NEGATIVE_INFINITY,
    });
  }
}

interface TokenHeader {
  alg: string;
  kid: string | undefined;
}

/** Enough of the protected header to choose keys; the rest (crit, b64, typ) is checked when the signature is. null: this is no token. */
function readHeader(token: string): TokenHeader | null {
  if (!/^[A-Za-z0-9_-]+\.[A-Za-z0-9_-]*\.[A-Za-z0-9_-]*$/.test(token)) return null;
  try {
    const header: unknown = JSON.parse(Buffer.from(token.slice(0, token.indexOf('.')), 'base64url').toString('utf8'));
    if (typeof header !== 'object' || header === null) return null;
    const { alg, kid } = header as Record<string, unknown>;
    if (typeof alg !== 'string' || (kid !== undefined && typeof kid !== 'string')) return null;
    return { alg, kid };
  } catch {
    return null;
  }
}
