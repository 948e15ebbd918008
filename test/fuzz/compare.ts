import type { FuzzInput } from './generate.ts';
import type { Outcome } from './outcome.ts';
import { describe } from './outcome.ts';
import { EXPLAINED } from './explained.ts';
import { readWithDormouse } from './read-with-dormouse.ts';
import { readWithLlhttp } from './read-with-llhttp.ts';

/** same: both see the same; stricter: we refuse what llhttp reads; explained: a known difference, by its name; failed: anything else. */
export type Verdict =
  | { kind: 'same' }
  | { kind: 'stricter'; name: string }
  | { kind: 'explained'; name: string }
  | { kind: 'failed'; why: string };

/**
 * Reads the input with both parsers, ours also at `cuts`. What matters is that we never take bytes for a message that llhttp refuses or frames differently; that we
 * refuse more is by design.
 */
export function compare(input: FuzzInput, cuts: readonly number[]): Verdict {
  const { bytes, direction, requestMethod } = input;
  const ours = readWithDormouse(bytes, direction, [], requestMethod);
  const split = readWithDormouse(bytes, direction, cuts, requestMethod);
  if (!equal(ours, split))
    return { kind: 'failed', why: `the split [${cuts.join(',')}] changes it: ${describe(ours)} / ${describe(split)}` };

  let found = agreement(ours, readWithLlhttp(bytes, direction, requestMethod));
  if (found.kind !== 'failed') return found;
  const why = found.why;
  // Take the known differences out, again while that uncovers more of the stream, and ask once more.
  const names = new Set<string>();
  let text = bytes.toString('latin1');
  let seen = ours;
  for (let pass = 0; pass < MAX_PASSES; pass++) {
    for (const difference of EXPLAINED) {
      const rewritten = difference.rewrite(text, seen);
      if (rewritten !== text) names.add(difference.name);
      text = rewritten;
    }
    const again = Buffer.from(text, 'latin1');
    seen = readWithDormouse(again, direction, [], requestMethod);
    found = agreement(seen, readWithLlhttp(again, direction, requestMethod));
    if (found.kind !== 'failed') return { kind: 'explained', name: [...names].join(' + ') };
  }
  return { kind: 'failed', why };
}

const MAX_PASSES = 4;

function agreement(ours: Outcome, theirs: Outcome): Exclude<Verdict, { kind: 'explained' }> {
  const failed = { kind: 'failed', why: `ours: ${describe(ours)}\n  llhttp: ${describe(theirs)}` } as const;
  const common = Math.min(ours.messages.length, theirs.messages.length);
  for (let m = 0; m < common; m++)
    if (JSON.stringify(ours.messages[m]) !== JSON.stringify(theirs.messages[m])) return failed;
  const alike = ours.messages.length === theirs.messages.length;
  if (ours.end === 'refused' && ours.messages.length <= theirs.messages.length) {
    return alike && theirs.end === 'refused' ? { kind: 'same' } : { kind: 'stricter', name: ours.reason };
  }
  // We wait for more where llhttp has seen enough to refuse: nothing was taken for a message.
  if (alike && (ours.end === theirs.end || (ours.end === 'partial' && theirs.end === 'refused')))
    return { kind: 'same' };
  return failed;
}

function equal(a: Outcome, b: Outcome): boolean {
  return JSON.stringify(a) === JSON.stringify(b);
}
