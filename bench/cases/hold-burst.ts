/**
 * Ten thousand connections, each with one request, for one backend that is asleep. All are sent, in a known order, before the application listens; all must be
 * answered by one start and in the order in which they came. The application counts what it gets; the backend takes one request at a time (maxConnections 1), so that its
 * count is the order in which the hold let go.
 */
import { readFileSync } from 'node:fs';
import { connect, type Socket } from 'node:net';
import type { BenchCase, BenchContext } from '../case.ts';
import { STAMPING_APP, stampingBackend, type Stamp } from '../apps/stamp.ts';
import { processTree, rssBytes, commandLine } from '../measure/process-tree.ts';
import { withDormouse, type RunningDormouse } from './running-dormouse.ts';

const TIMEOUT_MS = 120_000;
const OPEN_AT_ONCE = 200;

export const holdBurst: BenchCase = {
  name: 'hold-burst',
  summary: '10,000 requests at once for one sleeping backend: order, memory, one start',
  programs: ['taskset'],
  byDefault: true,
  async run(context) {
    const requests = context.number('requests', 10_000);
    const backend = stampingBackend({
      process: { env: { LISTEN_AFTER_MS: '4000' } },
      scale: { idleAfter: '1h' },
      wake: { maxHeld: requests * 2, timeout: '2m' },
      endpoints: { maxConnections: 1 },
    });
    return await withDormouse(
      context,
      { backends: { app: backend }, routes: [{ backend: 'app' }] },
      (dormouse) => burst(context, dormouse, requests),
      { openFiles: Math.min(requests + 2000, hardLimit()) },
    );
  },
};

/** Processes may open this many descriptors at most. */
function hardLimit(): number {
  const hard = /^Max open files\s+\d+\s+(\d+)/m.exec(readFileSync('/proc/self/limits', 'utf8'))?.[1];
  return Number(hard ?? 4096);
}

async function burst(context: BenchContext, dormouse: RunningDormouse, requests: number): ReturnType<BenchCase['run']> {
  const own = (): number[] =>
    processTree(dormouse.program.pid).filter((pid) => !commandLine(pid).includes(STAMPING_APP));
  const before = rssBytes(own());
  let peak = before;
  const watch = setInterval(() => (peak = Math.max(peak, rssBytes(own()))), 50);
  const sockets: Socket[] = [];
  try {
    for (let index = 0; index < requests; index += OPEN_AT_ONCE) {
      const count = Math.min(OPEN_AT_ONCE, requests - index);
      sockets.push(...(await Promise.all(Array.from({ length: count }, () => open(dormouse.port)))));
    }
    context.progress(`${requests} connections are open`);
    const startedAt = performance.now();
    const answers = sockets.map((socket, index) => answerOf(socket, index));
    const stamps = await Promise.all(answers);
    const tookMs = performance.now() - startedAt;
    const status = await dormouse.backend('app');
    return resultOf(stamps, status.wakes, peak - before, before, tookMs);
  } finally {
    clearInterval(watch);
    for (const socket of sockets) socket.destroy();
  }
}

function open(port: number): Promise<Socket> {
  return new Promise((resolve, reject) => {
    const socket = connect({ port, host: '127.0.0.1', noDelay: true });
    socket.once('connect', () => resolve(socket));
    socket.once('error', reject);
  });
}

/** The application's stamp, or what the client saw instead. */
function answerOf(socket: Socket, index: number): Promise<Stamp | string> {
  return new Promise((resolve) => {
    let text = '';
    const bound = setTimeout(() => resolve('no answer'), TIMEOUT_MS);
    const settle = (value: Stamp | string): void => {
      clearTimeout(bound);
      resolve(value);
    };
    socket.setEncoding('latin1').on('data', (chunk: string) => {
      text += chunk;
      const end = text.indexOf('\r\n\r\n');
      const length = Number(/content-length: (\d+)/i.exec(text)?.[1] ?? NaN);
      if (end < 0 || text.length < end + 4 + length) return;
      const status = text.slice(0, text.indexOf('\r\n'));
      const body = text.slice(end + 4, end + 4 + length);
      settle(status.includes(' 200 ') ? (JSON.parse(body) as Stamp) : `${status} ${body}`);
    });
    socket.once('error', (error) => settle(error.message));
    socket.once('close', () => settle('closed without an answer'));
    socket.write(`GET / HTTP/1.1\r\nhost: bench\r\nx-bench-id: ${index}\r\n\r\n`);
  });
}

function resultOf(
  stamps: readonly (Stamp | string)[],
  wakes: number,
  moreBytes: number,
  beforeBytes: number,
  tookMs: number,
): Awaited<ReturnType<BenchCase['run']>> {
  const answered = stamps.filter((stamp) => typeof stamp !== 'string');
  const starts = new Set(answered.map((stamp) => stamp.pid)).size;
  const displacements = stamps.map((stamp, index) =>
    typeof stamp === 'string' ? 0 : Math.abs(stamp.sequence - 1 - index),
  );
  const outOfPlace = displacements.filter((distance) => distance > 0).length;
  const megabytes = (bytes: number): string => (bytes / 1e6).toFixed(0);
  const failures: string[] = [];
  if (answered.length < stamps.length) {
    failures.push(
      `${stamps.length - answered.length} of ${stamps.length} were not answered: ${stamps.find((stamp) => typeof stamp === 'string')}`,
    );
  }
  if (starts !== 1 || wakes !== 1) failures.push(`${starts} processes and ${wakes} wakes instead of one`);
  return {
    tables: [
      {
        id: 'hold-burst',
        title: `${stamps.length} requests at once for one sleeping backend`,
        note: 'Each on a connection of its own, one worker, the application listens after 4 s and takes one request at a time. Memory: RSS of supervisor and worker, the most that was seen, less what it was before. Order: how far from its turn a request reached the application.',
        columns: [
          'answered',
          'starts',
          'all answered after, s',
          'out of turn',
          'furthest out of turn',
          'more memory, MB',
          'before, MB',
        ],
        rows: [
          [
            `${answered.length} of ${stamps.length}`,
            String(starts),
            (tookMs / 1000).toFixed(1),
            String(outOfPlace),
            String(Math.max(...displacements)),
            megabytes(moreBytes),
            megabytes(beforeBytes),
          ],
        ],
      },
    ],
    failures,
  };
}
