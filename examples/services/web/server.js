// A small web page. Dormouse starts this file when the first request for it arrives and tells it its port in PORT.
import { readFileSync } from 'node:fs';
import { createServer } from 'node:http';

const startedAt = new Date();
const page = readFileSync(new URL('./index.html', import.meta.url), 'utf8');

const server = createServer((request, response) => {
  if (request.url !== '/') {
    response.writeHead(404, { 'content-type': 'text/plain; charset=utf-8' }).end('Nothing here. Try /\n');
    return;
  }
  const seconds = ((Date.now() - startedAt.getTime()) / 1000).toFixed(1);
  response
    .writeHead(200, { 'content-type': 'text/html; charset=utf-8', 'cache-control': 'no-store' })
    .end(
      page
        .replace('{{started}}', startedAt.toISOString())
        .replace('{{seconds}}', seconds)
        .replace('{{pid}}', String(process.pid)),
    );
});

server.listen(Number(process.env.PORT), '127.0.0.1');
process.on('SIGTERM', () => server.close(() => process.exit(0)));
