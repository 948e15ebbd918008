import { z } from 'zod';
import type { ValueMatch } from '../../model/config.ts';
import { shown } from '../config-error.ts';
import { isMapping } from '../plain-data.ts';
import { didYouMean } from '../nearest.ts';
import { PLANNED_FILTERS, notYet } from '../not-yet-available.ts';
import { Rejected, TOKEN, hostPattern, name, number, regex, requestPath, scalar, section, text } from './scalars.ts';

/** Schemas of the filters by name; each checks what stands under that name. */
export type FilterSchemas = Readonly<Record<string, z.ZodType>>;

/** An entry of `routes:`. */
export function routeSchema(filters: FilterSchemas) {
  return section({
    name: name().optional(),
    listeners: z.array(name()).max(1000).prefault([]),
    hosts: z.array(hostPattern()).max(10_000).prefault([]),
    backend: name().optional(),
    rules: z.array(ruleSection(filters)).min(1).max(10_000).optional(),
  });
}

export type RouteEntry = z.output<ReturnType<typeof routeSchema>>;
export type RuleEntry = NonNullable<RouteEntry['rules']>[number];

function ruleSection(filters: FilterSchemas) {
  return section({
    matches: z.array(matchSection()).max(1000).prefault([]),
    filters: z.array(filterEntry(filters)).max(100).prefault([]),
    backends: z
      .array(section({ name: name(), weight: number({ min: 0, max: 1_000_000 }).prefault(1) }))
      .max(1000)
      .prefault([]),
    retry: section({
      attempts: number({ min: 1, max: 10 }).prefault(2),
    }).prefault({}),
  });
}

function matchSection() {
  return section({
    path: section({
      exact: requestPath().optional(),
      prefix: requestPath().optional(),
      regex: regex().optional(),
    }).prefault({ prefix: '/' }),
    methods: z.array(method()).max(100).prefault([]),
    headers: z.record(z.string().regex(TOKEN, 'not a header name').max(256), valueMatch()).prefault({}),
    query: z.record(z.string().min(1, 'expected a name').max(1024), valueMatch()).prefault({}),
  });
}

/** `value`, `{ exact: value }` or `{ regex: pattern }`. */
function valueMatch() {
  const value = text({ empty: true });
  return z.union([
    value.transform((exact): Omit<ValueMatch, 'name'> => ({ kind: 'exact', value: exact })),
    section({ exact: value.optional(), regex: regex().optional() }).transform(
      (match, context): Omit<ValueMatch, 'name'> => {
        if (match.exact !== undefined && match.regex === undefined) return { kind: 'exact', value: match.exact };
        if (match.regex !== undefined && match.exact === undefined) return { kind: 'regex', value: match.regex };
        context.issues.push({
          code: 'custom',
          message: 'needs exactly one of exact and regex',
          path: [],
          input: match,
        });
        return z.NEVER;
      },
    ),
  ]);
}

function method() {
  return scalar<string>({ type: 'string', pattern: TOKEN.source }, (value) => {
    if (typeof value !== 'string' || value.length > 64 || !TOKEN.test(value))
      return new Rejected(`${shown(value)} is not a method`);
    const upper = value.toUpperCase();
    return upper === 'CONNECT' ? new Rejected('CONNECT is never forwarded', 'remove it') : upper;
  });
}

/** The schema whose children are the registry's: known-keys.ts and json-schema.ts look for the `filters` in its meta data. */
export interface FilterEntryMeta {
  filterSchemas?: FilterSchemas;
}

/** `{ requestHeaders: { … } }`: a mapping of exactly one key, the filter's name. */
function filterEntry(filters: FilterSchemas) {
  return z
    .unknown()
    .meta({ filterSchemas: filters })
    .transform((value, context): { type: string; options: unknown } => {
      const refuse = (message: string, hint: string | undefined, path: string[] = []): never => {
        context.issues.push({ code: 'custom', message, path, input: value, params: { hint } });
        return z.NEVER;
      };
      const known = Object.keys(filters);
      if (typeof value === 'string') {
        const hint = known.includes(value) ? `write ${value}: { … }` : didYouMean(value, known);
        return refuse(`expected a mapping of one filter, got ${shown(value)}`, hint);
      }
      if (!isMapping(value))
        return refuse(`expected a mapping of one filter, got ${shown(value)}`, 'write - name: { … }');
      const names = Object.keys(value);
      if (names.length !== 1) {
        return refuse(`expected one filter, got ${names.length}`, 'give each filter a list item of its own');
      }
      const type = names[0]!;
      const schema = Object.hasOwn(filters, type) ? filters[type] : undefined;
      if (schema === undefined) {
        if (PLANNED_FILTERS.includes(type)) {
          const { message, hint } = notYet([]);
          return refuse(message, hint, [type]);
        }
        const hint = didYouMean(type, [...known, ...PLANNED_FILTERS]);
        return refuse('unknown filter', hint ?? (known.length > 0 ? `there are ${known.join(', ')}` : undefined), [
          type,
        ]);
      }
      const options = schema.safeParse(value[type]);
      if (options.success) return { type, options: options.data };
      for (const issue of options.error.issues) {
        context.issues.push({
          ...issue,
          path: [type, ...issue.path],
          input: issue.input,
        } as (typeof context.issues)[number]);
      }
      return z.NEVER;
    });
}
