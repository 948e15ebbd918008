import { hash } from 'node:crypto';

/** What is kept of an Idempotency-Key and of the body that came with it: hashes, since a body may have secrets. */
export interface Idempotency {
  key: string;
  body: string;
}

export function idempotencyOf(key: string, body: Record<string, unknown>): Idempotency {
  return { key: hash('sha256', key, 'hex'), body: hash('sha256', canonical(body), 'hex') };
}

/** The same text for the same content, in whatever order its keys stand. */
function canonical(value: unknown): string {
  return JSON.stringify(value, (_key, inner: unknown) =>
    typeof inner === 'object' && inner !== null && !Array.isArray(inner)
      ? Object.fromEntries(Object.entries(inner).sort(([a], [b]) => (a < b ? -1 : 1)))
      : inner,
  );
}
