/**
 * CPU time per request with all filters of examples/users on, beside the same request without any: validation, token, rate limit, rewrite, headers and a JSON
 * body that is changed. Both are routes of one Dormouse that has a core to itself; they take turns within each round, and ratios are taken round by round.
 */
import { mkdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { parse } from 'yaml';
import { writeUsersFiles } from '../../src/commands/demo-users-files.ts';
import type { BenchCase, BenchContext } from '../case.ts';
import { runWrk } from '../load/wrk.ts';
import { cpuTimeMs, processTree } from '../measure/process-tree.ts';
import { median, medianAndRange } from '../measure/statistics.ts';
import { inTurns } from '../measure/turns.ts';
import { startStaticBackend } from '../peers/nginx.ts';
import { freePort } from '../processes.ts';
import type { Table } from '../report.ts';
import { withDormouse } from './running-dormouse.ts';

const EXAMPLE = join(import.meta.dirname, '../../examples/users/api-gateway.yaml');
const CONNECTIONS = 32;
const WARM_UP_SECONDS = 3;
/** Of the rate limit: never reached. */
const LIMIT = 1_000_000;

type Filters = Record<string, Record<string, unknown>>[];

interface Sample {
  cpuUs: number;
  requestsPerSecond: number;
}

export const filterCost: BenchCase = {
  name: 'filter-cost',
  summary: 'CPU time per request: all filters of examples/users on against none (--each=1: each alone too)',
  programs: ['nginx', 'wrk', 'taskset'],
  byDefault: true,
  async run(context) {
    const { token } = await writeUsersFiles(context.dir, Date.now());
    const all = filtersOfExample(context.dir);
    const routes = new Map<string, Filters>([
      ['none', []],
      ['all', all],
    ]);
    if (context.number('each', 0) > 0) for (const filter of all) routes.set(Object.keys(filter)[0]!, [filter]);
    const backendPort = await freePort();
    const backendDir = join(context.dir, 'backend');
    mkdirSync(backendDir);
    const backend = await startStaticBackend(backendDir, backendPort, context.loadCore);
    try {
      return await withDormouse(context, configuration(routes, backendPort), async ({ port, program }) => ({
        tables: [await measure(context, [...routes.keys()], `http://127.0.0.1:${port}`, program.pid, token)],
        failures: [],
      }));
    } finally {
      await backend.stop();
    }
  },
};

/** Those of GET /api/users/ID as they stand there, with a budget that is never used up. */
function filtersOfExample(dir: string): Filters {
  const text = readFileSync(EXAMPLE, 'utf8').replace(/\$\{USERS_STATE:-[^}]*\}/g, dir);
  const { routes } = parse(text, { merge: true }) as { routes: { rules: { filters: Filters }[] }[] };
  const { filters } = routes[0]!.rules[0]!;
  return filters.map((filter) =>
    filter['rateLimit'] === undefined ? filter : { rateLimit: { ...filter['rateLimit'], limit: LIMIT, window: '1s' } },
  );
}

function configuration(routes: ReadonlyMap<string, Filters>, backendPort: number): Record<string, unknown> {
  return {
    backends: { users: { servers: [`http://127.0.0.1:${backendPort}`] } },
    routes: [...routes].map(([name, filters]) => ({
      name: name.toLowerCase(),
      hosts: [`${name.toLowerCase()}.example.com`],
      rules: [{ matches: [{ path: { prefix: '/api/users' } }], filters, backends: [{ name: 'users' }] }],
    })),
  };
}

async function measure(
  context: BenchContext,
  names: readonly string[],
  origin: string,
  pid: number,
  tokenFile: string,
): Promise<Table> {
  const rounds = context.number('rounds', 5);
  const seconds = context.number('seconds', 4);
  const authorization = `Bearer ${readFileSync(tokenFile, 'utf8')}`;
  const load = async (name: string, forSeconds: number): Promise<Sample> => {
    const pids = processTree(pid);
    const before = cpuTimeMs(pids);
    const result = await runWrk({
      url: `${origin}/api/users/123`,
      headers: { Host: `${name.toLowerCase()}.example.com`, authorization },
      seconds: forSeconds,
      connections: CONNECTIONS,
      core: context.loadCore,
      dir: context.dir,
    });
    return {
      cpuUs: ((cpuTimeMs(pids) - before) * 1000) / result.requests,
      requestsPerSecond: result.requestsPerSecond,
    };
  };
  for (const name of names) await load(name, WARM_UP_SECONDS);
  const samples = await inTurns(names, rounds, {
    name: (name) => name,
    progress: (text) => context.progress(text),
    measure: (name) => load(name, seconds),
  });
  const plain = samples.get('none')!;
  return {
    id: 'filter-cost',
    title: 'All filters of examples/users against none: CPU time per request',
    note: `µs of user and system time of all processes of dormouse per request, on one core, access log to a file and metrics on; ${rounds} rounds of ${seconds} s in turns, closed loop (wrk, ${CONNECTIONS} keep-alive connections). The same GET with the same token on every route: validate (method, path by a regular expression), jwt (ES256, known after the first time), rateLimit (by a claim), rewrite, requestHeaders, responseHeaders, body (a field taken out of the JSON of the response).`,
    columns: ['filters', 'µs per request', 'x none', 'requests/s'],
    rows: [...samples].map(([name, own]) => [
      name,
      medianAndRange(
        own.map(({ cpuUs }) => cpuUs),
        1,
      ),
      medianAndRange(
        own.map(({ cpuUs }, index) => cpuUs / plain[index]!.cpuUs),
        2,
      ),
      median(own.map(({ requestsPerSecond }) => requestsPerSecond)).toFixed(0),
    ]),
  };
}
