/** What both readers of YAML text hand on: mappings, lists, text, numbers, booleans, null, and values whose spelling matters. */

/** Levels of nesting; the deepest that a real file has is about 12. */
export const MAX_DEPTH = 64;

/** Values in one file, aliases expanded: room for 100,000 backends. */
export const MAX_VALUES = 4_000_000;

/**
 * A number or boolean whose text is not what JavaScript would print (`0x10`, `1.10`, `True`): where text is wanted (arguments, environment) the
 * spelling counts.
 */
export class AsWritten {
  readonly value: number | boolean;
  readonly source: string;

  constructor(value: number | boolean, source: string) {
    this.value = value;
    this.source = source;
  }
}

export type Mapping = Record<string, unknown>;

export function isMapping(value: unknown): value is Mapping {
  return typeof value === 'object' && value !== null && !Array.isArray(value) && !(value instanceof AsWritten);
}
