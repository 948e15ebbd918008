/** `dormouse check`: typical mistakes in what a reverse proxy is told, each with its place and a next step; what it notes about a valid file. */
import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test, type TestContext } from 'node:test';

const MAIN = new URL('./main.ts', import.meta.url).pathname;

async function check(t: TestContext, text: string): Promise<{ out: string; lines: string[] }> {
  const folder = await mkdtemp(join(tmpdir(), 'dormouse-check-'));
  t.after(() => rm(folder, { recursive: true, force: true }));
  await writeFile(join(folder, 'dormouse.yaml'), text);
  return new Promise((resolve) => {
    execFile(process.execPath, [MAIN, 'check'], { cwd: folder }, (_error, out, err) => {
      const lines = err.split('\n').filter((line) => line !== '');
      resolve({ out, lines: lines.map((line) => line.replace(`${folder}/`, '')) });
    });
  });
}

const MISTAKES = `listeners:
  - { name: web, address: ":8080" }
  - { name: secure, address: ":8443", protocol: https }
  - { name: raw, address: ":9000", protocol: tcp }
  - { name: cert, address: ":9443", protocol: https, tls: { certificates: [{ cert: gone.pem, key: gone.key }] } }
backends:
  app:
    servers: [http://127.0.0.1:8081]
    health: /healthz
    endpoints: { protocol: h2 }
routes:
  - listeners: [raw]
    backend: app
  - hosts: ["*shop.example.com"]
    clients: { allow: [10.0.0.0/33] }
    rules:
      - backends: [{ name: app }]
        filters:
          - jwt: { audience: shop, jwks: { url: https://login.example.com/keys } }
          - apiKey: { keys: [{ name: partner, key: secret }] }
          - basic: { users: [{ name: ann, hash: "$$2y$$05$$abcdefghijklmnopqrstuv" }] }
          - rateLimit: { window: 60s }
          - compress: { types: [html] }
          - rewrite: { path: /internal }
          - ratelimit: { limit: 10 }
        retry: { on: [error] }
`;

test('typical mistakes are told with line, column, key and a next step', async (t) => {
  const { lines } = await check(t, MISTAKES);
  const filter = 'routes[1].rules[0].filters';
  assert.deepEqual(
    lines.map((line) => line.replace(/there is no file \S*\//, 'there is no file ')),
    [
      '3:5 listeners[1]: has protocol https and no certificate; add tls: { certificates: [{ cert: FILE, key: FILE }] }',
      '4:5 listeners[2]: has protocol tcp and no backend; add backend: NAME',
      '5:84 listeners[3].tls.certificates[0].cert: there is no file gone.pem; relative paths start at the folder of the configuration file',
      '5:99 listeners[3].tls.certificates[0].key: there is no file gone.key; relative paths start at the folder of the configuration file',
      '9:13 backends.app.health: expected a mapping, got "/healthz"; write { KEY: … }; there are http, interval, timeout, status, rise, fall',
      '12:17 routes[0].listeners[0]: raw is a tcp listener, whose connections all go to its backend; remove it here',
      '14:13 routes[1].hosts[0]: "*shop.example.com" is not a host; a wildcard is *. and a name: *.example.com',
      '15:24 routes[1].clients.allow[0]: "10.0.0.0/33": expected /0 to /32; write an address or a network: 10.0.0.1, 10.0.0.0/8, fd00::/8',
      `19:13 ${filter}[0].jwt.issuer: is missing; add issuer: …`,
      `20:30 ${filter}[1].apiKey.keys[0].hash: is missing; add hash: …`,
      `20:47 ${filter}[1].apiKey.keys[0].key: unknown key; there are name, hash`,
      `21:22 ${filter}[2].basic.users: what stands for ann is a hash of the kind 2y, and only scrypt and argon2id are read; make one with: dormouse hash-password`,
      `22:13 ${filter}[3].rateLimit.limit: is missing; add limit: …`,
      `23:33 ${filter}[4].compress.types[0]: a media type without parameters, e.g. application/json, text/* or application/*+json`,
      `24:30 ${filter}[5].rewrite.path: expected a mapping, got "/internal"; write { KEY: … }; there are prefix, full, stripPrefix, addPrefix, regex, replacement`,
      `25:13 ${filter}[6].ratelimit: unknown filter; did you mean "rateLimit"?`,
      '26:23 routes[1].rules[0].retry.on[0]: "error" is nothing to retry on; there are connect, reset, timeout, 5xx, 502, 503, 504',
    ].map((line) => `dormouse.yaml:${line}`),
  );
});

test('a backend that only a filter asks is not called unused, one that only gets copies is not woken by them', async (t) => {
  const { out } = await check(
    t,
    `listeners: [{ address: 127.0.0.1:0 }]
backends:
  app: { servers: [http://127.0.0.1:8081] }
  auth: { process: { command: [node] } }
  keys: { process: { command: [node] } }
  next: { process: { command: [node] } }
  old: { servers: [http://127.0.0.1:8082] }
  spare: { servers: [http://127.0.0.1:8083] }
routes:
  - rules:
      - backends: [{ name: app }]
        filters:
          - forwardAuth: { backend: auth }
          - jwt: { issuer: a, audience: b, jwks: { backend: keys, path: /keys } }
          - mirror: { backend: next }
          - mirror: { backend: old }
`,
  );
  const notes = out.split('\n').filter((line) => line.includes('note:'));
  assert.deepEqual(notes, [
    '  note: no route leads to backend next; only dormouse wake next wakes it',
    '  note: no route leads to backend spare',
  ]);
});
