import type { RequestView } from '../request-view.ts';
import type { Filter, FilterContext } from './filter.ts';
import { compilePathChange, type PathChangeOptions } from './path-change.ts';

export interface RedirectOptions {
  /** Absent: the request's. */
  scheme?: 'http' | 'https';
  /** Absent: the request's. */
  host?: string;
  /** Absent: the scheme's own when `scheme` is given, else the one that the client used. */
  port?: number;
  /** Absent: the request's. */
  path?: PathChangeOptions;
  status: 301 | 302 | 303 | 307 | 308;
}

/**
 * Answers with a redirect (Gateway API: RequestRedirect); the query stays. Unlike there, a port that isn't given comes from the
 * Host header and not from the listener: behind a port mapping only the client knows which one reaches us.
 */
export function redirect(options: RedirectOptions, context: FilterContext): Filter {
  const change = options.path === undefined ? null : compilePathChange(options.path, 'redirect', context);
  return {
    request(edit) {
      const { view } = edit;
      const scheme = options.scheme ?? edit.scheme;
      const received = hostAndPort(view.host);
      const host = options.host ?? received.host;
      const port = options.port ?? (options.scheme === undefined ? received.port : null);
      const path = change === null ? (view.path.startsWith('/') ? view.path : '/') : change(view.path);
      const authority = port === null || port === (scheme === 'https' ? 443 : 80) ? host : `${host}:${port}`;
      // HTTP/1.0 without Host: relative, and with one slash, since `//name` would lead to another host.
      const place = host === '' ? path.replace(/^\/+/, '/') : `${scheme}://${authority}${path}`;
      const location = place + queryOf(view);
      return { status: options.status, headers: `Location: ${location}\r\n`, body: '' };
    },
  };
}

function queryOf(view: RequestView): string {
  return view.query === '' ? '' : '?' + view.query;
}

function hostAndPort(authority: string): { host: string; port: number | null } {
  const match = /^(\[[^\]]*\]|[^:]*):(\d{1,5})$/.exec(authority);
  return match === null ? { host: authority, port: null } : { host: match[1]!, port: Number(match[2]) };
}
