/** What the configuration may name: the one place where filters and strategies meet their schemas. */
import type { ConfigRegistry } from '../config/index.ts';
import { strategies } from '../gateway/balancing/registry.ts';
import { filterSchemas } from '../gateway/filters/filters.schema.ts';

export function defaultRegistry(): ConfigRegistry {
  return { filters: filterSchemas, strategies: Object.keys(strategies) };
}
