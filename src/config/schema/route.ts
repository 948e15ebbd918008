import { z } from 'zod';
import type { RetryCondition } from '../../model/config.ts';
import { shown } from '../config-error.ts';
import { isMapping } from '../plain-data.ts';
import { didYouMean } from '../nearest.ts';
import { PLANNED_FILTERS, notYet } from '../not-yet-available.ts';
import { clientsSection } from './clients.ts';
import { matchSection } from './match.ts';
import { Rejected, duration, hostPattern, name, number, percent, scalar, section } from './scalars.ts';

/** Schemas of the filters by name; each checks what stands under that name. */
export type FilterSchemas = Readonly<Record<string, z.ZodType>>;

/** An entry of `routes:`. */
export function routeSchema(filters: FilterSchemas) {
  return section({
    name: name().optional(),
    listeners: z.array(name()).max(1000).prefault([]),
    hosts: z.array(hostPattern()).max(10_000).prefault([]),
    clients: clientsSection(),
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
    timeouts: section({
      request: duration().prefault('0s'),
      perTry: duration().prefault('0s'),
      idle: duration().prefault('0s'),
    }).prefault({}),
    retry: section({
      attempts: number({ min: 1, max: 10 }).prefault(2),
      on: z.array(retryCondition()).max(10).prefault(['connect']),
      backoff: duration({ maxMs: 60_000 }).prefault('25ms'),
      budgetPercent: percent({ min: 0, max: 100 }).prefault(20),
    }).prefault({}),
    webSocket: section({
      idle: duration().prefault('0s'),
      ping: duration().prefault('30s'),
    }).prefault({}),
    sse: section({
      heartbeat: duration().prefault('15s'),
      retry: duration().prefault('3s'),
    }).prefault({}),
  });
}

/** Named as in RetryCondition; a status may be written as a number. */
function retryCondition() {
  const known: readonly RetryCondition[] = ['connect', 'reset', 'timeout', '5xx', '502', '503', '504'];
  return scalar<RetryCondition>({ enum: [...known, 502, 503, 504] }, (value) => {
    const written = typeof value === 'number' ? String(value) : value;
    const found = known.find((condition) => condition === written);
    if (found !== undefined) return found;
    const hint = typeof value === 'string' ? didYouMean(value, known) : undefined;
    return new Rejected(`${shown(value)} is nothing to retry on`, hint ?? `there are ${known.join(', ')}`);
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
