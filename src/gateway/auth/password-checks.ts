import { hash, randomBytes } from 'node:crypto';
import { isPassword, MAX_PASSWORD_BYTES, unknownUserHash, type PasswordHash } from './password-hash.ts';
import { RecentCache } from './recent-cache.ts';

/** Hashes that are computed at once per worker: Node's pool of four threads also reads files and looks up names. */
export const CONCURRENT_CHECKS = 2;
/** Passwords that wait for their turn: about 2 s of work at the standard cost. */
export const WAITING_CHECKS = 20;

/** `busy`: too many passwords are being checked. */
export type PasswordVerdict = { user: string } | 'wrong' | 'busy';

export interface UserList {
  /** Rises with every change. */
  readonly version: number;
  readonly users: ReadonlyMap<string, PasswordHash>;
}

/**
 * Checks names and passwords. Verdicts are kept (by a keyed hash of what the client sent, so that no password lies in memory), the same credentials are
 * never checked twice at once, and of different ones only so many that a flood of wrong passwords costs two threads and no more.
 */
export class PasswordChecks {
  readonly #verdicts: RecentCache<PasswordVerdict>;
  readonly #pepper = randomBytes(32).toString('latin1');
  readonly #running = new Map<string, Promise<PasswordVerdict>>();
  readonly #turns: (() => void)[] = [];
  #busy = 0;
  #version = 0;
  #unknown: PasswordHash = unknownUserHash(null);

  constructor(maxEntries: number) {
    this.#verdicts = new RecentCache(maxEntries);
  }

  /** Credentials that are known or being checked. */
  get size(): number {
    return this.#verdicts.size + this.#running.size;
  }

  /**
   * `credentials`: what follows `Basic ` in the header. A promise only when a hash has to be computed; it waits for `WAITING_CHECKS` others at most and never
   * rejects for what a client sent.
   */
  check(credentials: string, list: UserList): PasswordVerdict | Promise<PasswordVerdict> {
    if (list.version !== this.#version) {
      this.#version = list.version;
      this.#verdicts.clear();
      // Those that are being checked are checked against the list before.
      this.#running.clear();
      const [first = null] = list.users.values();
      this.#unknown = unknownUserHash(first);
    }
    const key = hash('sha256', this.#pepper + credentials, 'base64');
    const known = this.#verdicts.get(key) ?? this.#running.get(key);
    if (known !== undefined) return known;
    const pair = decodePair(credentials);
    if (pair === null) return 'wrong';
    if (this.#busy >= CONCURRENT_CHECKS && this.#turns.length >= WAITING_CHECKS) return 'busy';
    const running = this.#run(key, pair, list);
    this.#running.set(key, running);
    return running;
  }

  async #run(key: string, pair: { user: string; password: string }, list: UserList): Promise<PasswordVerdict> {
    if (this.#busy >= CONCURRENT_CHECKS) await new Promise<void>((resolve) => this.#turns.push(resolve));
    else this.#busy++;
    try {
      const expected = list.users.get(pair.user);
      const isRight = await isPassword(pair.password, expected ?? this.#unknown);
      const verdict: PasswordVerdict = isRight && expected !== undefined ? Object.freeze({ user: pair.user }) : 'wrong';
      if (list.version === this.#version) this.#verdicts.set(key, verdict);
      return verdict;
    } finally {
      if (list.version === this.#version) this.#running.delete(key);
      const next = this.#turns.shift();
      if (next === undefined) this.#busy--;
      else next();
    }
  }
}

/** RFC 7617: base64 of `user:password` in UTF-8. null when it is not that, or longer than anybody's password. */
function decodePair(credentials: string): { user: string; password: string } | null {
  if (credentials.length > 2 * MAX_PASSWORD_BYTES || !/^[A-Za-z0-9+/]+={0,2}$/.test(credentials)) return null;
  const bytes = Buffer.from(credentials, 'base64');
  let text: string;
  try {
    text = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true }).decode(bytes);
  } catch {
    return null;
  }
  const colon = text.indexOf(':');
  if (colon < 0) return null;
  const password = text.slice(colon + 1).normalize('NFC');
  return Buffer.byteLength(password) > MAX_PASSWORD_BYTES ? null : { user: text.slice(0, colon), password };
}
