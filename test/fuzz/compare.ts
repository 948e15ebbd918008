import type { FuzzInput } from './generate.ts';
import type { Outcome } from './outcome.ts';
import { describe } from './outcome.ts';
import { EXPLAINED } from './explained.ts';
import { readWithDormouse } from './read-with-dormouse.ts';
import { readWithLlhttp } from './read-with-llhttp.ts';

/** same: both see the same; stricter: we refuse what llhttp reads; explained: a known difference, by its name; failed: anything else. */
export type Verdict = { kind: 'same' } | { kind: 'stricter' | 'explained'; name: string } | { kind: 'failed'; why: string };

/**
 * Reads the input with both parsers, ours also at `cuts`. What matters is that we never take bytes for a message that llhttp refuses or frames differently; that we
 * refuse more is by design.
 */
export function compare(input: FuzzInput, cuts: readonly number[]): Verdict {
  const { bytes, direction, requestMethod } = input;
  const ours = readWithDormouse(bytes, direction, [], requestMethod);
  const split = readWithDormouse(bytes, direction, cuts, requestMethod);
  if (!equal(ours, split)) return { kind: 'failed', why: `the split [${cuts.join(',')}] changes it: ${describe(ours)} / ${describe(split)}` };

  const theirs = readWithLlhttp(bytes, direction, requestMethod);
  const common = Math.min(ours.messages.length, theirs.messages.length);
  let differs = false;
  for (let m = 0; m < common && !differs; m++) differs = JSON.stringify(ours.messages[m]) !== JSON.stringify(theirs.messages[m]);
  if (!differs) {
    if (ours.end === 'refused' && ours.messages.length <= theirs.messages.length) {
      return theirs.end === 'refused' && ours.messages.length === theirs.messages.length ? { kind: 'same' } : { kind: 'stricter', name: ours.reason };
    }
    // We wait for more where llhttp has seen enough to refuse: nothing was taken for a message.
    if (ours.messages.length === theirs.messages.length && (ours.end === theirs.end || (ours.end === 'partial' && theirs.end === 'refused'))) return { kind: 'same' };
  }
  const explained = EXPLAINED.find((difference) => difference.explains(input, ours, theirs));
  if (explained !== undefined) return { kind: 'explained', name: explained.name };
  return { kind: 'failed', why: `ours: ${describe(ours)}\n  llhttp: ${describe(theirs)}` };
}

function equal(a: Outcome, b: Outcome): boolean {
  return JSON.stringify(a) === JSON.stringify(b);
}
