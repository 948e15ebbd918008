import { z } from 'zod';
import { MAX_ANSWER_BYTES } from './resilience.ts';
import { longValueMatch, matchSection } from './match.ts';
import type { ValueMatch } from '../../model/config.ts';
import { RE2JS } from 're2js';
import { networks } from './clients.ts';
import { wakeBefore } from './idle.ts';
import { duration, name, number, responseHeaders, section, size, text, toggle } from './scalars.ts';

/** `wake:` of a backend. */
export function wakeSection() {
  return section({
    timeout: duration({ minMs: 1 }).optional(),
    maxHeld: number({ min: 0, max: 1_000_000 }).prefault(1000),
    maxHeldBytes: size({ min: 0, max: 2 ** 36 }).prefault('64MiB'),
    with: z.array(name()).max(100).prefault([]),
    page: toggle().prefault('off'),
    failFastAfter: duration({ maxMs: 3_600_000 }).prefault('10s'),
    before: wakeBefore(),
    answers: z
      .array(
        section({
          match: matchSection(),
          status: number({ min: 200, max: 599 }).prefault(200),
          headers: responseHeaders().prefault({}),
          body: text({ max: MAX_ANSWER_BYTES, empty: true, lines: true }).optional(),
        }),
      )
      .max(100)
      .prefault([]),
    never: section({
      userAgents: z.array(userAgent()).max(1000).prefault([]),
      clients: networks(),
    }).prefault({}),
  }).prefault({});
}

/** Plain text is looked for anywhere in User-Agent, in any case: nobody knows the versions that programs add to their names. */
function userAgent() {
  const part = text().transform((value): ValueMatch => ({
    name: 'user-agent',
    kind: 'regex',
    value: `(?is).*${RE2JS.quote(value)}.*`,
  }));
  return z.union([part, longValueMatch().transform((match): ValueMatch => ({ name: 'user-agent', ...match }))]);
}
