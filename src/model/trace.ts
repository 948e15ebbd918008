/** One request as a gateway recorded it, on its way to whoever exports it. Plain data that survives JSON. */
export interface TraceRecord {
  /** 32 lower-case hex digits. */
  traceId: string;
  /** 16 lower-case hex digits: of the gateway's own span. */
  spanId: string;
  /** The caller's span; '' when the trace began here. */
  parentSpanId: string;
  tracestate: string;
  /** Wall clock ms of its first byte. */
  startedAtMs: number;
  durationMs: number;
  method: string;
  path: string;
  host: string;
  client: string;
  /** 0: the client got none. */
  status: number;
  route: string;
  backend: string;
  endpoint: string;
  outcome: string;
  requestId: string;
  attempts: number;
  coldStart: boolean;
  spans: TraceSpan[];
}

/** A part of it. Times are ms after the request's first byte; `accept` begins before it. */
export interface TraceSpan {
  /** accept, filter, hold, wake, balance (routing and the choice of an endpoint), connect, first byte, body. */
  name: string;
  /** 16 lower-case hex digits where somebody else refers to it (the one that the endpoint is told), else ''. */
  spanId: string;
  fromMs: number;
  toMs: number;
  /** Of a filter its name, of a connect `new` or `kept`; '' otherwise. */
  detail: string;
}

/** Takes what gateways recorded. Must not wait. */
export interface TraceSink {
  /** `gateway`: the worker or pod. `dropped`: records that it had no room for. */
  traces(gateway: string, records: readonly TraceRecord[], dropped: number): void;
}
