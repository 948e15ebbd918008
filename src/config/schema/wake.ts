import { z } from 'zod';
import { MAX_ANSWER_BYTES } from './resilience.ts';
import { matchSection, valueMatch } from './match.ts';
import { networks } from './clients.ts';
import { duration, name, number, responseHeaders, section, size, text, toggle } from './scalars.ts';

/** `wake:` of a backend. */
export function wakeSection() {
  return section({
    timeout: duration({ minMs: 1 }).prefault('60s'),
    maxHeld: number({ min: 0, max: 1_000_000 }).prefault(1000),
    maxHeldBytes: size({ min: 0, max: 2 ** 36 }).prefault('64MiB'),
    with: z.array(name()).max(100).prefault([]),
    page: toggle().prefault('off'),
    answers: z
      .array(
        section({
          match: matchSection(),
          status: number({ min: 200, max: 599 }).prefault(200),
          headers: responseHeaders().prefault({}),
          body: text({ max: MAX_ANSWER_BYTES, empty: true, lines: true }).prefault(''),
        }),
      )
      .max(100)
      .prefault([]),
    never: section({
      userAgents: z.array(valueMatch()).max(1000).prefault([]),
      clients: networks(),
    }).prefault({}),
  }).prefault({});
}
