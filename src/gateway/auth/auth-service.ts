import { headerPairs, pairValue } from '../header-text.ts';
import type { RequestEdit } from '../filters/edits.ts';
import type { FilterServices, SideResponse } from '../filters/filter.ts';
import { WebClient } from './web-client.ts';

/** Who decides: a backend of this configuration, or a server that is none of it. */
export interface AuthServiceOptions {
  /** One of the two is there. */
  backend: string | null;
  url: string | null;
  /** What a backend is asked for. */
  path: string;
}

/** An answer of a server outside may have so many bytes; a backend's is bounded by side calls. */
const MAX_ANSWER_BYTES = 1024 * 1024;

export interface AuthService {
  /** `lines`: header lines of the question. Rejects when it can't be asked, or with the signal's reason. */
  ask(edit: RequestEdit, lines: string, signal: AbortSignal): Promise<SideResponse>;
  close(): void;
}

export function openAuthService(options: AuthServiceOptions, services: FilterServices): AuthService {
  const { backend, path, url } = options;
  if (backend !== null) {
    return {
      ask: ({ client, view }, lines, signal) =>
        services.call(
          backend,
          { method: 'GET', target: path, host: view.host, headers: lines, body: null, client },
          signal,
        ),
      close() {},
    };
  }
  if (url === null) throw new TypeError('neither backend nor url');
  const lease = services.kept.take(`auth service ${url}`, () => new WebClient());
  return {
    async ask({ client }, lines, signal) {
      const headers = headerPairs(`${lines}X-Forwarded-For: ${client}\r\n`);
      const response = await lease.part.get({ url, headers, maxBytes: MAX_ANSWER_BYTES, signal });
      return {
        ...response,
        header: (lowerName) => pairValue(response.headers, lowerName),
      };
    },
    close: lease.release,
  };
}
