// What is in the queue and what became of it, as JSON: once; a line again and again (--every MS); or over HTTP (--serve PORT), for a cluster.
import { createServer } from 'node:http';
import { setTimeout as delay } from 'node:timers/promises';
import { QUEUE_FLAGS, numberOf, readFlags } from './flags.js';
import { openSource } from './source.js';

const flags = readFlags('stats.js [flags]', {
  ...QUEUE_FLAGS,
  every: { value: '0', help: 'ms from one line to the next; 0: once' },
  serve: { value: '0', help: 'the port of an HTTP server that answers with the figures; 0: none' },
});
const everyMs = numberOf(flags, 'every', 0, 3_600_000);
const port = numberOf(flags, 'serve', 0, 65_535);

const ending = new AbortController();
process.on('SIGTERM', () => ending.abort());
process.on('SIGINT', () => ending.abort());
// Whoever reads the lines is gone.
process.stdout.on('error', () => process.exit(0));

const source = await openSource(flags, { stays: port > 0, log: (text) => console.error(text) });
const read = async () => JSON.stringify({ atMs: Date.now(), queue: flags.queue, ...(await source.stats()) });

if (port > 0) {
  const server = createServer((_request, response) => {
    read().then(
      (body) => response.writeHead(200, { 'content-type': 'application/json' }).end(`${body}\n`),
      (error) => response.writeHead(503, { 'content-type': 'text/plain' }).end(`${error.message}\n`),
    );
  });
  server.listen(port);
  ending.signal.addEventListener('abort', () => {
    server.close();
    server.closeAllConnections();
    void source.close();
  });
} else {
  console.log(await read());
  while (everyMs > 0 && !ending.signal.aborted) {
    await delay(everyMs, undefined, { signal: ending.signal }).catch(() => {});
    if (!ending.signal.aborted) console.log(await read());
  }
  await source.close();
}
