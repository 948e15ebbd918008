import { ApiKeys } from '../auth/api-keys.ts';
import { AMBIGUOUS, Credentials, type CredentialPlace } from '../auth/credentials.ts';
import { FileContent } from '../auth/file-content.ts';
import { IdentityHeaders, identityLine } from '../auth/identity-headers.ts';
import { MAX_LIST_BYTES, parseNameList, type NamedHash } from '../auth/name-list.ts';
import { ambiguous, unauthorized } from '../auth/refusals.ts';
import type { Filter, FilterContext } from './filter.ts';

export interface ApiKeyOptions {
  /** Where the key is; it must stand in one of the places only. */
  from: CredentialPlace[];
  /** One of the two is there. */
  keys: NamedHash[] | null;
  /** Absolute path of a list of `name:hash`. */
  file: string | null;
  /** The request header that tells the backend whose key it is; null: none. */
  identityHeader: string | null;
  realm: string;
  /** Requests without a key pass, without an identity. */
  optional: boolean;
  /** The backend gets the key too. */
  forward: boolean;
}

/** Lets requests pass that carry a key of the list. */
export function apiKey(options: ApiKeyOptions, { services }: FilterContext): Filter {
  const { file, identityHeader, optional, forward } = options;
  const { clock, logger, kept } = services;
  const lease =
    file === null
      ? null
      : kept.take(`api keys ${file}`, () => {
          const read = (text: string): ApiKeys => new ApiKeys(parseNameList(text));
          return Object.assign(new FileContent({ file, maxBytes: MAX_LIST_BYTES, read, clock, logger }), {
            close() {},
          });
        });
  // A reload asks for what the file says now, be it that only the file has changed.
  void lease?.part.look();
  const inline = new ApiKeys(options.keys ?? []);
  const credentials = new Credentials(options.from);
  const identityHeaders = new IdentityHeaders(identityHeader === null ? [] : [identityHeader]);
  const challenge = `ApiKey realm="${options.realm}"`;
  const missing = unauthorized(challenge, 'An API key is needed.');
  const invalid = unauthorized(challenge, 'The API key is not valid.');
  const twice = ambiguous(challenge);

  return {
    request(edit) {
      identityHeaders.strip(edit);
      const key = credentials.read(edit);
      if (key === null) return optional ? null : missing;
      if (key === AMBIGUOUS) return twice;
      const name = (lease === null ? inline : lease.part.value).nameOf(key);
      if (name === null) return invalid;
      edit.identity = name;
      if (identityHeader !== null) identityHeaders.write(edit, identityLine(identityHeader, name) ?? '');
      if (!forward) credentials.hide(edit);
      return null;
    },
    close: () => lease?.release(),
  };
}
