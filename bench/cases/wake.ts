/**
 * What Dormouse adds to a wake. For `stop`, the application stamps how long it needed itself from its start to its listening; that is taken off the
 * time from the request's first byte to the answer's first byte. What is left is everything else: noticing, starting a process (fork and exec), finding out that
 * it listens, passing the request on. The second figure starts at the application's own stamp: how soon after it was ready the client had its answer. For `freeze`
 * nothing is taken off.
 */
import { spawn } from 'node:child_process';
import { createServer, type AddressInfo } from 'node:net';
import type { BenchCase, BenchContext } from '../case.ts';
import { PROMPT_APP, STAMPING_APP, stampingBackend, type Stamp } from '../apps/stamp.ts';
import { Connection } from '../load/request.ts';
import { percentile } from '../measure/statistics.ts';
import { withDormouse } from './running-dormouse.ts';

const TIMEOUT_MS = 30_000;

export const wake: BenchCase = {
  name: 'wake',
  summary: "what a wake costs beyond the application's own start, for stop and freeze",
  programs: ['taskset'],
  byDefault: true,
  async run(context) {
    const wakes = context.number('wakes', 300);
    const stopped = await measure(context, 'stop', wakes, PROMPT_APP);
    const onHttp = await measure(context, 'stop', Math.ceil(wakes / 3), STAMPING_APP);
    const frozen = await measure(context, 'freeze', wakes, PROMPT_APP);
    const floor = await spawnFloor(Math.ceil(wakes / 3));
    const row = (name: string, values: readonly number[]): string[] => [
      name,
      ...[50, 95, 99, 100].map((percent) => percentile(values, percent).toFixed(1)),
    ];
    return {
      tables: [
        {
          id: 'wake',
          title: `Wake: ${wakes} of each kind, one request each`,
          note: 'ms. The application (a Node program on node:net that answers at once) has its own start taken off in the first row; the row of node:http has the first request of a fresh node:http server in it. The floor is the same application started by a bare Node program that tries to connect without a pause and sends the request on the connection that it gets: what no gateway can go below. Dormouse on one core, client and application wherever the system puts them.',
          columns: ['what', 'median', 'p95', 'p99', 'max'],
          rows: [
            row(
              "stop: first response byte minus the application's own time to ready",
              stopped.map((one) => one.addedMs),
            ),
            row(
              'stop: from the ready stamp to the first response byte',
              stopped.map((one) => one.afterReadyMs),
            ),
            row(
              'floor: the same without Dormouse',
              floor.map((one) => one.addedMs),
            ),
            row(
              'floor: from the ready stamp to the first response byte',
              floor.map((one) => one.afterReadyMs),
            ),
            row(
              'stop, an application on node:http: as the first row',
              onHttp.map((one) => one.addedMs),
            ),
            row(
              "stop: the application's own time to ready",
              stopped.map((one) => one.ownMs),
            ),
            row(
              'freeze: first response byte',
              frozen.map((one) => one.totalMs),
            ),
          ],
        },
      ],
      failures: [],
    };
  },
};

interface Wake {
  totalMs: number;
  ownMs: number;
  addedMs: number;
  afterReadyMs: number;
}

async function measure(context: BenchContext, sleep: 'stop' | 'freeze', wakes: number, app: string): Promise<Wake[]> {
  const backend = stampingBackend({
    process: { sleep, command: [process.execPath, app] },
    scale: { idleAfter: '1h' },
  });
  return await withDormouse(
    context,
    { backends: { app: backend }, routes: [{ backend: 'app' }] },
    async (dormouse) => {
      const results: Wake[] = [];
      for (let index = -3; index < wakes; index++) {
        await dormouse.control.sleep('app');
        await dormouse.until('app', (status) => status.phase === 'asleep');
        const connection = new Connection(dormouse.port);
        await connection.connect();
        const answer = await connection.send({ method: 'GET', path: '/' }, TIMEOUT_MS);
        connection.close();
        if (answer.status !== 200 || answer.headers.get('x-cold-start') !== 'true') {
          throw new Error(
            `wake ${index} was answered ${answer.status}, x-cold-start ${answer.headers.get('x-cold-start')}`,
          );
        }
        const stamp = JSON.parse(answer.body) as Stamp;
        const totalMs = Number(answer.firstByteNs - answer.sentNs) / 1e6;
        if (index >= 0) {
          results.push({
            totalMs,
            ownMs: stamp.ownMs,
            addedMs: totalMs - stamp.ownMs,
            afterReadyMs: Number(answer.firstByteNs - BigInt(stamp.readyNs)) / 1e6,
          });
        }
        if (index > 0 && index % 50 === 0) context.progress(`${sleep}: ${index} of ${wakes}`);
      }
      return results;
    },
    { name: `${sleep}-${app === PROMPT_APP ? 'net' : 'http'}` },
  );
}

/** The application started by this very process, which tries to connect all the time. */
async function spawnFloor(starts: number): Promise<Wake[]> {
  const results: Wake[] = [];
  const port = await freePort();
  for (let index = 0; index < starts; index++) {
    const began = process.hrtime.bigint();
    const child = spawn(process.execPath, [PROMPT_APP], {
      env: { ...process.env, PORT: String(port) },
      stdio: ['ignore', 'pipe', 'pipe'],
    });
    const ended = new Promise((resolve) => child.once('exit', resolve));
    const give = performance.now() + TIMEOUT_MS;
    let connection = new Connection(port);
    while (
      !(await connection.connect().then(
        () => true,
        () => false,
      ))
    ) {
      if (performance.now() > give) throw new Error('the application of the floor did not listen');
      connection = new Connection(port);
    }
    const answer = await connection.send({ method: 'GET', path: '/' }, TIMEOUT_MS);
    connection.close();
    const stamp = JSON.parse(answer.body) as Stamp;
    const totalMs = Number(answer.firstByteNs - began) / 1e6;
    results.push({
      totalMs,
      ownMs: stamp.ownMs,
      addedMs: totalMs - stamp.ownMs,
      afterReadyMs: Number(answer.firstByteNs - BigInt(stamp.readyNs)) / 1e6,
    });
    child.kill('SIGKILL');
    await ended;
  }
  return results;
}

function freePort(): Promise<number> {
  return new Promise((resolve) => {
    const server = createServer().listen(0, '127.0.0.1', () => {
      const { port } = server.address() as AddressInfo;
      server.close(() => resolve(port));
    });
  });
}
