import type { Filter } from './filter.ts';
import { compileHeaderChange, type HeaderChangeOptions } from './header-change.ts';

/** Sets, adds and removes request headers (Gateway API: RequestHeaderModifier). */
export function requestHeaders(options: HeaderChangeOptions): Filter {
  const change = compileHeaderChange(options);
  if (change === null) return {};
  return {
    request(edit) {
      edit.apply(change);
      return null;
    },
  };
}
