/**
 * Requests at random moments around the moment at which a backend falls asleep. Each lane has a backend of its own and sends one request at a time; between an answer
 * and the next request it waits about as long as the idle rule does, so that many requests meet the backend while it falls asleep. Half of the lanes' backends
 * are stopped, half are frozen; connections are fresh or kept, requests are GET or POST with a body. A request is lost when it is not answered 200 by the application
 * with its own id and the full length of its body.
 */
import { setTimeout as delay } from 'node:timers/promises';
import type { BenchCase, BenchContext } from '../case.ts';
import { stampingBackend, type Stamp } from '../apps/stamp.ts';
import { Connection } from '../load/request.ts';
import { percentile } from '../measure/statistics.ts';
import { withDormouse } from './running-dormouse.ts';

const IDLE_AFTER_MS = 300;
/** Random gaps in this range; the idle rule is looked at every 75 ms or so, so that the edge lies between 300 and 450 ms. */
const GAP_MS = [240, 480] as const;
const LARGEST_BODY_BYTES = 200_000;
const TIMEOUT_MS = 30_000;
const LANES = 4;

interface Tally {
  requests: number;
  woken: number;
  lost: string[];
  durationsMs: number[];
}

export const sleepEdge: BenchCase = {
  name: 'sleep-edge',
  summary: 'requests at random moments around the sleep edge: none may be lost (--cycles=3000)',
  programs: ['taskset'],
  byDefault: false,
  async run(context) {
    const cycles = context.number('cycles', 3000);
    const kinds = ['stop', 'freeze'] as const;
    const names = Array.from({ length: LANES }, (_, lane) => `lane-${lane}`);
    const kindOf = (lane: number): 'stop' | 'freeze' => kinds[lane % kinds.length] ?? 'stop';
    const configuration = {
      backends: Object.fromEntries(
        names.map((name, lane) => [
          name,
          stampingBackend({ process: { sleep: kindOf(lane) }, scale: { idleAfter: `${IDLE_AFTER_MS}ms` } }),
        ]),
      ),
      routes: names.map((name) => ({ hosts: [name], backend: name })),
    };
    // The proxy shares both cores with the applications here: starting them is most of the work.
    const tallies = await withDormouse({ ...context, proxyCore: null }, configuration, (dormouse) =>
      Promise.all(
        names.map((name, lane) => runLane(context, dormouse.port, name, Math.ceil(cycles / LANES), lane === 0)),
      ),
    );
    return resultOf(kinds.map((kind) => [kind, sum(tallies.filter((_, lane) => kindOf(lane) === kind))]));
  },
};

async function runLane(
  context: BenchContext,
  port: number,
  host: string,
  cycles: number,
  tells: boolean,
): Promise<Tally> {
  const tally: Tally = { requests: 0, woken: 0, lost: [], durationsMs: [] };
  let kept = new Connection(port);
  for (let cycle = 0; cycle < cycles; cycle++) {
    if (tells && cycle % 100 === 0) context.progress(`cycle ${cycle * LANES} of ${cycles * LANES}`);
    const fresh = Math.random() < 0.5;
    const connection = fresh ? new Connection(port) : kept;
    const id = `${host}-${cycle}`;
    const body = Math.random() < 0.5 ? 'b'.repeat(1 + Math.floor(Math.random() ** 4 * LARGEST_BODY_BYTES)) : null;
    const words = `${body === null ? 'GET' : `POST of ${body.length} bytes`} ${id} on a ${fresh ? 'fresh' : 'kept'} connection`;
    tally.requests++;
    try {
      const answer = await connection.send(
        { method: body === null ? 'GET' : 'POST', path: '/', host, id, body: body ?? undefined },
        TIMEOUT_MS,
      );
      const stamp = answer.status === 200 ? (JSON.parse(answer.body) as Stamp) : null;
      if (stamp?.echo !== id || stamp.bodyBytes !== (body?.length ?? 0)) {
        tally.lost.push(`${words}: ${answer.status} ${answer.body.slice(0, 200)}`);
      }
      if (answer.headers.get('x-cold-start') === 'true') tally.woken++;
      tally.durationsMs.push(Number(answer.lastByteNs - answer.sentNs) / 1e6);
    } catch (error) {
      tally.lost.push(`${words}: ${error instanceof Error ? error.message : String(error)}`);
      if (!fresh) kept = new Connection(port);
    }
    if (fresh) connection.close();
    await delay(GAP_MS[0] + Math.random() * (GAP_MS[1] - GAP_MS[0]));
  }
  kept.close();
  return tally;
}

function sum(tallies: readonly Tally[]): Tally {
  return {
    requests: tallies.reduce((total, tally) => total + tally.requests, 0),
    woken: tallies.reduce((total, tally) => total + tally.woken, 0),
    lost: tallies.flatMap((tally) => tally.lost),
    durationsMs: tallies.flatMap((tally) => tally.durationsMs),
  };
}

function resultOf(results: readonly (readonly [string, Tally])[]): Awaited<ReturnType<BenchCase['run']>> {
  const failures = results.flatMap(([kind, tally]) => tally.lost.map((lost) => `${kind}: ${lost}`));
  for (const [kind, tally] of results) {
    if (tally.woken === 0 || tally.woken === tally.requests)
      failures.push(`${kind}: ${tally.woken} of ${tally.requests} were wakes: the edge was not met`);
  }
  return {
    tables: [
      {
        id: 'sleep-edge',
        title: 'Requests around the sleep edge',
        note: `idleAfter ${IDLE_AFTER_MS} ms, a request ${GAP_MS[0]} to ${GAP_MS[1]} ms after the last answer (random), ${LANES} backends at once, fresh and kept connections, GET and POST with up to ${LARGEST_BODY_BYTES / 1000} kB. "Woken" had to wait for a start (or a thaw); the others met a running backend.`,
        columns: ['sleep', 'requests', 'woken', 'lost', 'median, ms', 'p99, ms', 'max, ms'],
        rows: results.map(([kind, tally]) => [
          kind,
          String(tally.requests),
          String(tally.woken),
          String(tally.lost.length),
          ...[50, 99, 100].map((percent) => percentile(tally.durationsMs, percent).toFixed(1)),
        ]),
      },
    ],
    failures,
  };
}
