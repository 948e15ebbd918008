/** The worked example as a user runs it: `dormouse demo users`, and the lines that it prints. */
import { strict as assert } from 'node:assert';
import { execFile, spawn, type ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { existsSync, readFileSync } from 'node:fs';
import https from 'node:https';
import { dirname, join } from 'node:path';
import { after, before, describe, it } from 'node:test';
import { promisify } from 'node:util';
import type { TimingEntry } from '../../src/commands/trace/server-timing.ts';
import type { Bar } from '../../src/commands/trace/waterfall.ts';
import type { Answer } from './fixtures/client.ts';
import { processesWith } from './fixtures/processes.ts';
import { until } from './fixtures/until.ts';

const run = promisify(execFile);
const root = join(import.meta.dirname, '../..');
const launcher = join(root, 'dormouse');
const LONGEST_LIFE_MS = 50_000;

interface Traced {
  client: { status: number };
  gateways: { listener: string; route: string; backend: string; durMs: number; spans: TimingEntry[] }[];
  application: TimingEntry[];
  bars: Bar[];
}

describe('demo users', () => {
  let child: ChildProcess;
  let life: NodeJS.Timeout;
  let ended: Promise<unknown[]>;
  let output = '';
  let errors = '';
  let folder = '';
  let port = 0;
  let ca = '';
  let agent: https.Agent;
  const token = (name = 'token'): string => `Bearer ${readFileSync(join(folder, name), 'utf8')}`;

  const seen = (what: RegExp): Promise<RegExpExecArray> =>
    until(`${what} in ${output}${errors}`, () => {
      if (child.exitCode !== null) throw new Error(`it ended: ${output}${errors}`);
      return what.exec(output);
    });

  before(async () => {
    child = spawn('sh', [launcher, 'demo', 'users'], {
      cwd: root,
      // Port 0: any that is free, so that the test can run beside a demo.
      env: { ...process.env, DORMOUSE_PORT: '0', DORMOUSE_OBSERVE_PORT: '0', GATEWAY_OBSERVE_PORT: '0' },
      stdio: ['ignore', 'pipe', 'pipe'],
    });
    ended = once(child, 'close');
    life = setTimeout(() => child.kill('SIGKILL'), LONGEST_LIFE_MS);
    child.stdout!.setEncoding('utf8').on('data', (text) => (output += text));
    child.stderr!.setEncoding('utf8').on('data', (text) => (errors += text));
    const [, file, address] = await seen(/curl --cacert (\S+) --connect-to example\.com:443:127\.0\.0\.1:(\d+) /);
    await seen(/What happens:\n/);
    folder = dirname(file!);
    port = Number(address);
    ca = readFileSync(file!, 'utf8');
    agent = new https.Agent({ keepAlive: true, ca });
  });

  after(async () => {
    agent?.destroy();
    child.kill('SIGKILL');
    clearTimeout(life);
    await ended;
  });

  function ask(path: string, authorization: string | null = token(), method = 'GET', body = ''): Promise<Answer> {
    return new Promise((resolve, reject) => {
      const headers: Record<string, string> = { host: 'example.com' };
      if (authorization !== null) headers.authorization = authorization;
      if (body !== '') headers['content-type'] = 'application/json';
      const request = https.request(
        { host: '127.0.0.1', port, servername: 'example.com', path, method, headers, agent },
        (response) => {
          let text = '';
          response.setEncoding('utf8').on('data', (part: string) => (text += part));
          response.on('end', () => resolve({ status: response.statusCode!, headers: response.headers, body: text }));
          response.on('error', reject);
        },
      );
      request.on('error', reject);
      request.end(body === '' ? undefined : body);
    });
  }

  /** The phase of the user service, as `dormouse status` tells it. */
  async function phase(): Promise<string> {
    const { stdout } = await run('sh', [launcher, 'status', 'users', '--state-dir', join(folder, 'gateway'), '--json']);
    return (JSON.parse(stdout) as { phase: string }).phase;
  }

  async function trace(): Promise<Traced> {
    const [, line] = await seen(/\n {2}(\.\/dormouse trace .*)\n/);
    const { stdout } = await run('sh', ['-c', `${line} --json`], { cwd: root });
    return JSON.parse(stdout) as Traced;
  }

  it('refuses at the API gateway what is wrong, while the service sleeps on', async () => {
    const nobody = await ask('/api/users/123', null);
    assert.equal(nobody.status, 401);
    assert.match(nobody.headers['www-authenticate']!, /^Bearer /);
    assert.equal((await ask('/api/users/123', `${token().slice(0, -4)}AAAA`)).status, 401);
    for (const path of ['/api/users/me', '/api/users/0', '/api/users/123%27', '/api/users/123/..%2f1'])
      assert.ok([400, 404].includes((await ask(path)).status), path);
    const { status, body } = await ask('/api/users/me');
    assert.deepEqual([status, (JSON.parse(body) as { code: string }).code], [400, 'path-refused']);
    assert.equal((await ask('/api/users', token(), 'POST', '{"name":"X","email":"x@example.com"}')).status, 403);
    assert.equal((await ask('/api/users', token('writer-token'), 'POST', '{"name":""}')).status, 422);
    assert.equal(await phase(), 'asleep');
  });

  it('traces the first request through every hop: both gateways, each filter, the wake, the database', async () => {
    const { client, gateways, application, bars } = await trace();
    assert.equal(client.status, 200);
    const [balancer, gateway] = gateways;
    assert.deepEqual(
      gateways.map(({ listener, route, backend }) => [listener, route, backend]),
      [
        ['internet', 'example.com', 'api-gateway'],
        ['api', 'users', 'users'],
      ],
    );
    assert.ok(gateway!.durMs < balancer!.durMs);
    const steps = gateway!.spans.map(({ name, desc }) => (name.endsWith('filter') ? `${name} ${desc}` : name));
    assert.deepEqual(steps.slice(steps.indexOf('filter validate')), [
      ...[
        'filter validate',
        'filter jwt',
        'filter rateLimit',
        'filter rewrite',
        'filter requestHeaders',
        'filter body',
      ],
      ...['wake', 'balance', 'connect', 'first-byte', 'response-filter responseHeaders', 'response-filter body'],
    ]);
    assert.ok(gateway!.spans.find(({ name }) => name === 'wake')!.durMs > 10);
    assert.deepEqual(
      application.map(({ name, desc }) => [name, desc]),
      [['db', 'SQLite']],
    );
    const labels = bars.map(({ label }) => label);
    const order = ['client', 'gateway internet', 'gateway api', 'filter jwt', 'wake', 'db'];
    assert.deepEqual(
      labels.filter((label) => order.includes(label)),
      order,
    );
    await seen(/users is awake after .*GET \/api\/users\/123/);
    assert.equal(await phase(), 'awake');
    assert.ok(!(await trace()).gateways[1]!.spans.some(({ name }) => name === 'wake'));
  });

  it('gives the user from the database, without what is not for clients', async () => {
    const { status, headers, body } = await ask('/api/users/123');
    assert.deepEqual([status, JSON.parse(body)], [200, { id: 123, name: 'User 123', email: 'user123@example.com' }]);
    assert.equal(headers['cache-control'], 'no-store');
    assert.equal((await ask('/api/users/999')).status, 404);
  });

  it('adds a user for who may', async () => {
    const { status, body } = await ask(
      '/api/users',
      token('writer-token'),
      'POST',
      '{"name":"New","email":"new@example.com"}',
    );
    assert.equal(status, 201, body);
    const { id } = JSON.parse(body) as { id: number };
    assert.equal((JSON.parse((await ask(`/api/users/${id}`)).body) as { name: string }).name, 'New');
    const { stdout } = await run('sh', [launcher, 'logs', 'users', '--state-dir', join(folder, 'gateway')]);
    assert.match(stdout, /bob adds "New"/);
  });

  it('limits how often each user may ask', async () => {
    const answers = await Promise.all(Array.from({ length: 60 }, () => ask('/api/users/1')));
    const refused = answers.filter(({ status }) => status === 429);
    assert.ok(refused.length >= 30, `${refused.length} of 60 were refused`);
    assert.ok(Number(refused[0]!.headers['retry-after']) >= 1);
    assert.ok(answers.every(({ status }) => status === 200 || status === 429));
    assert.equal((await ask('/api/users/1', token('writer-token'))).status, 200);
  });

  it('ends with Ctrl-C and leaves nothing', async () => {
    child.kill('SIGINT');
    const [code] = await ended;
    assert.equal(code, 0, errors);
    assert.match(output, /Ended; nothing is left running\.\n$/);
    assert.equal(errors, '');
    assert.deepEqual(processesWith(folder), []);
    assert.ok(!existsSync(folder));
  });
});
