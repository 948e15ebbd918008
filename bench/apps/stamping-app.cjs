'use strict';
// The application of the wake, burst, sleep-edge and soak benches. Every answer tells when this process was ready and which request it is:
//   readyNs   the monotonic clock at the moment it listened (all processes of a machine share that clock)
//   ownMs     from its start to that moment
//   sequence  1 for the first request that it got
//   bodyBytes of the request, echo: the request's x-bench-id
// GET /crash ends it at once. LISTEN_AFTER_MS delays its listening.
const { createServer } = require('node:http');

let readyNs = 0n;
let ownMs = 0;
let sequence = 0;

const server = createServer((request, response) => {
  if (request.url === '/crash') process.exit(70);
  const number = ++sequence;
  let bodyBytes = 0;
  request.on('data', (chunk) => (bodyBytes += chunk.length));
  request.on('end', () => {
    const text = JSON.stringify({
      pid: process.pid,
      readyNs: String(readyNs),
      ownMs,
      sequence: number,
      bodyBytes,
      echo: request.headers['x-bench-id'],
    });
    response.writeHead(200, { 'content-type': 'application/json', 'content-length': text.length }).end(text);
  });
});
server.keepAliveTimeout = 0;

setTimeout(
  () =>
    server.listen({ port: Number(process.env.PORT), host: '127.0.0.1', backlog: 4096 }, () => {
      readyNs = process.hrtime.bigint();
      ownMs = performance.now();
    }),
  Number(process.env.LISTEN_AFTER_MS ?? 0),
);
process.on('SIGTERM', () => {
  server.close(() => process.exit(0));
  server.closeIdleConnections();
});
