import { hash } from 'node:crypto';
import type { NamedHash } from './name-list.ts';

const FORM = /^sha256:([0-9a-f]{64})$/i;

/** A longer key is wrong without being looked at. */
export const MAX_KEY_CHARS = 4096;

/** What stands in the configuration for a key, which is printable ASCII. */
export function hashApiKey(key: string): string {
  return `sha256:${hash('sha256', key, 'hex')}`;
}

/**
 * Keys by the SHA-256 of them. A plain fast hash is right for keys of 128 random bits and more, which nobody can try out; and since what is compared is the hash, how
 * long a look-up takes says nothing about a key.
 */
export class ApiKeys {
  readonly #names = new Map<string, string>();

  /** Throws an Error, without the hash, when one is of another form or stands there twice. */
  constructor(list: readonly NamedHash[]) {
    for (const { name, hash: text } of list) {
      const match = FORM.exec(text);
      if (match === null)
        throw new Error(`the key of ${name} is not of the form sha256:64 hex digits; make one with: dormouse hash-key`);
      const digest = Buffer.from(match[1]!, 'hex').toString('base64');
      if (this.#names.has(digest)) throw new Error(`the keys of ${this.#names.get(digest)} and ${name} are the same`);
      this.#names.set(digest, name);
    }
  }

  /** Whose key this is; null: nobody's. */
  nameOf(key: string): string | null {
    if (key.length > MAX_KEY_CHARS) return null;
    return this.#names.get(hash('sha256', key, 'base64')) ?? null;
  }
}
