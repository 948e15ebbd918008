/** Where a request carries its credential, how it is taken out there, and how it is kept from the backend. */
import { cookieValue } from '../balancing/hash-key.ts';
import type { RequestEdit } from '../filters/edits.ts';
import { nextNamed, type RequestView } from '../request-view.ts';
import { queryValue } from '../routing/query.ts';

export type CredentialPlace =
  /** `scheme`: the word before the credential (RFC 9110 section 11.4); null: the whole value is it. */
  { header: string; scheme: string | null } | { cookie: string } | { query: string };

/** Credentials in several places or lines: which one counts would depend on the reader. */
export const AMBIGUOUS = Symbol('more than one credential');

export class Credentials {
  readonly #places: readonly CredentialPlace[];
  readonly #parameters: readonly string[];

  constructor(places: readonly CredentialPlace[]) {
    this.#places = places.map((place) =>
      'header' in place
        ? { header: place.header.toLowerCase(), scheme: place.scheme === null ? null : place.scheme.toLowerCase() }
        : place,
    );
    this.#parameters = this.#places.flatMap((place) => ('query' in place ? place.query : []));
  }

  /** The credential; null when there is none. An empty one counts as none. One in the query does not get into the access log. */
  read(edit: RequestEdit): string | null | typeof AMBIGUOUS {
    const { view } = edit;
    if (this.#parameters.length > 0 && view.query !== '') this.#concealInLog(edit);
    let found: string | null = null;
    for (let i = 0; i < this.#places.length; i++) {
      const value = readAt(view, this.#places[i]!);
      if (value === null) continue;
      if (value === AMBIGUOUS || found !== null) return AMBIGUOUS;
      found = value;
    }
    return found;
  }

  #concealInLog(edit: RequestEdit): void {
    const target = edit.loggedTarget ?? edit.view.target;
    const question = target.indexOf('?');
    if (question < 0) return;
    let concealed = false;
    const parts = target.slice(question + 1).split('&');
    const shown = parts.map((part) => {
      if (!this.#parameters.some((name) => queryValue(part, name) !== null)) return part;
      concealed = true;
      return `${part.split('=', 1)[0]}=[redacted]`;
    });
    if (concealed) edit.loggedTarget = `${target.slice(0, question)}?${shown.join('&')}`;
  }

  /** The backend does not get what stood in these places, whether it was good or not. */
  hide(edit: RequestEdit): void {
    for (const place of this.#places) {
      if ('header' in place) hideHeader(edit, place.header, place.scheme);
      else if ('cookie' in place) hideCookie(edit, place.cookie);
      else hideQuery(edit, place.query);
    }
  }
}

function readAt(view: RequestView, place: CredentialPlace): string | null | typeof AMBIGUOUS {
  if ('header' in place) {
    const first = view.indexOf(place.header);
    if (first < 0) return null;
    // RFC 9110 section 5.3: not a list, so it stands there once.
    if (nextNamed(view, place.header, first + 1) >= 0) return AMBIGUOUS;
    return withoutScheme(view.valueAt(first), place.scheme);
  }
  if ('cookie' in place) {
    let found: string | null = null;
    for (let i = view.indexOf('cookie'); i >= 0; i = nextNamed(view, 'cookie', i + 1)) {
      for (const cookie of view.valueAt(i).split(';')) {
        const value = cookieValue(cookie, place.cookie);
        if (value === null) continue;
        if (found !== null) return AMBIGUOUS;
        found = value;
      }
    }
    return found === '' ? null : found;
  }
  if (view.query === '') return null;
  let found: string | null = null;
  for (const part of view.query.split('&')) {
    const value = queryValue(part, place.query);
    if (value === null) continue;
    if (found !== null) return AMBIGUOUS;
    found = value;
  }
  return found === '' ? null : found;
}

/** `scheme` in lower case. Another scheme is another kind of credential: none of ours. */
function withoutScheme(value: string, scheme: string | null): string | null {
  if (scheme === null) return value === '' ? null : value;
  if (value.charCodeAt(scheme.length) !== 0x20 || value.slice(0, scheme.length).toLowerCase() !== scheme) return null;
  let start = scheme.length + 1;
  while (value.charCodeAt(start) === 0x20) start++;
  return start >= value.length ? null : value.slice(start);
}

function hideHeader(edit: RequestEdit, name: string, scheme: string | null): void {
  const { view } = edit;
  const first = view.indexOf(name);
  if (first < 0) return;
  // Another filter's credential may stand in the same header under another scheme.
  if (scheme !== null && withoutScheme(view.valueAt(first), scheme) === null && nextNamed(view, name, first + 1) < 0)
    return;
  edit.removeReceived([name]);
}

function hideCookie(edit: RequestEdit, name: string): void {
  const { view } = edit;
  const kept: string[] = [];
  let hidden = false;
  for (let i = view.indexOf('cookie'); i >= 0; i = nextNamed(view, 'cookie', i + 1)) {
    for (const cookie of view.valueAt(i).split(';')) {
      if (cookieValue(cookie, name) !== null) hidden = true;
      else if (cookie.trim() !== '') kept.push(cookie.trim());
    }
  }
  if (!hidden) return;
  if (kept.length === 0) edit.removeHeader('cookie');
  else edit.setHeader('Cookie', kept.join('; '));
}

function hideQuery(edit: RequestEdit, name: string): void {
  const { query } = edit;
  if (query === '') return;
  const parts = query.split('&');
  const kept = parts.filter((part) => queryValue(part, name) === null);
  if (kept.length === parts.length) return;
  edit.setTarget(kept.length === 0 ? edit.path : `${edit.path}?${kept.join('&')}`);
}
