/** What the configuration may name: the one place where filters, strategies and triggers meet their schemas. */
import type { ConfigRegistry } from '../config/index.ts';
import { strategies } from '../gateway/balancing/registry.ts';
import { filterSchemas } from '../gateway/filters/filters.schema.ts';
import { triggerSchemas } from '../triggers/triggers.schema.ts';

export function defaultRegistry(): ConfigRegistry {
  return { filters: filterSchemas, strategies: Object.keys(strategies), triggers: triggerSchemas };
}
