// Takes three seconds before it listens, as a larger application would. Whoever asks for it while it starts waits and gets its answer.
import { createServer } from 'node:http';
import { setTimeout as sleep } from 'node:timers/promises';

const WARM_UP_MS = 3000;
const began = Date.now();
process.on('SIGTERM', () => process.exit(0));

await sleep(WARM_UP_MS);

const server = createServer((_request, response) => {
  response
    .writeHead(200, { 'content-type': 'text/html; charset=utf-8' })
    .end(
      `<!doctype html><title>Slow starter</title><h1>Here at last</h1><p>Started ${Date.now() - began} ms ago, ready after ${WARM_UP_MS} ms.</p>\n`,
    );
});
server.listen(Number(process.env.PORT), '127.0.0.1');
process.removeAllListeners('SIGTERM');
process.on('SIGTERM', () => server.close(() => process.exit(0)));
