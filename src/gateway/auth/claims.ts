/** What the claims of a verified token are asked for: what a route requires of them, and what the backend is told. */
import { identityLine } from './identity-headers.ts';

export type Claims = Readonly<Record<string, unknown>>;
export type PlainValue = string | number | boolean;

export interface ClaimRequirements {
  /** All of them, in `scope` (text, RFC 8693 section 4.2) or `scp` (list or text). */
  scopes: readonly string[];
  /** By claim: one of these values, which a list of the claim may hold among others. */
  claims: Readonly<Record<string, readonly PlainValue[]>>;
}

/** Items of a list that goes into one header. */
const MAX_LIST_ITEMS = 256;

/**
 * A claim by its name, or by names joined with dots where no claim has that very name (`https://example.com/roles` has dots of its own, `realm_access.roles` is a step
 * into a mapping). undefined: it is not there.
 */
export function claimAt(claims: Claims, name: string): unknown {
  if (Object.hasOwn(claims, name)) return claims[name];
  let value: unknown = claims;
  for (const step of name.split('.')) {
    if (typeof value !== 'object' || value === null || Array.isArray(value) || !Object.hasOwn(value, step))
      return undefined;
    value = (value as Record<string, unknown>)[step];
  }
  return value;
}

/** What is missing: `scope`, `claim`, or null. */
export function lacking(claims: Claims, required: ClaimRequirements): 'scope' | 'claim' | null {
  if (required.scopes.length > 0) {
    const granted = new Set([...words(claims['scope']), ...words(claims['scp'])]);
    if (!required.scopes.every((scope) => granted.has(scope))) return 'scope';
  }
  for (const [name, accepted] of Object.entries(required.claims)) {
    const value = claimAt(claims, name);
    const values: unknown[] = Array.isArray(value) ? value : [value];
    if (!values.some((one) => accepted.includes(one as PlainValue))) return 'claim';
  }
  return null;
}

function words(value: unknown): string[] {
  if (typeof value === 'string') return value.split(' ').filter((word) => word !== '');
  return Array.isArray(value) ? value.filter((word) => typeof word === 'string') : [];
}

/**
 * Header lines for the backend: `headers` maps each header's name to a claim's. A claim that is not there (or null, or empty) gives no line. null: a claim can't be
 * said in a header without a second meaning, so the request must not be passed on as if it had none.
 */
export function claimLines(claims: Claims, headers: Readonly<Record<string, string>>): string | null {
  let lines = '';
  for (const [header, name] of Object.entries(headers)) {
    const text = textOf(claimAt(claims, name));
    if (text === null) return null;
    if (text === '') continue;
    const line = identityLine(header, text);
    if (line === null) return null;
    lines += line;
  }
  return lines;
}

/** Lists are joined by commas, mappings are JSON in ASCII. null: it would read as something else. */
function textOf(value: unknown): string | null {
  if (value === undefined || value === null) return '';
  if (typeof value === 'string') return value;
  if (typeof value === 'number' || typeof value === 'boolean') return String(value);
  if (Array.isArray(value) && value.every((item) => isPlain(item))) {
    if (value.length > MAX_LIST_ITEMS) return null;
    const items = value.map(String);
    // A role called `user,admin` is one role, and must not be read as two.
    return items.some((item) => item.includes(',') || item.trim() !== item || item === '') ? null : items.join(',');
  }
  return JSON.stringify(value).replace(
    /[\x7f-\uffff]/g,
    (character) => `\\u${character.charCodeAt(0).toString(16).padStart(4, '0')}`,
  );
}

function isPlain(value: unknown): value is PlainValue {
  return typeof value === 'string' || typeof value === 'number' || typeof value === 'boolean';
}
