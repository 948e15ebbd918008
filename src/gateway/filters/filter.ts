/**
 * What a filter is. A filter is one file: a factory that is called when the configuration changes and gives the functions that run per
 * request, a `*.schema.ts` beside it with the schema of its options (kept apart, since workers don't load zod), and a line in registry.ts and
 * in filters.schema.ts.
 */
import type { MatchConfig } from '../../model/config.ts';
import type { RequestEdit, ResponseEdit } from './edits.ts';

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

/** Each part is left out when the filter has nothing to do there, so that the data path skips it. */
export interface Filter {
  /** Runs before a backend is chosen. An answer ends the request; null goes on. Must not wait. */
  request?: (edit: RequestEdit) => Answer | null;
  /** Runs when the head of the backend's final response is there (not for 1xx). Must not wait. */
  response?: (edit: ResponseEdit) => void;
  /**
   * Asks for a copy of each request that no filter answered. The copy has the head as the backend gets it; it never wakes anybody, never
   * delays the request and is dropped when the mirror can't follow.
   */
  mirror?: MirrorTarget;
}

/** Where a filter stands. The router's RuleTarget is one. */
export interface FilterContext {
  route: string;
  ruleIndex: number;
  /** The match that leads here: filters are compiled once per match. */
  match: MatchConfig;
}

/** `options` is what the filter's schema made of the file. Throws a DormouseError when the filter can't stand at this place. */
export type FilterFactory = (options: never, context: FilterContext) => Filter;

export type FilterRegistry = Readonly<Record<string, FilterFactory>>;
