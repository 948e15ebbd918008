/**
 * `npm run chaos -- [--only NAME,…] [--at STEP,…] [--rounds N] [--sample] [--list]`: a real cluster (docs/test-cluster.md), services that sleep and wake with traffic running the whole time, and everything
 * that may go wrong meanwhile. Prints a table in Markdown, and every loss with what is known of it. Ends with 1 when something was lost.
 */
import { parseArgs } from 'node:util';
import { details, isClean, table, type Result } from '../test/cluster/chaos/result.ts';
import { openChaos, runAll, setting, type Plan } from '../test/cluster/chaos/run.ts';
import { SAMPLE, SCENARIOS } from '../test/cluster/chaos/scenarios.ts';
import { MOMENTS, type Moment } from '../test/cluster/chaos/steps.ts';

const USAGE = 'Usage: npm run chaos -- [--only NAME,…] [--at STEP,…] [--rounds N] [--sample] [--list]';
const NAMES = SCENARIOS.map(({ name }) => name);

function asked(): { plans: Plan[]; list: boolean } {
  const { values } = parseArgs({
    options: {
      only: { type: 'string' },
      at: { type: 'string' },
      rounds: { type: 'string' },
      sample: { type: 'boolean' },
      list: { type: 'boolean' },
    },
  });
  const only = values.only?.split(',') ?? NAMES;
  const moments = values.at?.split(',');
  const rounds = values.rounds === undefined ? undefined : Number(values.rounds);
  for (const name of only)
    if (!NAMES.includes(name)) throw new Error(`There is no scenario ${name}; there are ${NAMES.join(', ')}.`);
  for (const moment of moments ?? [])
    if (!MOMENTS.includes(moment as Moment))
      throw new Error(`There is no step ${moment}; there are ${MOMENTS.join(', ')}.`);
  if (rounds !== undefined && !(Number.isInteger(rounds) && rounds > 0))
    throw new Error(`--rounds takes a whole number above 0, not ${values.rounds}.`);
  const more = {
    ...(moments === undefined ? {} : { moments: moments as Moment[] }),
    ...(rounds === undefined ? {} : { rounds }),
  };
  const plans = values.sample === true ? SAMPLE : only.map((name) => ({ name, ...more }));
  return { plans: [...plans], list: values.list === true };
}

async function main(plans: Plan[]): Promise<number> {
  const startedAtMs = Date.now();
  const results: Result[] = [];
  await using chaos = await openChaos();
  await runAll(chaos, plans, (result) => {
    results.push(result);
    const at = new Date().toISOString().slice(11, 19);
    console.error(`${at} ${table([result]).split('\n').at(-1)}`);
    for (const line of details(result)) console.error(`  ${line}`);
  });
  console.log(`\n${await setting(chaos.cluster)}\n\n${table(results)}\n`);
  const bad = results.filter((one) => !isClean(one));
  for (const one of bad) for (const line of details(one)) console.log(`- ${line}`);
  const minutes = ((Date.now() - startedAtMs) / 60_000).toFixed(0);
  console.log(`${results.length} lines, ${bad.length} of them not as they should be, ${minutes} minutes`);
  return bad.length === 0 ? 0 : 1;
}

try {
  const { plans, list } = asked();
  if (list) console.log(NAMES.join('\n'));
  else process.exitCode = await main(plans);
} catch (error) {
  console.error(`${error instanceof Error ? error.message : String(error)}\n${USAGE}`);
  process.exitCode = 2;
}
