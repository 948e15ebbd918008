'use strict';
// The application of the wake bench: answers as soon as it listens. On node:net, because the first request of a fresh node:http server takes some 4 ms of
// compiling, which would be most of what is measured. Answers like stamping-app.cjs; takes requests without a body only.
const { createServer } = require('node:net');

let readyNs = 0n;
let ownMs = 0;
let sequence = 0;

const server = createServer((socket) => {
  socket.on('error', () => {});
  let head = '';
  socket.on('data', (chunk) => {
    head += chunk.toString('latin1');
    if (!head.endsWith('\r\n\r\n')) return;
    head = '';
    const text = `{"pid":${process.pid},"readyNs":"${readyNs}","ownMs":${ownMs},"sequence":${++sequence},"bodyBytes":0}`;
    socket.write(`HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: ${text.length}\r\n\r\n${text}`);
  });
});

server.listen({ port: Number(process.env.PORT), host: '127.0.0.1', backlog: 4096 }, () => {
  readyNs = process.hrtime.bigint();
  ownMs = performance.now();
});
process.on('SIGTERM', () => process.exit(0));
