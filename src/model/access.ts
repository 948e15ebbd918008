/**
 * One finished exchange as the gateway tells it to the access log. The gateway reuses one object for all exchanges of a connection: a
 * sink reads it during the call and keeps nothing of it.
 */
export interface AccessRecord {
  /** Wall clock ms at which the request's first byte was seen. */
  startedAtMs: number;
  durationMs: number;
  /** Time spent waiting for an endpoint, ms; 0 when it went straight through. */
  heldMs: number;
  /** The resolved client address. */
  client: string;
  method: string;
  /** Raw request target. */
  target: string;
  host: string;
  /** 0 or 1: HTTP/1.x. RAW: a raw connection; it has no method, target and status, and `host` is the name of its ClientHello. */
  minor: number;
  /** Status that the client got; 0 when it got none. */
  status: number;
  requestBytes: number;
  responseBytes: number;
  route: string;
  backend: string;
  endpoint: string;
  requestId: string;
  coldStart: boolean;
  /** Number of endpoint attempts. */
  attempts: number;
  /** Empty when all went well; otherwise a short stable word (see docs/access-log.md). */
  outcome: string;
  /** The request head as received, for sinks that log headers. */
  userAgent: string;
  referer: string;
}

/** `minor` of a request by HTTP/2. */
export const HTTP2 = 2;
/** `minor` of a raw connection. */
export const RAW = -1;

export interface AccessLog {
  /** Must not throw and must not wait. */
  record(entry: AccessRecord): void;
  /** Writes what is buffered. Resolves when it is on its way to the file. */
  close(): Promise<void>;
}

export const noAccessLog: AccessLog = { record() {}, close: async () => {} };
