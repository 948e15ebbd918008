import type { Filter, MirrorTarget } from './filter.ts';

/** Sends a copy of a share of the requests to another backend, whose responses are thrown away. */
export function mirror({ backend, percent }: MirrorTarget): Filter {
  return { mirror: { backend, percent } };
}
