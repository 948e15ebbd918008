/**
 * What a filter is. A filter is one file: a factory that is called when the configuration changes and gives the functions that run per
 * request, a `*.schema.ts` beside it with the schema of its options (kept apart, since workers don't load zod), and a line in registry.ts and
 * in filters.schema.ts. Packages that only one filter needs are loaded by it with `import()` when it is first compiled or used.
 */
import type { MatchConfig } from '../../model/config.ts';
import type { Clock, Logger, RandomSource } from '../../model/ports.ts';
import type { SharedLimits } from '../limits/shared-limits.ts';
import type { RequestEdit, ResponseEdit } from './edits.ts';
import type { KeptParts } from './kept-parts.ts';

/** A response that a filter gives instead of the backend. */
export interface Answer {
  status: number;
  /** Header lines, each ended by CR LF. Length, date and connection are added by who sends it. */
  headers: string;
  /** May be empty. */
  body: string;
}

/** A copy of the request that goes to another backend too; its response is read and thrown away. */
export interface MirrorTarget {
  backend: string;
  /** Share of the requests, over 0 to 100. */
  percent: number;
}

/**
 * What a request step says: an answer ends the request, null goes on. A promise holds the request meanwhile (its body is read ahead to a
 * bound); `edit` stays good until it settles. It must settle: every wait in it has a bound. One that rejects is answered 500.
 */
export type Verdict = Answer | null | Promise<Answer | null>;

/** A step that needs the whole request body. It runs after all `request` steps of the rule, in the order of the file. */
export interface BodyStep {
  /** A longer body is answered 413. */
  limitBytes: number;
  /** Whether this request's body is needed (say its content type); asked once the head is there. */
  wants(edit: RequestEdit): boolean;
  /** `body`: decoded from its transfer coding. A Buffer is sent instead of it; null: as it is. */
  run(edit: RequestEdit, body: Buffer): Answer | Buffer | null | Promise<Answer | Buffer | null>;
}

/** Each part is left out when the filter has nothing to do there, so that the data path skips it. */
export interface Filter {
  /** Runs before a backend is chosen. */
  request?: (edit: RequestEdit) => Verdict;
  body?: BodyStep;
  /**
   * Runs when the head of the final response is there (not for 1xx), be it the backend's or the gateway's own (`edit.own`). Must not wait.
   */
  response?: (edit: ResponseEdit) => void;
  /**
   * Asks for a copy of each request that no filter answered. The copy has the head as the backend gets it; it never wakes anybody, never
   * delays the request and is dropped when the mirror can't follow.
   */
  mirror?: MirrorTarget;
  /** The configuration that it belongs to has been replaced and its last request is over: end timers and connections. */
  close?: () => void;
}

/** A request of the gateway itself. */
export interface SideRequest {
  method: string;
  /** Origin form. */
  target: string;
  host: string;
  /** Header lines, each ended by CR LF, without Host and framing. */
  headers: string;
  body: Buffer | null;
  /** The address of the client on whose behalf it is. */
  client: string;
}

export interface SideResponse {
  status: number;
  /** Value of the first line with this lower-case name. */
  header(lowerName: string): string | undefined;
  /** All lines in order. */
  headers: readonly (readonly [name: string, value: string])[];
  body: Buffer;
}

/** What the gateway offers to filters. */
export interface FilterServices {
  readonly clock: Clock;
  readonly logger: Logger;
  readonly random: RandomSource;
  /** Rate and concurrency limits that count across workers (and gateways). */
  readonly limits: SharedLimits;
  /** What filters share among each other and with those of the next configuration; one for the life of the gateway. */
  readonly kept: KeptParts;
  /**
   * Asks a backend of this configuration, which is woken and waited for like for any request. Where a client would get an answer of the gateway itself (no
   * room to wait, no connection), so does the caller: 502, 503 or 504. Rejects with a DormouseError when there is no such backend, when the answer breaks off
   * or has more than 1 MiB, and with the signal's reason.
   */
  call(backend: string, request: SideRequest, signal: AbortSignal): Promise<SideResponse>;
}

/** Where a filter stands. */
export interface FilterContext {
  route: string;
  ruleIndex: number;
  /** The match that leads here: filters are compiled once per match. */
  match: MatchConfig;
  /** Position among the rule's filters. */
  index: number;
  /** The backends of the rule. */
  backends: readonly { name: string; weight: number }[];
  services: FilterServices;
}

/** `options` is what the filter's schema made of the file. Throws a DormouseError when the filter can't stand at this place. */
export type FilterFactory = (options: never, context: FilterContext) => Filter;

export type FilterRegistry = Readonly<Record<string, FilterFactory>>;
