import { filterNames, loadFilters } from './registry.ts';

/** Every filter, for tests that choose among them. */
export const filters = await loadFilters(filterNames());
