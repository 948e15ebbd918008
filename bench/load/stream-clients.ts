/**
 * Clients of bench/apps/stream-app.ts: `stream-clients.ts JOB PORT CONNECTIONS SECONDS`. Prints the number of messages, events or bodies that came whole in that time
 * as one line of JSON. `idle` opens WebSockets, says so and keeps them until it is ended.
 */
import { connect, type Socket } from 'node:net';
import { ANSWER_FRAME, MESSAGE_FRAME } from '../apps/stream-frames.ts';

const [job = '', port = '', connections = '', seconds = ''] = process.argv.slice(2);
const OPEN_AT_ONCE = 100;
let count = 0;
let counting = false;

function open(request: string, onData: (chunk: Buffer, socket: Socket) => void): Promise<Socket> {
  return new Promise((resolve, reject) => {
    const socket = connect({ port: Number(port), host: '127.0.0.1', noDelay: true });
    let head = '';
    socket.on('error', reject);
    socket.on('connect', () => socket.write(request));
    const onHead = (chunk: Buffer): void => {
      head += chunk.toString('latin1');
      const end = head.indexOf('\r\n\r\n');
      if (end < 0) return;
      if (!/^HTTP\/1\.1 (?:101|200) /.test(head)) reject(new Error(head.slice(0, 200)));
      socket.off('data', onHead).on('data', (data: Buffer) => onData(data, socket));
      resolve(socket);
      const rest = Buffer.from(head.slice(end + 4), 'latin1');
      if (rest.length > 0) onData(rest, socket);
    };
    socket.on('data', onHead);
    socket.on('close', () => reject(new Error('the connection was closed')));
  });
}

const UPGRADE =
  'GET /ws HTTP/1.1\r\nHost: bench\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n';

async function openAll(one: () => Promise<Socket>): Promise<Socket[]> {
  const sockets: Socket[] = [];
  while (sockets.length < Number(connections)) {
    const missing = Math.min(OPEN_AT_ONCE, Number(connections) - sockets.length);
    sockets.push(...(await Promise.all(Array.from({ length: missing }, one))));
  }
  return sockets;
}

/** Each client says one message at a time. */
async function echo(): Promise<void> {
  const sockets = await openAll(() => {
    let received = 0;
    return open(UPGRADE, (chunk, socket) => {
      received += chunk.length;
      if (received < ANSWER_FRAME.length) return;
      received -= ANSWER_FRAME.length;
      if (counting) count++;
      socket.write(MESSAGE_FRAME);
    });
  });
  for (const socket of sockets) socket.write(MESSAGE_FRAME);
}

async function events(): Promise<void> {
  await openAll(() => open('GET /events HTTP/1.1\r\nHost: bench\r\n\r\n', (chunk) => countEvents(chunk)));
}

function countEvents(chunk: Buffer): void {
  if (!counting) return;
  for (let at = chunk.indexOf('data:'); at >= 0; at = chunk.indexOf('data:', at + 5)) count++;
}

/** Bodies one after the other on each connection; a body ends with its last chunk. */
async function bodies(): Promise<void> {
  const request = 'GET /large HTTP/1.1\r\nHost: bench\r\n\r\n';
  await openAll(() =>
    open(request, (chunk, socket) => {
      if (!chunk.subarray(-5).equals(Buffer.from('0\r\n\r\n'))) return;
      if (counting) count++;
      socket.write(request);
    }),
  );
}

switch (job) {
  case 'echo':
    await echo();
    break;
  case 'events':
    await events();
    break;
  case 'bodies':
    await bodies();
    break;
  default:
    await openAll(() => open(UPGRADE, () => {}));
    console.log('open');
    setInterval(() => {}, 3_600_000);
}
if (job !== 'idle') {
  counting = true;
  const startedAt = performance.now();
  setTimeout(
    () => {
      console.log(JSON.stringify({ count, seconds: (performance.now() - startedAt) / 1000 }));
      process.exit(0);
    },
    Number(seconds) * 1000,
  );
}
