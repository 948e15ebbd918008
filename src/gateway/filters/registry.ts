import type { FilterFactory, FilterRegistry } from './filter.ts';

/**
 * The filters by their names in the file. Another one is a file, its schema, and a line here and in filters.schema.ts. Each is loaded when a configuration uses
 * it: together they would cost every worker 10 MB.
 */
const LOADERS: Readonly<Record<string, () => Promise<FilterFactory>>> = {
  requestHeaders: async () => (await import('./request-headers.ts')).requestHeaders,
  responseHeaders: async () => (await import('./response-headers.ts')).responseHeaders,
  rewrite: async () => (await import('./rewrite.ts')).rewrite,
  redirect: async () => (await import('./redirect.ts')).redirect,
  rateLimit: async () => (await import('./rate-limit.ts')).rateLimit,
  concurrency: async () => (await import('./concurrency.ts')).concurrency,
  validate: async () => (await import('./validate.ts')).validate,
  body: async () => (await import('./body.ts')).body,
  compress: async () => (await import('./compress.ts')).compress,
  errorPages: async () => (await import('./error-pages.ts')).errorPages,
  mirror: async () => (await import('./mirror.ts')).mirror,
  cors: async () => (await import('./cors.ts')).cors,
  jwt: async () => (await import('./jwt.ts')).jwt,
  apiKey: async () => (await import('./api-key.ts')).apiKey,
  basic: async () => (await import('./basic.ts')).basic,
  forwardAuth: async () => (await import('./forward-auth.ts')).forwardAuth,
};

/** Loads those of these filters that are ours; others (of plugins, or unknown) are left out. */
export async function loadFilters(types: Iterable<string>): Promise<FilterRegistry> {
  const loaded: Record<string, FilterFactory> = {};
  for (const type of new Set(types)) if (Object.hasOwn(LOADERS, type)) loaded[type] = await LOADERS[type]!();
  return loaded;
}

export function filterNames(): string[] {
  return Object.keys(LOADERS);
}
