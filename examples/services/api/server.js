// A JSON API over an embedded database (SQLite, which Node carries). The file named by DATABASE is made and filled on the first start;
// what is added to it is still there after this process has slept and was started again.
import { mkdirSync } from 'node:fs';
import { createServer } from 'node:http';
import { dirname } from 'node:path';
import { DatabaseSync } from 'node:sqlite';

const MAX_BODY_BYTES = 10_000;
const file = process.env.DATABASE ?? 'users.db';
mkdirSync(dirname(file), { recursive: true });
const database = new DatabaseSync(file, { timeout: 5000 });
database.exec(`CREATE TABLE IF NOT EXISTS users (id INTEGER PRIMARY KEY, name TEXT NOT NULL, email TEXT NOT NULL)`);
database.exec(`INSERT OR IGNORE INTO users (id, name, email) VALUES
  (1, 'User One', 'one@example.org'), (2, 'User Two', 'two@example.org'), (123, 'User 123', 'user123@example.org')`);

const all = database.prepare('SELECT id, name, email FROM users ORDER BY id LIMIT 100');
const one = database.prepare('SELECT id, name, email FROM users WHERE id = ?');
const add = database.prepare('INSERT INTO users (name, email) VALUES (?, ?) RETURNING id, name, email');

/** Runs a query and answers with its result and, in Server-Timing, with the time that it took. */
function answer(response, status, query) {
  const startedAt = performance.now();
  const result = query();
  const milliseconds = (performance.now() - startedAt).toFixed(3);
  const found = result !== undefined;
  response.writeHead(found ? status : 404, {
    'content-type': 'application/json',
    'server-timing': `db;dur=${milliseconds};desc="SQLite"`,
  });
  response.end(JSON.stringify(found ? result : { error: 'no such user' }) + '\n');
}

function refuse(response, status, error) {
  response.writeHead(status, { 'content-type': 'application/json' }).end(JSON.stringify({ error }) + '\n');
}

async function create(request, response) {
  let text = '';
  for await (const chunk of request.setEncoding('utf8')) {
    text += chunk;
    if (text.length > MAX_BODY_BYTES) return refuse(response, 413, `a user has at most ${MAX_BODY_BYTES} characters`);
  }
  let user;
  try {
    user = JSON.parse(text);
  } catch {
    return refuse(response, 400, 'the body is not JSON');
  }
  if (typeof user?.name !== 'string' || typeof user?.email !== 'string') {
    return refuse(response, 422, 'name and email must be strings');
  }
  return answer(response, 201, () => add.get(user.name, user.email));
}

const server = createServer((request, response) => {
  const path = new URL(request.url, 'http://localhost').pathname;
  const id = /^\/api\/users\/(\d{1,15})$/.exec(path)?.[1];
  if (path === '/api/healthz') response.writeHead(204).end();
  else if (id !== undefined && request.method === 'GET') answer(response, 200, () => one.get(Number(id)));
  else if (path === '/api/users' && request.method === 'GET') answer(response, 200, () => all.all());
  else if (path === '/api/users' && request.method === 'POST') {
    create(request, response).catch((error) => refuse(response, 500, error.message));
  } else refuse(response, 404, 'try GET /api/users, GET /api/users/123 or POST /api/users');
});

server.listen(Number(process.env.PORT), '127.0.0.1');
process.on('SIGTERM', () =>
  server.close(() => {
    database.close();
    process.exit(0);
  }),
);
