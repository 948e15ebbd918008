// The user service: GET /users/ID and POST /users over an embedded database (SQLite, which Node carries). The file named by DATABASE is made and filled on the
// first start; what is added to it is still there after this process has slept and was started again.
// It is behind the API gateway, which has checked who asks (X-User) and the form of what comes.
import { mkdirSync } from 'node:fs';
import { createServer } from 'node:http';
import { dirname } from 'node:path';
import { DatabaseSync } from 'node:sqlite';

const MAX_BODY_BYTES = 20_000;
const file = process.env.DATABASE ?? 'users.db';
mkdirSync(dirname(file), { recursive: true });
const database = new DatabaseSync(file, { timeout: 5000 });
database.exec(`
  CREATE TABLE IF NOT EXISTS users (id INTEGER PRIMARY KEY, name TEXT NOT NULL, email TEXT NOT NULL, notes TEXT NOT NULL DEFAULT '');
  INSERT OR IGNORE INTO users (id, name, email, notes)
    WITH RECURSIVE numbers (n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM numbers WHERE n < 200)
    SELECT n, 'User ' || n, 'user' || n || '@example.com', 'not for clients' FROM numbers;
`);
const one = database.prepare('SELECT id, name, email, notes FROM users WHERE id = ?');
const add = database.prepare('INSERT INTO users (name, email) VALUES (?, ?) RETURNING id, name, email, notes');

/** Runs a query and answers with its result and, in Server-Timing, with the time that it took. */
function answer(response, status, query) {
  const startedAt = performance.now();
  const user = query();
  const milliseconds = (performance.now() - startedAt).toFixed(3);
  response.setHeader('server-timing', `db;dur=${milliseconds};desc="SQLite"`);
  if (user === undefined) problem(response, 404, 'There is no such user.');
  else respond(response, status, 'application/json', user);
}

function problem(response, status, detail) {
  respond(response, status, 'application/problem+json', { status, detail });
}

function respond(response, status, type, content) {
  const body = `${JSON.stringify(content)}\n`;
  response.writeHead(status, { 'content-type': type, 'content-length': Buffer.byteLength(body) }).end(body);
}

async function create(request, response) {
  let text = '';
  for await (const chunk of request.setEncoding('utf8')) {
    text += chunk;
    if (text.length > MAX_BODY_BYTES) return problem(response, 413, 'That is too long for a user.');
  }
  const { name, email } = JSON.parse(text);
  console.log(`${request.headers['x-user']} adds ${JSON.stringify(name)}`);
  return answer(response, 201, () => add.get(name, email));
}

const server = createServer((request, response) => {
  const path = new URL(request.url, 'http://localhost').pathname;
  const id = /^\/users\/(\d{1,9})$/.exec(path)?.[1];
  if (path === '/healthz') response.writeHead(204).end();
  else if (id !== undefined && request.method === 'GET') answer(response, 200, () => one.get(Number(id)));
  else if (path === '/users' && request.method === 'POST') {
    create(request, response).catch((error) => problem(response, 400, error.message));
  } else problem(response, 404, 'Try GET /users/123 or POST /users.');
});

server.listen(Number(process.env.PORT), '127.0.0.1');
process.on('SIGTERM', () =>
  server.close(() => {
    database.close();
    process.exit(0);
  }),
);
