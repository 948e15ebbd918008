import type { RequestHead } from './request-head.ts';
import type { ResponseHead } from './response-head.ts';

/** How the body after a head is delimited (RFC 9112 6.3). */
export const BodyKind = Object.freeze({ NONE: 0, LENGTH: 1, CHUNKED: 2, UNTIL_CLOSE: 3 });

/** Body of a response to a request with `requestMethod`: HEAD, 1xx, 204, 304 and `Content-Length: 0` have none. */
export function bodyKind(head: ResponseHead, requestMethod: string): number {
  const status = head.status;
  if (requestMethod === 'HEAD' || status < 200 || status === 204 || status === 304) return BodyKind.NONE;
  if (head.chunked) return BodyKind.CHUNKED;
  if (head.contentLength === -1) return BodyKind.UNTIL_CLOSE;
  return head.contentLength === 0 ? BodyKind.NONE : BodyKind.LENGTH;
}

/** Body of a request: never UNTIL_CLOSE. */
export function requestBodyKind(head: RequestHead): number {
  if (head.chunked) return BodyKind.CHUNKED;
  return head.contentLength > 0 ? BodyKind.LENGTH : BodyKind.NONE;
}
