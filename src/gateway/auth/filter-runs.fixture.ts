/** Runs of filters that authenticate: with services, a clock and a log of the test. */
import type { FilterConfig } from '../../model/config.ts';
import type { Clock, Logger } from '../../model/ports.ts';
import { compileFilters, type CompiledFilters } from '../filters/compile-filters.ts';
import { RequestEdit } from '../filters/edits.ts';
import type { Answer, FilterServices, Verdict } from '../filters/filter.ts';
import { filterContext, filterServices } from '../filters/filters.fixture.ts';
import { filters as registry } from '../filters/all-filters.fixture.ts';
import { requestView, type ViewParts } from '../request-view.fixture.ts';

export interface Run {
  status: number;
  answer: Answer | null;
  /** Header lines that the backend gets, without Host. */
  lines: string[];
  target: string;
  identity: string;
  claims: Readonly<Record<string, unknown>> | null;
  responseLines: string;
  loggedTarget: string | null;
  /** The verdict came without a promise. */
  sync: boolean;
}

/** Wall clock and monotonic time in one, moved by the test. */
export class HandClock implements Clock {
  ms: number;

  constructor(ms = Date.UTC(2026, 10, 21)) {
    this.ms = ms;
  }

  nowMs(): number {
    return this.ms;
  }

  wallMs(): number {
    return this.ms;
  }
}

/** Keeps what was logged. */
export class LogLines implements Logger {
  readonly lines: { message: string; fields: Record<string, unknown> }[] = [];
  debug = this.#take.bind(this);
  info = this.#take.bind(this);
  warn = this.#take.bind(this);
  error = this.#take.bind(this);

  child(): Logger {
    return this;
  }

  #take(message: string, fields: Record<string, unknown> = {}): void {
    this.lines.push({ message, fields });
  }
}

export class FilterRuns {
  readonly services: FilterServices;
  readonly compiled: CompiledFilters;
  readonly log = new LogLines();

  constructor(configs: FilterConfig[], more: Partial<FilterServices> = {}) {
    this.services = filterServices({ logger: this.log, ...more });
    this.compiled = compileFilters(configs, registry, filterContext(), this.services);
  }

  /** What the filters make of a request, unfinished. */
  begin(parts: ViewParts = {}): { edit: RequestEdit; verdict: Verdict } {
    const edit = new RequestEdit();
    edit.begin(requestView(parts), '192.0.2.1', 'https');
    return { edit, verdict: this.compiled.request!(edit) };
  }

  async run(parts: ViewParts = {}): Promise<Run> {
    const { edit, verdict } = this.begin(parts);
    const answer = await verdict;
    const { view } = edit;
    const lines: string[] = [];
    for (let i = 0; i < view.count; i++)
      if (!edit.removes(view, i)) lines.push(`${view.nameAt(i)}: ${view.valueAt(i)}`);
    for (const over of edit.ends ?? []) over();
    return {
      status: answer?.status ?? 0,
      answer,
      lines: lines.filter((line) => !line.startsWith('Host:')).concat(edit.append.split('\r\n').slice(0, -1)),
      target: edit.target ?? view.target,
      identity: edit.identity,
      claims: edit.claims,
      responseLines: edit.responseLines,
      loggedTarget: edit.loggedTarget,
      sync: !(verdict instanceof Promise),
    };
  }

  bearer(token: string, parts: ViewParts = {}): Promise<Run> {
    return this.run({ ...parts, headers: [['Authorization', `Bearer ${token}`], ...(parts.headers ?? [])] });
  }

  /** The configuration is replaced. */
  close(): void {
    this.compiled.retire();
  }
}
