import { Buffer, isUtf8 } from 'node:buffer';
import { hash } from 'node:crypto';
import { openAuthService, type AuthServiceOptions } from '../auth/auth-service.ts';
import { IdentityHeaders } from '../auth/identity-headers.ts';
import { RecentCache } from '../auth/recent-cache.ts';
import { undecided } from '../auth/refusals.ts';
import { joinedValue, nextNamed, type RequestView } from '../request-view.ts';
import type { RequestEdit } from './edits.ts';
import type { Answer, Filter, FilterContext, SideResponse } from './filter.ts';
import { headerLine } from './header-line.ts';

export interface ForwardAuthOptions extends AuthServiceOptions {
  /** Received headers that the service gets, lower case. */
  requestHeaders: string[];
  /** Headers of its consent that the backend gets, lower case. */
  responseHeaders: string[];
  /** The header of its consent that says who it is; null: none. It is among `responseHeaders`. */
  identityHeader: string | null;
  /** The client gets cookies that the service sets when it consents. */
  setCookies: boolean;
  /** For the whole answer, a wake included. */
  timeoutMs: number;
  /** null: the service is asked each time. */
  cache: { forMs: number; by: 'request' | 'headers'; maxEntries: number } | null;
}

/** Requests that wait for the service at once per worker and filter; more are answered 503. */
const MAX_PENDING = 1000;
/** A refusal with a longer body is not passed on, bytes. */
const MAX_REFUSAL_BYTES = 256 * 1024;
/** What of a refusal the client gets. */
const REFUSAL_HEADERS: ReadonlySet<string> = new Set([
  'location',
  'set-cookie',
  'www-authenticate',
  'content-type',
  'content-language',
  'cache-control',
  'retry-after',
]);

interface Consent {
  lines: string;
  identity: string;
  untilMs: number;
}

/** Lets requests pass that a service consents to: it is asked with the request's method, address and some of its headers, and says 2xx. */
export function forwardAuth(options: ForwardAuthOptions, { services, route }: FilterContext): Filter {
  const { responseHeaders, identityHeader, cache, timeoutMs } = options;
  const { clock, logger } = services;
  const service = openAuthService(options, services);
  const identityHeaders = new IdentityHeaders(responseHeaders);
  const consents = cache === null ? null : new RecentCache<Consent>(cache.maxEntries);
  const unavailable = undecided(1);
  let pending = 0;
  let complaints = 0;

  const pass = (edit: RequestEdit, consent: Consent): null => {
    edit.identity = consent.identity;
    identityHeaders.write(edit, consent.lines);
    return null;
  };

  const fail = (reason: string): Answer => {
    // One line for the first failure and one for every thousand, not one per request.
    if (complaints++ % 1000 === 0)
      logger.warn('a service that decides about requests could not be asked', { route, reason });
    return unavailable;
  };

  const decide = (edit: RequestEdit, key: string | null, response: SideResponse): Answer | null => {
    const { status } = response;
    if (status >= 300 && status < 500 && status !== 304) return refusal(response);
    if (status < 200 || status >= 300) return fail(`it answered ${status}`);
    let consent: Consent;
    try {
      consent = {
        lines: copied(response, responseHeaders),
        identity: identityHeader === null ? '' : (response.header(identityHeader) ?? ''),
        untilMs: clock.nowMs() + (cache?.forMs ?? 0),
      };
      if (options.setCookies) {
        for (const [name, value] of response.headers)
          if (name.toLowerCase() === 'set-cookie') edit.addToResponse('Set-Cookie', value);
      }
    } catch {
      return fail('it answered with a header that can not be passed on');
    }
    complaints = 0;
    if (consents !== null && key !== null && mayBeKept(response)) consents.set(key, consent);
    return pass(edit, consent);
  };

  const ask = async (edit: RequestEdit, key: string | null): Promise<Answer | null> => {
    const given = new AbortController();
    const timer = setTimeout(() => given.abort(new Error(`it did not answer within ${timeoutMs} ms`)), timeoutMs);
    edit.atEnd(() => given.abort(new Error('the client has left')));
    pending++;
    try {
      return decide(edit, key, await service.ask(edit, questionLines(edit, options.requestHeaders), given.signal));
    } catch (error) {
      return fail(error instanceof Error ? error.message : String(error));
    } finally {
      pending--;
      clearTimeout(timer);
    }
  };

  return {
    request(edit) {
      identityHeaders.strip(edit);
      let key: string | null = null;
      if (consents !== null) {
        key = cacheKey(edit, options.requestHeaders, cache!.by);
        const known = key === null ? undefined : consents.get(key);
        if (known !== undefined && clock.nowMs() < known.untilMs) return pass(edit, known);
      }
      return pending >= MAX_PENDING ? unavailable : ask(edit, key);
    },
    close: () => service.close(),
  };
}

/** What the service is asked with, besides the client's address. Lines as received: they were validated when they were read. */
function questionLines({ view, scheme }: RequestEdit, requestHeaders: readonly string[]): string {
  let lines = `X-Forwarded-Method: ${view.method}\r\nX-Forwarded-Uri: ${originForm(view)}\r\nX-Forwarded-Proto: ${scheme}\r\nX-Forwarded-Host: ${view.host}\r\nAccept-Encoding: identity\r\n`;
  for (const name of requestHeaders) {
    for (let i = view.indexOf(name); i >= 0; i = nextNamed(view, name, i + 1))
      lines += `${view.nameAt(i)}: ${view.valueAt(i)}\r\n`;
  }
  return lines;
}

function originForm({ path, query }: RequestView): string {
  return query === '' ? path : `${path}?${query}`;
}

/**
 * Everything that the service may have decided by: what it was asked with, or only those of its headers that tell one client from another. null: the request has none of
 * these headers, and what everybody may do is not kept under nobody's name.
 */
function cacheKey(edit: RequestEdit, requestHeaders: readonly string[], by: 'request' | 'headers'): string | null {
  const { view, client } = edit;
  let present = false;
  const parts: string[] = by === 'request' ? [view.method, originForm(view), view.host, edit.scheme, client] : [];
  for (const name of requestHeaders) {
    const value = joinedValue(view, name);
    if (value !== undefined) present = true;
    parts.push(value === undefined ? '0' : `1${value}`);
  }
  // No part has a line break in it.
  return present ? hash('sha256', parts.join('\n'), 'base64') : null;
}

/** Throws DORMOUSE_FILTER_HEADER when a value can't stand in a head. */
function copied(response: SideResponse, names: readonly string[]): string {
  let lines = '';
  for (const [name, value] of response.headers)
    if (names.includes(name.toLowerCase())) lines += headerLine(name, value);
  return lines;
}

/** RFC 9111: no-store is respected, and a new session is not given to the next one who asks. */
function mayBeKept(response: SideResponse): boolean {
  return (
    response.header('set-cookie') === undefined &&
    !/no-store|private|no-cache/i.test(response.header('cache-control') ?? '')
  );
}

function refusal({ status, headers, body }: SideResponse): Answer {
  // Neither coded nor other than UTF-8: answers of filters are text.
  const isText =
    body.length <= MAX_REFUSAL_BYTES &&
    isUtf8(body) &&
    !headers.some(([name]) => name.toLowerCase() === 'content-encoding');
  let lines = '';
  for (const [name, value] of headers) {
    const lowerName = name.toLowerCase();
    if (!REFUSAL_HEADERS.has(lowerName) || (!isText && lowerName === 'content-type')) continue;
    lines += headerLine(name, value);
  }
  return { status, headers: lines, body: isText ? Buffer.from(body).toString('utf8') : '' };
}
