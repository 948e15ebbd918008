import type { FilterConfig } from '../../model/config.ts';
import { DormouseError } from '../../model/errors.ts';
import type { RequestEdit, ResponseEdit } from './edits.ts';
import type { Answer, Filter, FilterContext, FilterRegistry, MirrorTarget } from './filter.ts';

export interface CompiledFilters {
  /** null: nothing to do on this side, so the data path skips it altogether. */
  request: ((edit: RequestEdit) => Answer | null) | null;
  response: ((edit: ResponseEdit) => void) | null;
  /** Backends that filters ask to send a copy to. */
  mirrors: readonly MirrorTarget[];
  /** In order, for status and traces. */
  names: string[];
}

/**
 * The filters of one match as one function per side; both run in the order of the file. Throws a DormouseError when a filter is unknown
 * (DORMOUSE_FILTER_UNKNOWN) or can't stand here.
 */
export function compileFilters(
  filters: readonly FilterConfig[],
  registry: FilterRegistry,
  context: FilterContext,
): CompiledFilters {
  const made = filters.map(({ type, options }): Filter => {
    const factory = Object.hasOwn(registry, type) ? registry[type] : undefined;
    if (factory === undefined) {
      throw new DormouseError(
        'DORMOUSE_FILTER_UNKNOWN',
        `routes.${context.route}.rules[${context.ruleIndex}].filters: there is no filter "${type}"; known are ${Object.keys(registry).join(', ')}`,
        { userFault: true },
      );
    }
    return factory(options as never, context);
  });
  return {
    request: inOrder(made.flatMap((filter) => filter.request ?? [])),
    response: all(made.flatMap((filter) => filter.response ?? [])),
    mirrors: made.flatMap((filter) => filter.mirror ?? []),
    names: filters.map((filter) => filter.type),
  };
}

/** Until one answers. */
function inOrder(steps: readonly ((edit: RequestEdit) => Answer | null)[]): CompiledFilters['request'] {
  if (steps.length <= 1) return steps[0] ?? null;
  return (edit) => {
    for (let i = 0; i < steps.length; i++) {
      const answer = steps[i]!(edit);
      if (answer !== null) return answer;
    }
    return null;
  };
}

function all(steps: readonly ((edit: ResponseEdit) => void)[]): CompiledFilters['response'] {
  if (steps.length <= 1) return steps[0] ?? null;
  return (edit) => {
    for (let i = 0; i < steps.length; i++) steps[i]!(edit);
  };
}
