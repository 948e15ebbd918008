import { AMBIGUOUS, Credentials } from '../auth/credentials.ts';
import { FileContent } from '../auth/file-content.ts';
import { IdentityHeaders, identityLine } from '../auth/identity-headers.ts';
import { MAX_LIST_BYTES, parseNameList, type NamedHash } from '../auth/name-list.ts';
import { PasswordChecks, type PasswordVerdict, type UserList } from '../auth/password-checks.ts';
import type { PasswordHash } from '../auth/password-hash.ts';
import { ambiguous, unauthorized, undecided } from '../auth/refusals.ts';
import { userMap } from '../auth/user-list.ts';
import type { RequestEdit } from './edits.ts';
import type { Answer, Filter, FilterContext } from './filter.ts';

export interface BasicOptions {
  /** One of the two is there. */
  users: NamedHash[] | null;
  /** Absolute path of a list of `name:hash`. */
  file: string | null;
  /** The request header that tells the backend who it is; null: none. */
  identityHeader: string | null;
  realm: string;
  /** Requests without credentials pass, without an identity. */
  optional: boolean;
  /** The backend gets name and password too. */
  forward: boolean;
  /** Names with passwords whose verdict is remembered, per worker. */
  maxEntries: number;
}

/** Lets requests pass that carry a name and its password (RFC 7617). */
export function basic(options: BasicOptions, { services }: FilterContext): Filter {
  const { file, users, identityHeader, optional, forward, maxEntries } = options;
  const { clock, logger, kept } = services;
  const lease = kept.take(`basic ${JSON.stringify({ file, users, maxEntries })}`, () => {
    const checks = new PasswordChecks(maxEntries);
    if (file === null) {
      const list: UserList = { version: 1, users: userMap(users ?? []) };
      return { check: (given: string) => checks.check(given, list), look() {}, close() {} };
    }
    const read = (text: string): ReadonlyMap<string, PasswordHash> => userMap(parseNameList(text));
    const content = new FileContent({ file, maxBytes: MAX_LIST_BYTES, read, clock, logger });
    return {
      check: (given: string) => {
        const list = content.value;
        return checks.check(given, { version: content.version, users: list });
      },
      look: () => void content.look(),
      close() {},
    };
  });
  // A reload asks for what the file says now, be it that only the file has changed.
  lease.part.look();
  const credentials = new Credentials([{ header: 'authorization', scheme: 'basic' }]);
  const identityHeaders = new IdentityHeaders(identityHeader === null ? [] : [identityHeader]);
  // RFC 7617 section 2.1: clients may then send names and passwords beyond ASCII.
  const challenge = `Basic realm="${options.realm}", charset="UTF-8"`;
  const missing = unauthorized(challenge, 'A name and a password are needed.');
  const invalid = unauthorized(challenge, 'The name or the password is wrong.');
  const twice = ambiguous(challenge);
  const busy = undecided(1);

  const decide = (edit: RequestEdit, verdict: PasswordVerdict): Answer | null => {
    if (verdict === 'wrong') return invalid;
    if (verdict === 'busy') return busy;
    edit.identity = verdict.user;
    if (identityHeader !== null) identityHeaders.write(edit, identityLine(identityHeader, verdict.user) ?? '');
    if (!forward) credentials.hide(edit);
    return null;
  };

  return {
    request(edit) {
      identityHeaders.strip(edit);
      const given = credentials.read(edit);
      if (given === null) return optional ? null : missing;
      if (given === AMBIGUOUS) return twice;
      const verdict = lease.part.check(given);
      return verdict instanceof Promise ? verdict.then((settled) => decide(edit, settled)) : decide(edit, verdict);
    },
    close: lease.release,
  };
}
