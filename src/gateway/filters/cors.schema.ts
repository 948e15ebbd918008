import { z } from 'zod';
import { Rejected, TOKEN, duration, scalar, toggle } from '../../config/schema/scalars.ts';
import type { CorsOptions } from './cors.ts';

const ORIGIN = /^([a-z][a-z0-9+.-]*):\/\/((?:\*\.)?[a-z0-9_-]+(?:\.[a-z0-9_-]+)*|\[[0-9a-f:.]+\])(?::(\d{1,5}))?$/;

const origin = scalar<string>({ type: 'string' }, (value) => {
  const hint = 'write scheme://host[:port], scheme://*.domain, or "*" alone';
  if (typeof value !== 'string' || value.length > 512) return new Rejected('expected an origin', hint);
  if (value === '*' || value === 'null') return value;
  const match = ORIGIN.exec(value.toLowerCase());
  if (match === null || Number(match[3] ?? 1) > 65_535 || Number(match[3] ?? 1) < 1)
    return new Rejected(
      `"${value}" is not an origin`,
      /^https?:\/\/[^/]+\//i.test(value) ? 'leave the path away' : hint,
    );
  const [, scheme, host, port] = match as unknown as [string, string, string, string | undefined];
  const standard = (scheme === 'http' && Number(port) === 80) || (scheme === 'https' && Number(port) === 443);
  return `${scheme}://${host}${port === undefined || standard ? '' : `:${Number(port)}`}`;
});

const names = (what: string, otherwise: string[]) =>
  z
    .array(z.string().max(256).regex(TOKEN, `not ${what}`))
    .max(100)
    .prefault(otherwise)
    .refine((values) => !values.includes('*') || values.length === 1, '"*" stands for all: write it alone');

export const corsSchema = z
  .strictObject({
    origins: z
      .array(origin)
      .min(1, 'which origins may read responses, e.g. [https://app.example.com]')
      .max(1000)
      .refine((values) => !values.includes('*') || values.length === 1, '"*" stands for all: write it alone'),
    methods: names('a method', ['GET', 'HEAD', 'POST']),
    headers: names('a header name', []),
    exposed: names('a header name', []),
    credentials: toggle().prefault('off'),
    maxAge: duration({ maxMs: 86_400_000 }).prefault('10m'),
  })
  .superRefine((given, context) => {
    if (!given.credentials) return;
    for (const key of ['origins', 'methods', 'headers', 'exposed'] as const) {
      if (!given[key].includes('*')) continue;
      const message = 'with credentials "*" is refused by browsers, and any site could act for a user: list them';
      context.addIssue({ code: 'custom', path: [key], message });
    }
  })
  .transform(({ maxAge, ...given }): CorsOptions => ({ ...given, maxAgeSeconds: Math.floor(maxAge / 1000) }));
