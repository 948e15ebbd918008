/**
 * `npm run chaos -- [--only NAME,…] [--at STEP,…] [--rounds N] [--sample] [--list]`: a real cluster (docs/test-cluster.md), services that sleep and wake with traffic running the whole time, and everything
 * that may go wrong meanwhile. Prints a table in Markdown, and every loss with what is known of it. Ends with 1 when something was lost.
 */
import { parseArgs } from 'node:util';
import { details, isClean, table, type Result } from '../test/cluster/chaos/result.ts';
import { openChaos, runAll, setting } from '../test/cluster/chaos/run.ts';
import { scenarios } from '../test/cluster/chaos/scenarios.ts';
import { MOMENTS, type Moment } from '../test/cluster/chaos/steps.ts';

const { values } = parseArgs({
  options: {
    only: { type: 'string' },
    at: { type: 'string' },
    rounds: { type: 'string' },
    list: { type: 'boolean' },
  },
});
const only = values.only?.split(',');
const moments = values.at?.split(',') as Moment[] | undefined;
const all = scenarios();
const chosen = all.filter(({ name }) => only === undefined || only.includes(name));
const unknown = [
  ...(only ?? []).filter((name) => !all.some((one) => one.name === name)),
  ...(moments ?? []).filter((moment) => !MOMENTS.includes(moment)),
];
if (values.list === true) console.log(all.map(({ name }) => name).join('\n'));
else if (unknown.length > 0) {
  console.error(
    `There is no ${unknown.join(', ')}. Scenarios: ${all.map(({ name }) => name).join(', ')}. Steps: ${MOMENTS.join(', ')}`,
  );
  process.exitCode = 2;
} else process.exitCode = await main();

async function main(): Promise<number> {
  const startedAtMs = Date.now();
  const results: Result[] = [];
  await using chaos = await openChaos();
  const tell = (result: Result): void => {
    results.push(result);
    const at = new Date().toISOString().slice(11, 19);
    console.error(`${at} ${table([result]).split('\n').at(-1)}`);
    for (const line of details(result)) console.error(`  ${line}`);
  };
  await runAll(chaos, chosen, {
    tell,
    ...(moments === undefined ? {} : { moments }),
    ...(values.rounds === undefined ? {} : { rounds: Number(values.rounds) }),
  });
  console.log(`\n${await setting(chaos.cluster)}\n\n${table(results)}\n`);
  const bad = results.filter((one) => !isClean(one));
  for (const one of bad) for (const line of details(one)) console.log(`- ${line}`);
  const minutes = ((Date.now() - startedAtMs) / 60_000).toFixed(0);
  console.log(`${results.length} lines, ${bad.length} of them not as they should be, ${minutes} minutes`);
  return bad.length === 0 ? 0 : 1;
}
