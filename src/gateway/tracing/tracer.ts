import type { RequestHead } from '../../http1/request-head.ts';

/** What is known of an exchange when its trace ends. */
export interface TracedExchange {
  readonly route: string;
  readonly endpoint: string;
  readonly method: string;
  readonly path: string;
  readonly host: string;
  readonly client: string;
  /** 0: the client got none. */
  readonly status: number;
  readonly outcome: string;
  readonly attempts: number;
  readonly coldStart: boolean;
  readonly requestId: string;
}

/** Where a request went, for who reads its times. */
export interface TracePlace {
  readonly listener: string;
  readonly route: string;
  /** '' when it came to none. */
  readonly backend: string;
}

/** The times of one request, told as they happen. All times are monotonic ms. Only sampled requests have one, so that others pay for a null check. */
export interface RequestTrace {
  /** Received lines (lower-case names) that go no further, and what the endpoint is told instead, each ended by CR LF. */
  readonly removes: readonly string[];
  readonly upstreamLines: string;
  /** A filter ran. Asynchronous ones: until it settled. */
  filter(name: string, fromMs: number, toMs: number): void;
  /** The body was read, since filters want the whole of it. */
  collected(fromMs: number, toMs: number): void;
  /** A filter worked on the head of the response. */
  responseFilter(name: string, fromMs: number, toMs: number): void;
  /** It had waited for an endpoint. `wake`: the backend was not awake when it came. */
  held(fromMs: number, toMs: number, wake: boolean): void;
  /** An endpoint was chosen. */
  attempt(endpoint: string, atMs: number): void;
  /** A connection is there, kept or new, and the request is being sent. */
  connected(atMs: number): void;
  /** The head of the final response is there. */
  answered(atMs: number): void;
  /** The lines that the response gets, each ended by CR LF; '' when none are wanted. */
  responseLines(atMs: number, place: TracePlace): string;
  /** `backend`: '' when the request came to none. */
  end(atMs: number, exchange: TracedExchange, backend: string): void;
}

export interface Tracer {
  /** null: this request is not recorded. `startedMs`: of its first byte; `acceptedMs`: of its connection, when it is the first on it, else -1. */
  begin(head: RequestHead, startedMs: number, acceptedMs: number): RequestTrace | null;
}
