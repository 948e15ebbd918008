import type { Filter } from './filter.ts';
import { compileHeaderChange, type HeaderChangeOptions } from './header-change.ts';

/** Sets, adds and removes response headers (Gateway API: ResponseHeaderModifier). */
export function responseHeaders(options: HeaderChangeOptions): Filter {
  const change = compileHeaderChange(options);
  return change === null ? {} : { response: (edit) => edit.apply(change) };
}
