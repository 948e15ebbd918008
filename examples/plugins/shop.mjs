import { createServer } from 'node:http';
createServer((request, response) => {
  response.end(`${request.method} ${request.url} for ${request.headers['x-tenant-name'] ?? 'nobody'}\n`);
}).listen(Number(process.env.PORT), '127.0.0.1');
