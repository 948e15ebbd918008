/** RouteFilter objects, each compiled once, and what is told of each: whether it can be used, and whether the Backends that it names are there. */
import { renderObjectProblem, type CompiledFilter } from '../../config/index.ts';
import type { BackendReferences } from './backend-references.ts';
import { nameOf } from './by-age.ts';
import { condition } from './conditions.ts';
import type { RouteFilterObject } from './objects.ts';
import type { StatusOf, TranslationSettings } from './translation.ts';

export type FoundFilter =
  /** There is no such object. */
  | { found: false }
  /** It can't be used; a sentence. */
  | { found: true; invalid: string }
  /** `missing`: Backends that it names and that are not there. */
  | { found: true; compiled: CompiledFilter; missing: string[] };

export class RouteFilters {
  readonly #objects: readonly RouteFilterObject[];
  readonly #filters = new Map<string, FoundFilter>();

  constructor(
    objects: readonly RouteFilterObject[],
    references: BackendReferences,
    { compiler }: Pick<TranslationSettings, 'compiler'>,
  ) {
    this.#objects = objects;
    for (const object of objects) {
      const { name, namespace = '' } = object.metadata;
      const compiled = compiler.routeFilter({ metadata: { name, namespace }, spec: object.spec });
      this.#filters.set(
        nameOf(object),
        'problems' in compiled
          ? { found: true, invalid: compiled.problems.map(renderObjectProblem).join('; ') }
          : { found: true, compiled, missing: compiled.backends.filter((backend) => !references.isBackend(backend)) },
      );
    }
  }

  /** `key`: NAMESPACE/NAME. */
  get(key: string): FoundFilter {
    return this.#filters.get(key) ?? { found: false };
  }

  statuses(): StatusOf[] {
    return this.#objects.map((object) => {
      const { generation } = object.metadata;
      const filter = this.get(nameOf(object)) as Exclude<FoundFilter, { found: false }>;
      const conditions =
        'invalid' in filter
          ? [condition('Accepted', false, 'Invalid', filter.invalid, generation)]
          : [
              condition('Accepted', true, 'Accepted', 'Rules that name it have it', generation),
              filter.missing.length === 0
                ? condition('ResolvedRefs', true, 'ResolvedRefs', 'Everything that it refers to is there', generation)
                : condition('ResolvedRefs', false, 'BackendNotFound', missingText(filter.missing), generation),
            ];
      return { kind: 'RouteFilter', object, status: { conditions } };
    });
  }
}

export function missingText(names: readonly string[]): string {
  return names.map((name) => `there is no Backend ${name}, or it is not accepted`).join('; ');
}
