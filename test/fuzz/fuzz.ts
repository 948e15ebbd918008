import { compare } from './compare.ts';
import { generate } from './generate.ts';
import { Random } from './random.ts';

export interface FuzzResult {
  seed: number;
  cases: number;
  same: number;
  /** Inputs that we refuse and llhttp reads, by our reason. */
  stricter: Map<string, number>;
  /** By the name of the explained difference. */
  explained: Map<string, number>;
  failures: { bytes: string; why: string }[];
}

/** Runs for `seconds`, from `seed`; ends early after `stopAfterFailures`. */
export function fuzz(options: { seconds: number; seed: number; stopAfterFailures: number }): FuzzResult {
  const random = new Random(options.seed);
  const result: FuzzResult = {
    seed: options.seed,
    cases: 0,
    same: 0,
    stricter: new Map(),
    explained: new Map(),
    failures: [],
  };
  const until = performance.now() + options.seconds * 1000;
  while (performance.now() < until && result.failures.length < options.stopAfterFailures) {
    for (let k = 0; k < 200; k++) {
      const input = generate(random);
      const verdict = compare(input, cutsOf(input.bytes.length, random));
      result.cases++;
      if (verdict.kind === 'same') result.same++;
      else if (verdict.kind === 'failed')
        result.failures.push({
          bytes: `${input.direction} ${input.requestMethod} ${JSON.stringify(input.bytes.toString('latin1'))}`,
          why: verdict.why,
        });
      else result[verdict.kind].set(verdict.name, (result[verdict.kind].get(verdict.name) ?? 0) + 1);
    }
  }
  return result;
}

/** A byte at a time, or up to five random cuts. */
function cutsOf(length: number, random: Random): number[] {
  if (random.chance(10)) return Array.from({ length }, (_, at) => at);
  const cuts: number[] = [];
  for (let count = random.below(6); count > 0; count--) cuts.push(random.below(length + 1));
  return cuts.sort((a, b) => a - b);
}

export function summary(result: FuzzResult): string {
  const table = (counts: Map<string, number>): string =>
    [...counts]
      .sort((a, b) => b[1] - a[1])
      .map(([name, count]) => `  ${String(count).padStart(9)}  ${name}\n`)
      .join('');
  const count = (counts: Map<string, number>): number => [...counts.values()].reduce((sum, value) => sum + value, 0);
  let text = `seed ${result.seed}: ${result.cases} streams, ${result.same} read alike by both\n`;
  text += `refused by us, read by llhttp: ${count(result.stricter)}\n${table(result.stricter)}`;
  text += `explained differences: ${count(result.explained)}\n${table(result.explained)}`;
  text += `failed: ${result.failures.length}\n`;
  for (const failure of result.failures.slice(0, 10)) text += `\n${failure.bytes}\n  ${failure.why}\n`;
  return text;
}
