import type { UpstreamEndpoint } from './endpoint.ts';

/**
 * One request on its way to an endpoint, and its response on the way back: an HTTP/1.1 connection (connection.ts) or a stream of an HTTP/2 one.
 * What comes is told to the UpstreamUser.
 */
export interface Upstream {
  readonly endpoint: UpstreamEndpoint;
  /** Exchanges that this connection has carried before: the endpoint may have closed it meanwhile. */
  readonly served: number;
  /** The request's head: a whole HTTP/1.1 head as buildRequestHead makes it. `chunked`: its body's length is not known. */
  sendHead(text: string, chunked: boolean): void;
  /** A part of the body. False: hold back until onUpstreamDrain. */
  sendBody(part: Buffer): boolean;
  /** The request is complete. `trailers`: whole lines, or ''. */
  sendEnd(trailers: string): void;
  /** What is sent between the two goes out together. */
  cork(): void;
  uncork(): void;
  /** Stops reading the response until `resume`. */
  pause(): void;
  resume(): void;
  /** For how long nothing of what waits to be sent has gone out, ms. */
  stalledForMs(nowMs: number): number;
  /** A chunk told as not volatile was kept. */
  keepBuffer(): void;
  /** Ends it at once (closes the connection, resets the stream); the user is not told. */
  destroy(): void;
}
