/** A sample of `npm run chaos` (docs/reliability.md): faults at steps of the handover, and requests around its edges, lose nothing. The whole table has its own command. */
import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { details, isClean, table } from './result.ts';
import { openChaos, runAll, type Chaos } from './run.ts';
import { SAMPLE } from './scenarios.ts';

let chaos: Chaos;

before(async () => {
  chaos = await openChaos();
});
after(() => chaos?.[Symbol.asyncDispose]());

for (const plan of SAMPLE) {
  const { name, moments, rounds } = plan;
  const asked = [name, ...(moments ?? []), ...(rounds === undefined ? [] : [`${rounds} rounds`])].join(', ');
  test(`nothing is lost: ${asked}`, async (t) => {
    let lines = 0;
    const bad: string[] = [];
    await runAll(chaos, [plan], (result) => {
      lines++;
      t.diagnostic(table([result]).split('\n').at(-1)!);
      if (!isClean(result)) bad.push(...result.end, ...details(result));
    });
    assert.ok(lines > 0);
    assert.deepEqual(bad, []);
  });
}
