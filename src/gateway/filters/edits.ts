import { hasUnderscore, isSpelledLike, nameLength, type HeaderLines, type RequestView } from '../request-view.ts';
import type { BodyTransform } from './body-transform.ts';
import { HeadEdit } from './head-edit.ts';
import { headerLine } from './header-line.ts';

/** What request filters read and change. Owned by the exchange; `begin` makes it ready for the next request. */
export class RequestEdit extends HeadEdit {
  /** As received; filters don't change it. */
  view!: RequestView;
  /** The resolved client address. */
  client = '';
  scheme: 'http' | 'https' = 'http';
  /** Path and query to send instead of the received target; null: as received. */
  target: string | null = null;
  /** Host to send instead of the received one; null: as received. */
  host: string | null = null;
  /** Who the client has proved to be: an API key's name, a user, a token's subject. For logs and limits; '' when nobody asked. */
  identity = '';
  /** Claims of the token that was verified; null: none was. */
  claims: Readonly<Record<string, unknown>> | null = null;
  /** What the access log says instead of the received target, which has a secret in its query; null: the target. */
  loggedTarget: string | null = null;
  /** Lines that the response will carry, whoever gives it. */
  responseLines = '';
  /** What runs when the exchange is over, however it ends; null: nothing. */
  ends: (() => void)[] | null = null;
  /** The client has left, or was answered, while a filter still waited: what comes of it is for nobody, and `view` is another request's by now. */
  abandoned = false;
  /** Bytes that the body may have, besides the listener's bound. */
  maxBodyBytes = Number.MAX_SAFE_INTEGER;
  private withoutUnderscores = false;
  /** Bit n: a name of n characters (modulo 32) is among `lengthsOf`. */
  private lengths = 0;
  private lengthsOf: readonly string[] | null = null;

  begin(view: RequestView, client: string, scheme: 'http' | 'https'): void {
    this.reset();
    this.view = view;
    this.client = client;
    this.scheme = scheme;
  }

  override reset(): void {
    super.reset();
    this.target = null;
    this.host = null;
    this.identity = '';
    this.claims = null;
    this.loggedTarget = null;
    this.responseLines = '';
    this.ends = null;
    this.abandoned = false;
    this.maxBodyBytes = Number.MAX_SAFE_INTEGER;
    this.withoutUnderscores = false;
  }

  /** Some received line is left out: only then need `removes` be asked. */
  get removesSome(): boolean {
    return this.removeNames.length > 0 || this.withoutUnderscores;
  }

  /** Leaves out every received line with `_` in its name. */
  dropUnderscored(): void {
    this.withoutUnderscores = true;
  }

  /**
   * `_` of a received name counts as `-`: many servers hand both to the application under one name (RFC 3875 section 4.1.18), so that `X_User` would come
   * through where `X-User` is taken away.
   */
  override removes(lines: HeaderLines, index: number): boolean {
    if (this.withoutUnderscores && hasUnderscore(lines, index)) return true;
    const names = this.removeNames;
    if (names !== this.lengthsOf) this.noteLengths(names);
    // Nearly all lines are known to stay by the length of their name.
    if ((this.lengths & (1 << nameLength(lines, index))) === 0) return false;
    for (let i = 0; i < names.length; i++) if (isSpelledLike(lines, index, names[i]!)) return true;
    return false;
  }

  private noteLengths(names: readonly string[]): void {
    this.lengthsOf = names;
    this.lengths = 0;
    // Modulo 32, as << counts.
    for (const name of names) this.lengths |= 1 << name.length;
  }

  /** Adds a line to the response, whoever gives it: the backend, a filter, the gateway. Throws DORMOUSE_FILTER_HEADER as `setHeader` does. */
  addToResponse(name: string, value: string): void {
    this.responseLines += headerLine(name, value);
  }

  /** Runs `over` once when the exchange has ended, however it did, at once if it has: for what counts requests in flight. Must not throw. */
  atEnd(over: () => void): void {
    if (this.abandoned) over();
    else (this.ends ??= []).push(over);
  }

  /** A body that turns out to be longer is answered 413, or breaks the exchange off when the response has begun. The smallest bound counts. */
  limitBody(bytes: number): void {
    if (bytes < this.maxBodyBytes) this.maxBodyBytes = bytes;
  }

  /** Query that will be sent, without the question mark, as the filters before left it. */
  get query(): string {
    if (this.target === null) return this.view.query;
    const question = this.target.indexOf('?');
    return question < 0 ? '' : this.target.slice(question + 1);
  }

  /** Path that will be sent, as the filters before left it. */
  get path(): string {
    if (this.target === null) return this.view.path;
    const question = this.target.indexOf('?');
    return question < 0 ? this.target : this.target.slice(0, question);
  }

  /** `target`: origin form, begins with a slash. */
  setTarget(target: string): void {
    this.target = target;
  }

  /** `host`: with port when it isn't the scheme's own. */
  setHost(host: string): void {
    this.host = host;
  }
}

/** What response filters read and change. */
export class ResponseEdit extends HeadEdit {
  status = 0;
  /** The gateway's own answer: an error, a redirect, a filter's. */
  own = false;
  /** The request's method is HEAD, or the status has no body: nothing that is done to the body shows. */
  bodiless = false;
  /** Bytes of the body as the endpoint sends it; -1: not known. */
  bodyBytes = -1;
  transforms: { transform: BodyTransform; stage: TransformStage }[] | null = null;
  /** Sent instead of the body. */
  replacement: { contentType: string; body: Buffer } | null = null;
  private source: { readonly view: RequestView | null } | null = null;
  private received: ReceivedHeaders | null = null;

  /** `source` knows the request that this response belongs to; its head is read again only if a filter asks for it. */
  begin(source: { readonly view: RequestView | null }, status: number, received: ReceivedHeaders | null = null): void {
    this.reset();
    this.source = source;
    this.status = status;
    this.received = received;
  }

  override reset(): void {
    super.reset();
    this.own = false;
    this.bodiless = false;
    this.bodyBytes = -1;
    this.transforms = null;
    this.replacement = null;
  }

  /** The request. */
  get view(): RequestView {
    const view = this.source?.view ?? null;
    if (view === null) throw new TypeError('a response filter was run without a request');
    return view;
  }

  /** The value of the first received line with this lower-case name, as the endpoint (or the gateway, for its own answers) gave it. */
  value(lowerName: string): string | undefined {
    return this.received?.value(lowerName);
  }

  /** 200 to 599; a status that has no body (204, 304) only where there was none before. */
  setStatus(status: number): void {
    this.status = status;
  }

  /** Gives this body instead, with its type and length; what the former one was (coding, validators, digests) and what was to be done to it goes. */
  replaceBody(contentType: string, body: Buffer): void {
    for (const name of OF_A_REPRESENTATION) this.removeHeader(name);
    this.transforms = null;
    this.replacement = { contentType, body };
  }

  /**
   * The body goes through `transform`, and its length is not known any more: Content-Length and Accept-Ranges go. `content` changes what the body
   * says and runs before `coding`, which changes how it is encoded; within a stage in the order of the calls.
   */
  transformBody(transform: BodyTransform, stage: TransformStage): void {
    (this.transforms ??= []).push({ transform, stage });
  }
}

/** RFC 9110 section 8, RFC 9530. */
const OF_A_REPRESENTATION = [
  'content-type',
  'content-encoding',
  'content-language',
  'content-range',
  'etag',
  'last-modified',
  'content-digest',
  'repr-digest',
  'digest',
  'content-md5',
];

export type TransformStage = 'content' | 'coding';

interface ReceivedHeaders {
  value(lowerName: string): string | undefined;
}
