import { MessageHead } from './message-head.ts';

/** The four forms of a request-target (RFC 9112 3.2). */
export const TargetForm = Object.freeze({ ORIGIN: 0, ABSOLUTE: 1, ASTERISK: 2, AUTHORITY: 3 });

/** A request's start line and header lines. */
export class RequestHead extends MessageHead {
  method = '';
  /** The request-target as sent. */
  target = '';
  /** A TargetForm. */
  form = 0;
  /**
   * The path as sent, without query. Absolute-form: the target's, `/` when empty (but `*` for OPTIONS without path and query, RFC 9112 3.2.4).
   * Asterisk-form: `*`. Authority-form: ''.
   */
  path = '';
  /** Without `?`; '' when there is none. */
  query = '';
  /** True when the target has a `?`, so that `/a?` can be told from `/a`. */
  hasQuery = false;
  /** The authority as sent: of an absolute- or authority-form target (RFC 9112 3.2.2), else of Host. '' for HTTP/1.0 without Host. */
  host = '';
  /** `host` in lower case without port and without one trailing dot. */
  hostname = '';
  /** Line of Host, -1 without (HTTP/1.0). */
  hostIndex = -1;
  /** True when `host` came from the target: a Host line, which may say something else, must be replaced by `host` when the request is forwarded. */
  hostFromTarget = false;
  /** The client waits for 100 Continue before it sends the body (never for HTTP/1.0). */
  expectContinue = false;
  /** TE holds `trailers`. */
  teTrailers = false;
}
