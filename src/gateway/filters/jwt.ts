import { AMBIGUOUS, Credentials, type CredentialPlace } from '../auth/credentials.ts';
import type { ClaimRequirements } from '../auth/claims.ts';
import { IdentityHeaders } from '../auth/identity-headers.ts';
import type { KeySet } from '../auth/key-set.ts';
import { openKeySet, type KeySourceOptions } from '../auth/key-sources.ts';
import { ambiguous, forbidden, unauthorized, undecided } from '../auth/refusals.ts';
import type { Algorithm } from '../auth/signing-keys.ts';
import { TokenChecks, type TokenVerdict } from '../auth/token-checks.ts';
import type { RequestEdit } from './edits.ts';
import type { Answer, Filter, FilterContext, FilterServices } from './filter.ts';
import type { PartLease } from './kept-parts.ts';

export interface JwtOptions {
  /** Where the token is; it must stand in one of the places only. */
  from: CredentialPlace[];
  /** One of these; null: any. */
  issuer: string[] | null;
  audience: string[] | null;
  jwks: KeySourceOptions;
  algorithms: Algorithm[];
  clockSkewMs: number;
  /** The header's `typ`; null: any. */
  type: string | null;
  requireExpiry: boolean;
  require: ClaimRequirements;
  /** Request headers for the backend, each from a claim. */
  headers: Record<string, string>;
  /** The claim that says who it is. */
  identity: string;
  realm: string;
  /** Requests without a token pass, without an identity. */
  optional: boolean;
  /** The backend gets the token too. */
  forward: boolean;
  /** Tokens that are remembered, per worker. */
  maxEntries: number;
}

/** Lets requests pass that carry a token of an issuer (RFC 7519, RFC 6750). */
export function jwt(options: JwtOptions, { services }: FilterContext): Filter {
  const { part: verifier, release } = takeVerifier(options, services);
  const credentials = new Credentials(options.from);
  const identityHeaders = new IdentityHeaders(Object.keys(options.headers));
  const challenge = `Bearer realm="${options.realm}"`;
  const { scopes } = options.require;
  const missing = unauthorized(challenge, 'A bearer token is needed.');
  const invalid = unauthorized(`${challenge}, error="invalid_token"`, 'The token is not valid.');
  const twice = ambiguous(`${challenge}, error="invalid_request"`);
  const lacking = forbidden(
    `${challenge}, error="insufficient_scope"${scopes.length === 0 ? '' : `, scope="${scopes.join(' ')}"`}`,
    'The token does not allow this.',
  );
  const busy = undecided(1);

  const decide = (edit: RequestEdit, verdict: TokenVerdict): Answer | null => {
    switch (verdict.kind) {
      case 'bad':
        return invalid;
      case 'busy':
        return busy;
      case 'unknown':
        return undecided(verifier.keys.retryAfterSeconds);
      case 'verified':
        if (verdict.lacks !== null) return lacking;
        edit.claims = verdict.claims;
        edit.identity = verdict.identity;
        identityHeaders.write(edit, verdict.lines);
        if (!options.forward) credentials.hide(edit);
        return null;
    }
  };

  return {
    request(edit) {
      identityHeaders.strip(edit);
      const token = credentials.read(edit);
      if (token === null) return options.optional ? null : missing;
      if (token === AMBIGUOUS) return twice;
      const verdict = verifier.checks.check(token);
      return verdict instanceof Promise ? verdict.then((settled) => decide(edit, settled)) : decide(edit, verdict);
    },
    close: release,
  };
}

interface Verifier {
  readonly checks: TokenChecks;
  readonly keys: KeySet;
  close(): void;
}

/** Filters with the same rules share their verdicts, those with the same source its keys. */
function takeVerifier(options: JwtOptions, services: FilterServices): PartLease<Verifier> {
  const { jwks, optional: _optional, forward: _forward, from: _from, realm: _realm, ...rules } = options;
  const allowSymmetric = rules.algorithms.some((name) => name.startsWith('HS'));
  return services.kept.take(`jwt ${JSON.stringify({ jwks, rules })}`, () => {
    const keys = services.kept.take(`jwks ${allowSymmetric} ${JSON.stringify(jwks)}`, () =>
      openKeySet(jwks, allowSymmetric, services),
    );
    return {
      checks: new TokenChecks(rules, keys.part, services.clock),
      keys: keys.part,
      close: keys.release,
    };
  });
}
