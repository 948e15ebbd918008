import type { Filter, FilterContext } from './filter.ts';
import { compilePathChange, type PathChangeOptions } from './path-change.ts';

export interface RewriteOptions {
  /** Sent as Host; absent: as received. */
  host?: string;
  path?: PathChangeOptions;
}

/** Changes host and path on the way to the backend (Gateway API: URLRewrite). X-Forwarded-Host still tells the received host. */
export function rewrite(options: RewriteOptions, context: FilterContext): Filter {
  const { host } = options;
  const change = options.path === undefined ? null : compilePathChange(options.path, 'rewrite', context);
  return {
    request(edit) {
      if (host !== undefined) edit.setHost(host);
      if (change !== null) {
        const path = change(edit.path);
        edit.setTarget(edit.view.query === '' ? path : `${path}?${edit.view.query}`);
      }
      return null;
    },
  };
}
