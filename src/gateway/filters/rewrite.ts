import type { Filter, FilterContext } from './filter.ts';
import { compilePathChange, type PathChangeOptions } from './path-change.ts';
import { compileQueryChange, type QueryChangeOptions } from './query-change.ts';

export interface RewriteOptions {
  /** Sent as Host; absent: as received. */
  host?: string;
  path?: PathChangeOptions;
  query?: QueryChangeOptions;
}

/** Changes host, path and query on the way to the backend (Gateway API: URLRewrite). X-Forwarded-Host still tells the received host. */
export function rewrite(options: RewriteOptions, context: FilterContext): Filter {
  const { host } = options;
  const changePath = options.path === undefined ? null : compilePathChange(options.path, 'rewrite', context);
  const changeQuery = options.query === undefined ? null : compileQueryChange(options.query);
  return {
    request(edit) {
      if (host !== undefined) edit.setHost(host);
      if (changePath === null && changeQuery === null) return null;
      const path = changePath === null ? edit.path : changePath(edit.path);
      const query = changeQuery === null ? edit.query : changeQuery(edit.query);
      // `OPTIONS *` has neither path nor query to change.
      if (path !== '*') edit.setTarget(query === '' ? path : `${path}?${query}`);
      return null;
    },
  };
}
