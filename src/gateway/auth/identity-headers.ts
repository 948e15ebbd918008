import type { RequestEdit } from '../filters/edits.ts';

/**
 * Headers by which applications are told by the proxy in front of them who the client is. A client that sends one itself pretends to be somebody: wherever a
 * filter authenticates, received ones go, whether it sets them or not.
 */
export const WELL_KNOWN_IDENTITY_HEADERS: readonly string[] = Object.freeze([
  'x-user',
  'x-user-id',
  'x-user-name',
  'x-user-email',
  'x-forwarded-user',
  'x-forwarded-email',
  'x-forwarded-groups',
  'x-forwarded-preferred-username',
  'x-forwarded-access-token',
  'x-auth-request-user',
  'x-auth-request-email',
  'x-auth-request-groups',
  'x-auth-request-access-token',
  'x-remote-user',
  'remote-user',
  'x-authenticated-user',
]);

/** A header value of more bytes than this is not passed on. */
export const MAX_IDENTITY_VALUE_BYTES = 4096;

/** The identity headers of one filter: which received ones go, and how what it found out is written. */
export class IdentityHeaders {
  /** Lower case, those that the filter sets. */
  readonly #own: readonly string[];
  readonly #stripped: readonly string[];

  /** `own`: names that the filter sets. `further`: names that go besides, say the one that had the credential. */
  constructor(own: readonly string[], further: readonly string[] = []) {
    this.#own = own.map((name) => name.toLowerCase());
    this.#stripped = Object.freeze([
      ...new Set([...this.#own, ...further.map((name) => name.toLowerCase()), ...WELL_KNOWN_IDENTITY_HEADERS]),
    ]);
  }

  /** Takes away what the client says about itself. Lines that a filter before added stay. */
  strip(edit: RequestEdit): void {
    edit.removeReceived(this.#stripped);
  }

  /** Adds lines made by `identityLine`, in place of such that a filter before added. `strip` must have run. */
  write(edit: RequestEdit, lines: string): void {
    if (lines === '') return;
    if (edit.append !== '') for (const name of this.#own) edit.removeHeader(name);
    edit.append += lines;
  }
}

/**
 * A header line with its CR LF; null when the value can't be said so that every reader reads the same: it has control characters, begins or ends with a
 * space (which readers cut off, and `" admin"` becomes somebody else), or is too long. Text beyond ASCII is written in UTF-8.
 */
export function identityLine(name: string, value: string): string | null {
  if (
    value.length > MAX_IDENTITY_VALUE_BYTES ||
    /[\x00-\x1f\x7f]/.test(value) ||
    value.trim() !== value ||
    !value.isWellFormed()
  )
    return null;
  const bytes = Buffer.from(value, 'utf8');
  return bytes.length > MAX_IDENTITY_VALUE_BYTES ? null : `${name}: ${bytes.toString('latin1')}\r\n`;
}
