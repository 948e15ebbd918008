/**
 * `npm run bench -- [NAME…] [--write] [--list] [--KEY=NUMBER…]`
 *
 * Runs the named cases (default: all but the long ones), prints their tables, and with --write puts them into docs/benchmarks.md.
 * Exit code 1 when a case saw something that must not happen (a lost request), 2 when used wrongly.
 */
import { mkdirSync, mkdtempSync, rmSync } from 'node:fs';
import { availableParallelism, tmpdir } from 'node:os';
import { join } from 'node:path';
import type { BenchCase, BenchContext } from './case.ts';
import { eventCost } from './cases/event-cost.ts';
import { filterCost } from './cases/filter-cost.ts';
import { holdBurst } from './cases/hold-burst.ts';
import { idleWebSockets } from './cases/idle-websockets.ts';
import { kubernetesCold } from './cases/kubernetes-cold.ts';
import { kubernetesScale } from './cases/kubernetes-scale.ts';
import { largeBody } from './cases/large-body.ts';
import { manyRoutes } from './cases/many-routes.ts';
import { http2 } from './cases/http2.ts';
import { idleMemory } from './cases/idle-memory.ts';
import { proxyCost } from './cases/proxy-cost.ts';
import { sleepEdge } from './cases/sleep-edge.ts';
import { soak } from './cases/soak.ts';
import { streams } from './cases/streams.ts';
import { tailLatency } from './cases/tail-latency.ts';
import { tlsCost } from './cases/tls-cost.ts';
import { wake } from './cases/wake.ts';
import { machineFacts } from './measure/machine.ts';
import { ensurePrograms } from './packages.ts';
import { printTable, writeTables, type Table } from './report.ts';

const CASES: readonly BenchCase[] = [
  proxyCost,
  tlsCost,
  filterCost,
  eventCost,
  http2,
  tailLatency,
  wake,
  holdBurst,
  manyRoutes,
  idleMemory,
  largeBody,
  streams,
  idleWebSockets,
  sleepEdge,
  soak,
  kubernetesScale,
  kubernetesCold,
];

async function main(args: readonly string[]): Promise<number> {
  const names = args.filter((arg) => !arg.startsWith('--'));
  const unknown = names.filter((name) => CASES.every((one) => one.name !== name));
  if (args.includes('--list') || unknown.length > 0) {
    for (const one of CASES)
      console.log(`${one.name.padEnd(18)}${one.summary}${one.byDefault ? '' : ' (only when named)'}`);
    if (unknown.length > 0) console.error(`There is no bench ${unknown.join(', ')}; the names are above.`);
    return unknown.length > 0 ? 2 : 0;
  }
  const chosen = CASES.filter((one) => (names.length === 0 ? one.byDefault : names.includes(one.name)));
  const programs = [...new Set(chosen.flatMap((one) => one.programs))];
  ensurePrograms(programs);

  const tables: Table[] = [];
  const failures: string[] = [];
  const facts = machineFacts(programs.filter((name) => name !== 'taskset'));
  for (const one of chosen) {
    const dir = mkdtempSync(join(tmpdir(), `dormouse-bench-${one.name}-`));
    try {
      const result = await one.run(contextFor(one.name, dir, args));
      tables.push(...result.tables);
      failures.push(...result.failures.map((failure) => `${one.name}: ${failure}`));
      for (const table of result.tables) console.log(printTable(table));
    } catch (error) {
      failures.push(`${one.name}: ${error instanceof Error ? error.message : String(error)}`);
    } finally {
      rmSync(dir, { recursive: true, force: true });
    }
  }
  for (const fact of facts) console.log(fact);
  if (args.includes('--write')) {
    const docs = join(import.meta.dirname, '../docs');
    mkdirSync(docs, { recursive: true });
    writeTables(join(docs, 'benchmarks.md'), tables, [...facts, new Date().toISOString().slice(0, 10)]);
  }
  for (const failure of failures) console.error(`FAILED ${failure}`);
  return failures.length === 0 ? 0 : 1;
}

function contextFor(name: string, dir: string, args: readonly string[]): BenchContext {
  const cores = availableParallelism() > 1;
  return {
    dir,
    proxyCore: cores ? 0 : null,
    loadCore: cores ? 1 : null,
    number(key, fallback) {
      const given = args.find((arg) => arg.startsWith(`--${key}=`));
      if (given === undefined) return fallback;
      const value = Number(given.slice(key.length + 3));
      if (!(value > 0)) throw new Error(`--${key} needs a number above 0`);
      return value;
    },
    progress: (text) => console.error(`${name}: ${text}`),
  };
}

process.exitCode = await main(process.argv.slice(2));
