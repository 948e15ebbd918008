import { z } from 'zod';
import type { RetryCondition } from '../../model/config.ts';
import { shown } from '../config-error.ts';
import { didYouMean } from '../nearest.ts';
import { clientsSection } from './clients.ts';
import { partEntry, type PartSchemas } from './named-parts.ts';
import { matchSection } from './match.ts';
import { Rejected, duration, hostPattern, name, number, percent, scalar, section, TIMER_MS } from './scalars.ts';

/** An entry of `routes:`. */
export function routeSchema(filters: PartSchemas) {
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

/** An item of a rule's filters. */
export function filterEntry(filters: PartSchemas) {
  return partEntry('filter', filters, {});
}

function ruleSection(filters: PartSchemas) {
  return section({
    matches: z.array(matchSection()).max(1000).prefault([]),
    filters: z.array(filterEntry(filters)).max(100).prefault([]),
    backends: z
      .array(section({ name: name(), weight: number({ min: 0, max: 1_000_000 }).prefault(1) }))
      .max(1000)
      .prefault([]),
    timeouts: timeoutsSection().prefault({}),
    retry: retrySection().prefault({}),
    webSocket: webSocketSection().prefault({}),
    sse: sseSection().prefault({}),
  });
}

export function timeoutsSection() {
  return section({
    request: duration({ maxMs: TIMER_MS }).prefault('0s'),
    perTry: duration({ maxMs: TIMER_MS }).prefault('0s'),
    idle: duration().prefault('0s'),
  });
}

export function retrySection() {
  return section({
    attempts: number({ min: 1, max: 10 }).prefault(2),
    on: z.array(retryCondition()).max(10).prefault(['connect']),
    backoff: duration({ maxMs: 60_000 }).prefault('25ms'),
    budgetPercent: percent({ min: 0, max: 100 }).prefault(20),
  });
}

export function webSocketSection() {
  return section({ idle: duration().prefault('0s'), ping: duration().prefault('30s') });
}

export function sseSection() {
  return section({ heartbeat: duration().prefault('15s'), retry: duration().prefault('3s') });
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
