/** Lets known tenants pass, tells the backend who they are, and answers everybody else. */
import type { FilterDefinition, PluginFilter } from 'dormouse/plugin';
import { mapping } from './options.ts';

interface TenantOptions {
  /** The header that names the tenant. */
  header: string;
  tenants: string[];
}

export const tenant: FilterDefinition = {
  options: (given): TenantOptions => {
    const { header = 'x-tenant', tenants } = mapping(given, ['header', 'tenants']);
    if (typeof header !== 'string' || !/^[\w-]+$/.test(header)) throw new Error('header: expected a header name');
    if (!Array.isArray(tenants) || tenants.length === 0 || !tenants.every((name) => typeof name === 'string'))
      throw new Error('tenants: expected a list of names');
    return { header: header.toLowerCase(), tenants };
  },
  create({ header, tenants }: TenantOptions, { logger }): PluginFilter {
    const known = new Set(tenants);
    logger.debug('tenants are known', { tenants: known.size });
    return {
      // Before a backend is chosen: who is refused wakes nobody.
      request(edit) {
        const name = edit.view.value(header) ?? '';
        if (!known.has(name)) {
          return {
            status: 404,
            headers: { 'content-type': 'application/problem+json', vary: header },
            body: JSON.stringify({ type: 'about:blank', title: 'Unknown tenant', status: 404 }),
          };
        }
        edit.identity = name;
        edit.setHeader('x-tenant-name', name);
        return null;
      },
      response(edit) {
        edit.addHeader('x-served-for', edit.view.value(header) ?? 'nobody');
      },
    };
  },
};
