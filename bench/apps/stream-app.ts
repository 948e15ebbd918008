/**
 * A backend of long-lived streams. Upgrades are WebSockets: each message of MESSAGE_BYTES is answered by one of the same size. /events sends an event of some 100 bytes to every
 * client every 5 ms, /large a body of 1 MB as an event stream. Prints its port.
 */
import { createHash } from 'node:crypto';
import { createServer, type ServerResponse } from 'node:http';
import type { AddressInfo, Socket } from 'node:net';
import { ANSWER_FRAME, MESSAGE_FRAME_BYTES } from './stream-frames.ts';

const EVENT = `data: ${'x'.repeat(90)}\n\n`;
const EVERY_MS = 5;
const LARGE_BYTES = 1_000_000;
const PART = Buffer.from('data: '.padEnd(15_998, 'x') + '\n\n');

const listeners = new Set<ServerResponse>();
const server = createServer((request, response) => {
  response.setHeader('content-type', 'text/event-stream');
  if (request.url === '/large') {
    pump(response, LARGE_BYTES);
    return;
  }
  response.flushHeaders();
  listeners.add(response);
  response.on('close', () => listeners.delete(response));
});
setInterval(() => {
  for (const response of listeners) response.write(EVENT);
}, EVERY_MS);

function pump(response: ServerResponse, bytes: number): void {
  let left = bytes;
  const more = (): void => {
    while (left > 0) {
      const part = left < PART.length ? PART.subarray(0, left) : PART;
      left -= part.length;
      if (!response.write(part)) {
        response.once('drain', more);
        return;
      }
    }
    response.end();
  };
  more();
}

server.on('upgrade', (request, duplex, head) => {
  const socket = duplex as Socket;
  socket.setNoDelay(true);
  const key = `${request.headers['sec-websocket-key']}258EAFA5-E914-47DA-95CA-C5AB0DC85B11`;
  const accept = createHash('sha1').update(key).digest('base64');
  socket.write(
    `HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Accept: ${accept}\r\n\r\n`,
  );
  let received = 0;
  const take = (chunk: Buffer): void => {
    received += chunk.length;
    while (received >= MESSAGE_FRAME_BYTES) {
      received -= MESSAGE_FRAME_BYTES;
      socket.write(ANSWER_FRAME);
    }
  };
  socket.on('data', take).on('error', () => {});
  socket.on('end', () => socket.end());
  if (head.length > 0) take(head);
});
server.keepAliveTimeout = 3_600_000;
server.listen(0, '127.0.0.1', 4096, () => console.log(`port ${(server.address() as AddressInfo).port}`));
