import type { FilterConfig, MatchConfig } from '../../model/config.ts';
import { DormouseError } from '../../model/errors.ts';
import type { RequestTrace } from '../tracing/tracer.ts';
import type { RequestEdit, ResponseEdit } from './edits.ts';
import type { Answer, BodyStep, Filter, FilterRegistry, FilterServices, MirrorTarget, Verdict } from './filter.ts';

/** The filters of one match. A null part: nothing to do there, so the data path skips it altogether. */
export class CompiledFilters {
  readonly request: ((edit: RequestEdit) => Verdict) | null;
  /** The same, and tells the trace how long each filter took. */
  readonly tracedRequest: ((edit: RequestEdit, trace: RequestTrace, nowMs: () => number) => Verdict) | null;
  readonly bodySteps: readonly BodyStep[] | null;
  /** What each of them belongs to, for traces. */
  readonly bodyStepNames: ReadonlyMap<BodyStep, string>;
  readonly response: ((edit: ResponseEdit) => void) | null;
  /** The same, and tells the trace how long each filter took. */
  readonly tracedResponse: ((edit: ResponseEdit, trace: RequestTrace, nowMs: () => number) => void) | null;
  /** Backends that filters ask to send a copy to. */
  readonly mirrors: readonly MirrorTarget[] | null;
  /** In order, for status and traces. */
  readonly names: readonly string[];
  private readonly made: readonly Filter[];
  private users = 0;
  private retired = false;

  constructor(names: readonly string[], made: readonly Filter[]) {
    const steps = made.flatMap((filter, index): RequestStep[] =>
      filter.request === undefined ? [] : [{ name: names[index]!, run: filter.request }],
    );
    const bodySteps = made.flatMap((filter) => filter.body ?? []);
    const mirrors = made.flatMap((filter) => filter.mirror ?? []);
    this.request = inOrder(steps);
    this.tracedRequest = steps.length === 0 ? null : (edit, trace, nowMs) => runTraced(steps, 0, edit, trace, nowMs);
    this.bodySteps = bodySteps.length === 0 ? null : bodySteps;
    this.bodyStepNames = new Map(
      made.flatMap((filter, index) => (filter.body === undefined ? [] : [[filter.body, names[index]!]])),
    );
    const responses = made.flatMap((filter, index): ResponseStep[] =>
      filter.response === undefined ? [] : [{ name: names[index]!, run: filter.response }],
    );
    this.response = all(responses.map((step) => step.run));
    this.tracedResponse =
      responses.length === 0 ? null : (edit, trace, nowMs) => runResponsesTraced(responses, edit, trace, nowMs);
    this.mirrors = mirrors.length === 0 ? null : mirrors;
    this.names = names;
    this.made = made;
  }

  /** No filter sees a request before it is sent. */
  get passive(): boolean {
    return this.request === null && this.bodySteps === null;
  }

  enter(): void {
    this.users++;
  }

  leave(): void {
    this.users--;
    if (this.retired && this.users === 0) this.close();
  }

  /** The configuration was replaced: the filters are closed when the last request that is among them is over. */
  retire(): void {
    this.retired = true;
    if (this.users === 0) this.close();
  }

  private close(): void {
    for (const filter of this.made) filter.close?.();
  }
}

/** Where a list of filters stands; the router's RuleTarget is one. */
export interface FilterPlace {
  route: string;
  ruleIndex: number;
  match: MatchConfig;
  backends: readonly { name: string; weight: number }[];
}

interface RequestStep {
  name: string;
  run: (edit: RequestEdit) => Verdict;
}

interface ResponseStep {
  name: string;
  run: (edit: ResponseEdit) => void;
}

/**
 * The filters of one match as one function per side; both run in the order of the file. Throws a DormouseError when a filter is unknown
 * (DORMOUSE_FILTER_UNKNOWN) or can't stand here.
 */
export function compileFilters(
  filters: readonly FilterConfig[],
  registry: FilterRegistry,
  place: FilterPlace,
  services: FilterServices,
): CompiledFilters {
  const { route, ruleIndex, match, backends } = place;
  const made: Filter[] = [];
  try {
    for (const [index, { type, options }] of filters.entries()) {
      const factory = Object.hasOwn(registry, type) ? registry[type] : undefined;
      if (factory === undefined) {
        throw new DormouseError(
          'DORMOUSE_FILTER_UNKNOWN',
          `routes.${route}.rules[${ruleIndex}].filters: there is no filter "${type}"; known are ${Object.keys(registry).join(', ')}`,
          { userFault: true },
        );
      }
      made.push(factory(options as never, { route, ruleIndex, match, index, backends, services }));
    }
  } catch (error) {
    for (const filter of made) filter.close?.();
    throw error;
  }
  return new CompiledFilters(
    filters.map((filter) => filter.type),
    made,
  );
}

/** Until one answers. */
function inOrder(steps: readonly RequestStep[]): CompiledFilters['request'] {
  if (steps.length === 0) return null;
  if (steps.length === 1) return steps[0]!.run;
  return (edit) => runFrom(steps, 0, edit);
}

function runFrom(steps: readonly RequestStep[], from: number, edit: RequestEdit): Verdict {
  for (let i = from; i < steps.length; i++) {
    const verdict = steps[i]!.run(edit);
    if (verdict === null) continue;
    if (!(verdict instanceof Promise)) return verdict;
    return verdict.then((answer) => answer ?? (edit.abandoned ? null : runFrom(steps, i + 1, edit)));
  }
  return null;
}

function runTraced(
  steps: readonly RequestStep[],
  from: number,
  edit: RequestEdit,
  trace: RequestTrace,
  nowMs: () => number,
): Verdict {
  for (let i = from; i < steps.length; i++) {
    const { name, run } = steps[i]!;
    const fromMs = nowMs();
    const verdict = run(edit);
    if (!(verdict instanceof Promise)) {
      trace.filter(name, fromMs, nowMs());
      if (verdict === null) continue;
      return verdict;
    }
    return verdict.then((answer): Answer | null | Promise<Answer | null> => {
      trace.filter(name, fromMs, nowMs());
      return answer ?? (edit.abandoned ? null : runTraced(steps, i + 1, edit, trace, nowMs));
    });
  }
  return null;
}

function runResponsesTraced(
  steps: readonly ResponseStep[],
  edit: ResponseEdit,
  trace: RequestTrace,
  nowMs: () => number,
): void {
  for (const { name, run } of steps) {
    const fromMs = nowMs();
    run(edit);
    trace.responseFilter(name, fromMs, nowMs());
  }
}

function all(steps: readonly ((edit: ResponseEdit) => void)[]): CompiledFilters['response'] {
  if (steps.length <= 1) return steps[0] ?? null;
  return (edit) => {
    for (let i = 0; i < steps.length; i++) steps[i]!(edit);
  };
}
