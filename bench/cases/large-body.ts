/**
 * Long bodies, slow readers: a body of many gigabytes each way, and a client that reads a byte a second. What matters is that memory stays where it was: nothing here may grow with
 * the body.
 */
import { createServer, connect, type AddressInfo, type Socket } from 'node:net';
import type { BenchCase, BenchContext } from '../case.ts';
import { processTree, rssBytes } from '../measure/process-tree.ts';
import { withDormouse, type RunningDormouse } from './running-dormouse.ts';

const PART = Buffer.alloc(262_144, 'x');
/** What memory may grow by, MB: buffers of sockets and of the garbage collector, nowhere near a body. */
const MOST_MEGABYTES = 64;

export const largeBody: BenchCase = {
  name: 'large-body',
  summary: 'a body of 10 GB each way and a slow reader: memory stays where it was (--gigabytes=10)',
  programs: ['taskset'],
  byDefault: true,
  async run(context) {
    const bytes = context.number('gigabytes', 10) * 1e9;
    const backend = createServer((socket) => serve(socket, bytes)).listen(0, '127.0.0.1');
    await new Promise((resolve) => backend.once('listening', resolve));
    const { port } = backend.address() as AddressInfo;
    const configuration = { backends: { far: { servers: [`http://127.0.0.1:${port}`] } } };
    try {
      return await withDormouse(context, configuration, async (dormouse) => {
        await transfer(context, dormouse, 'warm-up', 1e8, 'down');
        await transfer(context, dormouse, 'warm-up', 1e8, 'up');
        const rows = [
          await transfer(context, dormouse, 'response', bytes, 'down'),
          await transfer(context, dormouse, 'request', bytes, 'up'),
          await slowReader(dormouse),
        ];
        return {
          tables: [
            {
              id: 'large-body',
              title: 'Long bodies and a slow reader',
              note: 'RSS of supervisor and worker in MB: before, and the most that was seen on the way. The slow reader reads one byte every 100 ms of a body without end; bytes are those that it read.',
              columns: ['what', 'bytes', 'seconds', 'MB/s', 'before, MB', 'most, MB'],
              rows: rows.map((row) => row.cells),
            },
          ],
          failures: rows.flatMap((row) => row.failure ?? []),
        };
      });
    } finally {
      backend.close();
    }
  },
};

/** GET /down/N answers N bytes; POST /up counts its body and answers the number; GET /endless never ends. */
function serve(socket: Socket, most: number): void {
  let head = '';
  let left = -1;
  let counted = 0;
  socket.on('error', () => {});
  socket.on('data', (chunk: Buffer) => {
    let body = chunk;
    if (left < 0) {
      head += chunk.toString('latin1');
      const end = head.indexOf('\r\n\r\n');
      if (end < 0) return;
      const length = Number(/content-length: (\d+)/i.exec(head)?.[1] ?? 0);
      const size = Number(/^GET \/down\/(\d+)/.exec(head)?.[1] ?? (head.startsWith('GET /endless') ? most * 1000 : 0));
      body = Buffer.from(head.slice(end + 4), 'latin1');
      head = '';
      if (length === 0) {
        socket.write(`HTTP/1.1 200 OK\r\nContent-Length: ${size}\r\n\r\n`);
        pump(socket, size);
        return;
      }
      left = length;
      counted = 0;
    }
    left -= body.length;
    counted += body.length;
    if (left > 0) return;
    left = -1;
    const text = String(counted);
    socket.write(`HTTP/1.1 200 OK\r\nContent-Length: ${text.length}\r\n\r\n${text}`);
  });
}

function pump(socket: Socket, bytes: number, each: (sent: number) => void = () => {}): void {
  let left = bytes;
  const more = (): void => {
    while (left > 0 && !socket.destroyed) {
      const part = left < PART.length ? PART.subarray(0, left) : PART;
      left -= part.length;
      each(part.length);
      if (!socket.write(part)) {
        socket.once('drain', more);
        return;
      }
    }
  };
  more();
}

interface Row {
  cells: string[];
  failure?: string;
}

async function transfer(
  context: BenchContext,
  dormouse: RunningDormouse,
  name: string,
  bytes: number,
  way: 'up' | 'down',
): Promise<Row> {
  const memory = watchMemory(dormouse);
  const socket = connect(dormouse.port, '127.0.0.1');
  const beganAt = performance.now();
  let received = 0;
  let tail = '';
  const done = new Promise<void>((resolve, reject) => {
    socket.once('error', reject).once('close', () => resolve());
    socket.on('data', (chunk: Buffer) => {
      received += chunk.length;
      if (way === 'up') tail += chunk.toString('latin1');
    });
  });
  if (way === 'down') socket.write(`GET /down/${bytes} HTTP/1.1\r\nHost: bench\r\nConnection: close\r\n\r\n`);
  else {
    socket.write(`POST /up HTTP/1.1\r\nHost: bench\r\nConnection: close\r\nContent-Length: ${bytes}\r\n\r\n`);
    pump(socket, bytes);
  }
  await done;
  const seconds = (performance.now() - beganAt) / 1000;
  const { before, most } = memory.stop();
  const whole = way === 'down' ? received > bytes : tail.endsWith(`\r\n\r\n${bytes}`);
  if (name !== 'warm-up') context.progress(`${name}: ${(bytes / 1e9).toFixed(0)} GB in ${seconds.toFixed(0)} s`);
  return {
    cells: [
      name,
      bytes.toExponential(0),
      seconds.toFixed(1),
      (bytes / 1e6 / seconds).toFixed(0),
      before.toFixed(0),
      most.toFixed(0),
    ],
    ...(!whole
      ? { failure: `${name}: not all of it came` }
      : most - before > MOST_MEGABYTES
        ? { failure: `${name}: memory grew by ${(most - before).toFixed(0)} MB` }
        : {}),
  };
}

async function slowReader(dormouse: RunningDormouse): Promise<Row> {
  const memory = watchMemory(dormouse);
  const socket = connect({ port: dormouse.port, host: '127.0.0.1' });
  socket.on('error', () => {});
  socket.pause();
  socket.write('GET /endless HTTP/1.1\r\nHost: bench\r\n\r\n');
  let read = 0;
  const beganAt = performance.now();
  while (performance.now() - beganAt < 5000) {
    await new Promise((resolve) => setTimeout(resolve, 100));
    if (socket.read(1) !== null) read++;
  }
  const { before, most } = memory.stop();
  socket.destroy();
  return {
    cells: ['slow reader', String(read), '5.0', '0', before.toFixed(0), most.toFixed(0)],
    ...(most - before > MOST_MEGABYTES
      ? { failure: `slow reader: memory grew by ${(most - before).toFixed(0)} MB` }
      : {}),
  };
}

function watchMemory(dormouse: RunningDormouse): { stop(): { before: number; most: number } } {
  const pids = processTree(dormouse.program.pid);
  const before = rssBytes(pids) / 1e6;
  let most = before;
  const timer = setInterval(() => (most = Math.max(most, rssBytes(pids) / 1e6)), 100);
  return {
    stop() {
      clearInterval(timer);
      return { before, most: Math.max(most, rssBytes(pids) / 1e6) };
    },
  };
}
