import type { FilterRegistry } from './filter.ts';
import { redirect } from './redirect.ts';
import { requestHeaders } from './request-headers.ts';
import { responseHeaders } from './response-headers.ts';
import { rewrite } from './rewrite.ts';

/** The filters by their names in the file. Another one is a file, its schema, and a line here and in filters.schema.ts. */
export const filters: FilterRegistry = { requestHeaders, responseHeaders, rewrite, redirect };
