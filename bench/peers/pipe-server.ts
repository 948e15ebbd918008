/** `pipe-server.ts PORT BACKEND_PORT`: one connection to the backend for each of a client's, bytes passed on as they come. */
import { connect, createServer, type Socket } from 'node:net';

const [port, backendPort] = process.argv.slice(2).map(Number);
if (port === undefined || backendPort === undefined) throw new Error('usage: pipe-server.ts PORT BACKEND_PORT');

function pass(from: Socket, to: Socket): void {
  from.on('data', (chunk) => {
    if (!to.write(chunk)) from.pause();
  });
  to.on('drain', () => from.resume());
  from.on('end', () => to.end());
  from.on('error', () => to.destroy());
}

createServer({ noDelay: true, allowHalfOpen: true }, (client) => {
  const backend = connect({ port: backendPort, host: '127.0.0.1', noDelay: true, allowHalfOpen: true });
  pass(client, backend);
  pass(backend, client);
}).listen({ port, host: '127.0.0.1', backlog: 4096 });
