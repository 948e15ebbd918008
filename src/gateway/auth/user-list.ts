import type { NamedHash } from './name-list.ts';
import { parsePasswordHash, type PasswordHash } from './password-hash.ts';

/** Throws an Error, without the hash, when one is of another form or a name stands there twice. */
export function userMap(list: readonly NamedHash[]): ReadonlyMap<string, PasswordHash> {
  const users = new Map<string, PasswordHash>();
  for (const { name, hash } of list) {
    if (users.has(name)) throw new Error(`the user ${name} is there twice`);
    try {
      users.set(name, parsePasswordHash(hash));
    } catch (error) {
      throw new Error(`what stands for ${name} ${(error as Error).message}`, { cause: error });
    }
  }
  return users;
}
