/**
 * Differential fuzzing against the llhttp inside Node: `node test/fuzz/run.ts --seconds 60 --seed 1`. Prints a summary; exits with 1 when we took for a message
 * what llhttp refuses or frames differently, and no difference in explained.ts covers it.
 */
import { parseArgs } from 'node:util';
import { fuzz, summary } from './fuzz.ts';

const { values } = parseArgs({
  options: {
    seconds: { type: 'string', default: '60' },
    seed: { type: 'string', default: String(Date.now() % 1_000_000) },
  },
});
const result = fuzz({ seconds: Number(values.seconds), seed: Number(values.seed), stopAfterFailures: 10 });
process.stdout.write(summary(result));
process.exitCode = result.failures.length === 0 ? 0 : 1;
