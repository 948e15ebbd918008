/** Backends that are made, changed and deleted while dormouse runs: over the command line, over TCP, through restarts and kills. */
import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { readFileSync, statSync, writeFileSync } from 'node:fs';
import http from 'node:http';
import { join } from 'node:path';
import { describe, it } from 'node:test';
import { hashApiKey } from '../../src/gateway/auth/api-keys.ts';
import { Authority, writePem } from '../../src/gateway/fixtures/certificates.ts';
import { ask } from './fixtures/client.ts';
import { application } from './fixtures/configuration.ts';
import { Place, type Dormouse } from './fixtures/dormouse.ts';
import { until } from './fixtures/until.ts';

const BASE = `
workers: 1
listeners: [{ address: 127.0.0.1:0 }]
observe: off
`;
const FILE = `${BASE}
admin: { address: 127.0.0.1:0 }
telemetry: { accessLog: { format: off } }
backends:
  mine: { process: { command: ${JSON.stringify(application({ name: 'mine' }))} } }
routes: [{ hosts: [mine.example.com], backend: mine }]
`;

interface Told {
  status: number;
  // oxlint-disable-next-line typescript/no-explicit-any
  json: any;
}

/** Over TCP, with the token of the state folder unless another is given. */
function api(
  up: Dormouse,
  method: string,
  path: string,
  body?: unknown,
  headers: Record<string, string> = {},
): Promise<Told> {
  const token = readFileSync(join(up.place.stateDir, 'admin-token'), 'utf8').trim();
  return new Promise((resolve, reject) => {
    const request = http.request(
      {
        host: '127.0.0.1',
        port: adminPort(up),
        path,
        method,
        agent: false,
        headers: { authorization: `Bearer ${token}`, 'content-type': 'application/json', ...headers },
      },
      (response) => {
        let text = '';
        response.setEncoding('utf8').on('data', (part) => (text += part));
        response.on('end', () => resolve({ status: response.statusCode!, json: JSON.parse(text) }));
      },
    );
    request.on('error', reject);
    request.end(body === undefined ? undefined : JSON.stringify(body));
  });
}

function adminPort(up: Dormouse): number {
  return (up.log.findLast(({ msg }) => msg === 'dormouse is up')!.admin as { port: number }).port;
}

/** Who answers for this host. */
async function pid(up: Dormouse, host: string): Promise<number> {
  const { status, body } = await ask(await up.port(), { path: '/pid', headers: { host } });
  assert.equal(status, 200, body);
  return (JSON.parse(body) as { pid: number }).pid;
}

describe('the admin API', () => {
  it(
    'makes, changes and deletes a backend from the command line, and leaves the file alone',
    { timeout: 60_000 },
    async () => {
      await using place = new Place(FILE);
      const up = await place.start().up();
      assert.equal(statSync(join(place.stateDir, 'admin-token')).mode & 0o777, 0o600);
      const run = await place.run(
        'run',
        '--name',
        'shop',
        '--idle-after',
        '60s',
        '--',
        ...application({ name: 'shop' }),
      );
      assert.deepEqual([run.code, run.stderr], [0, '']);
      assert.equal(run.stdout, 'shop is there, asleep: the first request for shop.localhost wakes it\n');
      const first = await pid(up, 'shop.localhost');

      const list = await place.run('backend', 'list');
      assert.match(list.stdout, /^mine +asleep +0\/0 +file/m);
      assert.match(list.stdout, /^shop +awake +1\/1 +api +shop\.localhost/m);
      const shown = JSON.parse((await place.run('backend', 'show', 'shop', '--json')).stdout);
      assert.deepEqual([shown.origin, shown.spec.scale], ['api', { idleAfter: '60s' }]);

      const update = await place.run('backend', 'update', 'shop', '--set', 'scale.max=2', '--host', 'shop.example.com');
      assert.deepEqual([update.code, update.stdout], [0, 'shop is changed\n']);
      assert.equal(await pid(up, 'shop.example.com'), first, 'what runs goes on');
      assert.equal((await ask(await up.port(), { headers: { host: 'shop.localhost' } })).status, 404);

      const wrong = await place.run('backend', 'update', 'shop', '--set', 'scale.mx=2');
      assert.equal(wrong.code, 1);
      assert.match(wrong.stderr, /^dormouse: \/scale\/mx: unknown key; did you mean "max"\?\n$/);
      const used = await place.run('backend', 'update', 'shop', '--set', 'nonsense');
      assert.deepEqual(
        [used.code, used.stderr],
        [2, 'dormouse: --set "nonsense": write KEY=VALUE, such as scale.max=3\n'],
      );
      const readOnly = await place.run('rm', 'mine');
      assert.equal(readOnly.code, 1);
      assert.match(readOnly.stderr, /^dormouse: mine stands in the configuration file and is changed there/);
      const unknown = await place.run('backend', 'show', 'shp', '--json');
      assert.equal(JSON.parse(unknown.stderr).code, 'DORMOUSE_BACKEND_UNKNOWN');
      assert.match(unknown.stderr, /did you mean shop\?/);

      const rm = await place.run('rm', 'shop');
      assert.deepEqual([rm.code, rm.stdout], [0, 'shop is gone (backend shop, route api.shop)\n']);
      assert.equal((await ask(await up.port(), { headers: { host: 'shop.example.com' } })).status, 404);
      assert.equal(readFileSync(place.file, 'utf8'), FILE);
      const audited = up.log
        .filter(({ audit }) => audit === true)
        .map(({ who, action, backend, result }) => [who, action, backend, result]);
      assert.deepEqual(audited, [
        ['socket', 'create', 'shop', 'done'],
        ['socket', 'patch', 'shop', 'done'],
        ['socket', 'patch', 'shop', 'DORMOUSE_ADMIN_FIELD'],
        ['socket', 'delete', 'mine', 'DORMOUSE_BACKEND_READ_ONLY'],
        ['socket', 'delete', 'shop', 'done'],
      ]);
      assert.equal((await up.status()).config.lastError, null);
      assert.equal(await up.stop(), 0);
    },
  );

  it('keeps what was made over a kill, a change of the file and a start', { timeout: 60_000 }, async () => {
    await using place = new Place(FILE);
    const first = await place.start().up();
    const process = { command: application({ name: 'shop' }), env: { SECRET: 'hunter2' } };
    const body = { name: 'shop', hosts: ['shop.example.com'], process };
    const key = { 'idempotency-key': 'one' };
    assert.equal((await api(first, 'POST', '/v1/backends', body, key)).status, 201);
    const again = await api(first, 'POST', '/v1/backends', body, key);
    assert.deepEqual([again.status, again.json.name], [201, 'shop']);
    const other = await api(first, 'POST', '/v1/backends', { ...body, hosts: [] }, key);
    assert.deepEqual([other.status, other.json.code], [422, 'DORMOUSE_ADMIN_IDEMPOTENCY_KEY']);
    const taken = await api(first, 'POST', '/v1/backends', body);
    assert.deepEqual([taken.status, taken.json.code], [409, 'DORMOUSE_BACKEND_EXISTS']);
    const until = new Date(Date.now() + 3_600_000).toISOString();
    assert.equal((await api(first, 'PUT', '/v1/backends/shop/awake', { until })).status, 200);
    await first.phase('shop', 'awake');
    first.child.kill('SIGKILL');
    await first.exited;

    const second = await place.start().up();
    const { awakeBecause } = await second.phase('shop', 'awake');
    assert.deepEqual(awakeBecause, [`kept awake by command until ${until}`]);
    assert.ok((await pid(second, 'shop.example.com')) > 0);
    assert.equal((await api(second, 'POST', '/v1/backends', body, key)).status, 201, 'the key is remembered');
    const sleep = await api(second, 'POST', '/v1/backends/shop/sleep');
    assert.deepEqual([sleep.status, sleep.json.code], [409, 'DORMOUSE_SLEEP_REFUSED']);

    const { version } = (await second.status()).config;
    place.write(FILE.replaceAll('mine', 'yours'));
    await until_(second, version);
    assert.ok((await pid(second, 'shop.example.com')) > 0);
    assert.ok((await pid(second, 'yours.example.com')) > 0);

    // The file gets a backend of the same name: there, the file counts.
    place.write(FILE.replaceAll('mine', 'shop'));
    await second.line(/made over the admin API too, and is left out/);
    await until_(second, version + 1);
    assert.ok((await pid(second, 'shop.example.com')) > 0);
    const removed = await api(second, 'DELETE', '/v1/backends/shop');
    assert.equal(removed.status, 200, 'what is left out can be deleted');
    assert.ok((await pid(second, 'shop.example.com')) > 0);
    assert.ok(!JSON.stringify(second.log).includes('hunter2'));
    assert.equal(await second.stop(), 0);
  });

  it(
    'says in one answer what is wrong, and with which field, and nothing has changed',
    { timeout: 60_000 },
    async () => {
      await using place = new Place(FILE);
      const up = await place.start().up();
      const fields = async (body: object): Promise<[number, string, string[]]> => {
        const { status, json } = await api(up, 'POST', '/v1/backends', body);
        return [status, json.code, (json.errors ?? []).map(({ field }: { field: string }) => field)];
      };
      const command = application({ name: 'x' });
      for (const name of ['Shop', 'a_b', '-a', 'a.b', 'x'.repeat(64), '', '../x', 'ü'])
        assert.deepEqual(await fields({ name, process: { command } }), [422, 'DORMOUSE_ADMIN_FIELD', ['/name']], name);
      assert.deepEqual(await fields({ process: { command } }), [422, 'DORMOUSE_ADMIN_FIELD', ['/name']]);
      assert.deepEqual(await fields({ name: 'a' }), [422, 'DORMOUSE_ADMIN_FIELD', ['']]);
      const many = { name: 'a', hosts: ['A B'], path: 'x', image: 'nginx', process: { command } };
      assert.deepEqual(await fields(many), [422, 'DORMOUSE_ADMIN_FIELD', ['/hosts/0', '/path', '/image']]);
      const deep = { name: 'a', process: { command, env: { X: '${HOME}' } }, wake: { with: ['nobody'] } };
      const [status, code, where] = await fields(deep);
      assert.deepEqual([status, code, where.sort()], [422, 'DORMOUSE_ADMIN_FIELD', ['/process/env/X', '/wake/with/0']]);
      assert.deepEqual(await fields({ name: 'a', servers: ['ftp://x'] }), [
        422,
        'DORMOUSE_ADMIN_FIELD',
        ['/servers/0'],
      ]);
      assert.deepEqual(
        (await up.status()).backends.map(({ name }) => name),
        ['mine'],
      );

      // A file that is broken just now is nobody's field.
      place.write(`${FILE}nonsense: 1\n`);
      await up.line(/the configuration was not applied/);
      const broken = await api(up, 'POST', '/v1/backends', { name: 'a', servers: ['http://127.0.0.1:1'] });
      assert.deepEqual([broken.status, broken.json.code], [409, 'DORMOUSE_ADMIN_CONFLICT']);
      assert.match(broken.json.detail, /dormouse\.yaml:\d+:\d+ nonsense/);
      place.write(FILE);
      await until('the file is well again', async () => (await up.status()).config.lastError === null);
      assert.equal((await api(up, 'POST', '/v1/backends', { name: 'a', servers: ['http://127.0.0.1:1'] })).status, 201);
      assert.equal(await up.stop(), 0);
    },
  );

  it(
    'over TLS, with tokens and a certificate of the client; a command of its own is nobody’s to run there',
    { timeout: 60_000 },
    async () => {
      await using place = new Place('');
      const authority = await Authority.create();
      writePem(place.path, 'server', await authority.issue({ names: ['localhost', '127.0.0.1'] }));
      writePem(place.path, 'client', await authority.issue({ names: ['operator'] }));
      writeFileSync(join(place.path, 'ca.pem'), authority.pem);
      const token = 'a-token-of-the-platform-team';
      writeFileSync(join(place.path, 'token'), `${token}\n`);
      const tokens = `tokens: [{ name: platform, hash: "${hashApiKey(token)}", scope: commands }]`;
      const tls = 'tls: { cert: server.crt, key: server.key, clientCa: ca.pem }';
      place.write(`${BASE}admin: { address: "0.0.0.0:0", ${tls} }\n`);
      const refused = await place.run('check');
      assert.equal(refused.code, 1);
      assert.match(
        refused.stderr + refused.stdout,
        /admin\.address: others than this machine reach it, and there is no tokens/,
      );
      place.write(`${BASE}admin: { address: "0.0.0.0:0", ${tls}, ${tokens} }\n`);
      const up = await place.start().up();
      const flags = ['--api', `https://localhost:${adminPort(up)}`, '--cacert', 'ca.pem'];
      const own = ['--cert', 'client.crt', '--key', 'client.key', '--token-file', 'token'];
      const run = (...args: string[]) => command(place, ...args);
      const made = await run('backend', 'create', 'legacy', '--server', 'http://127.0.0.1:1', ...flags, ...own);
      assert.deepEqual([made.code, made.stdout], [0, 'legacy is there, awake\n'], made.stderr);
      const without = await run('backend', 'list', ...flags, '--token-file', 'token');
      assert.equal(without.code, 1);
      assert.match(without.stderr, /can't be reached/);
      const commands = await run('run', '--name', 'x', ...flags, ...own, '--', 'true');
      assert.equal(commands.code, 1);
      assert.match(commands.stderr, /backends with process: are programs that run on this machine/);
      const unencrypted = await run('backend', 'list', '--api', 'http://10.0.0.1:8081', '--token-file', 'token');
      assert.equal(unencrypted.code, 2);
      assert.equal(await up.stop(), 0);
    },
  );

  it(
    'several at once: each is made once, and a kill in between leaves what was answered',
    { timeout: 60_000 },
    async () => {
      await using place = new Place(FILE);
      const first = await place.start().up();
      const answered: string[] = [];
      const asked = Array.from({ length: 12 }, async (_, index) => {
        const name = `b${index}`;
        try {
          const { status } = await api(first, 'POST', '/v1/backends', {
            name,
            servers: [`http://127.0.0.1:${index + 1}`],
          });
          if (status === 201) answered.push(name);
        } catch {
          // Killed before it was answered.
        }
        if (answered.length === 4) first.child.kill('SIGKILL');
      });
      await Promise.all(asked);
      await first.exited;
      assert.ok(answered.length >= 4 && answered.length < 12, `${answered.length}`);
      const second = await place.start().up();
      const names = (await second.status()).backends.map(({ name }) => name);
      for (const name of answered) assert.ok(names.includes(name), `${name} was answered for and is not there`);
      assert.ok(names.length <= answered.length + 2, `${names}: at most one more than was answered, and mine`);
      assert.equal(await second.stop(), 0);
    },
  );

  it('tells what happens, and what traffic does to who asks for it', { timeout: 60_000 }, async () => {
    await using place = new Place(FILE);
    const up = await place.start().up();
    const token = readFileSync(join(place.stateDir, 'admin-token'), 'utf8').trim();
    const headers = { authorization: `Bearer ${token}` };
    const request = http
      .request({ host: '127.0.0.1', port: adminPort(up), path: '/v1/events?traffic=true', headers })
      .end();
    const [response] = (await once(request, 'response')) as [http.IncomingMessage];
    let text = '';
    response.setEncoding('utf8').on('data', (part: string) => (text += part));
    await pid(up, 'mine.example.com');
    const kinds = () => [...text.matchAll(/^event: (.*)$/gm)].map((match) => match[1]!);
    await until('the wake and its window are told', () => kinds().includes('window'));
    assert.deepEqual(
      kinds()
        .filter((kind) => ['wake', 'waking', 'awake'].includes(kind))
        .toSorted(),
      ['awake', 'wake', 'waking'],
    );
    const window = JSON.parse(/^event: window\ndata: (.*)$/m.exec(text)![1]!) as { requests: number; backend: string };
    assert.equal(window.backend, 'mine');
    request.destroy();
    assert.equal(await up.stop(), 0);
  });

  it('commands complete themselves in bash', { timeout: 60_000 }, async () => {
    await using place = new Place(FILE);
    const up = await place.start().up();
    const complete = async (line: string): Promise<string[]> => {
      const script = `
        dormouse() { sh "$LAUNCHER" "$@"; }
        source <(dormouse completion bash)
        COMP_WORDS=(${line}); COMP_CWORD=$(( \${#COMP_WORDS[@]} - 1 ))
        _dormouse && printf '%s\\n' "\${COMPREPLY[@]}"`;
      const { code, stdout, stderr } = await shell(place, script);
      assert.deepEqual([code, stderr], [0, '']);
      return stdout.split('\n').filter((word) => word !== '');
    };
    assert.deepEqual(await complete('dormouse back'), ['backend']);
    assert.deepEqual(await complete('dormouse backend ""'), ['create', 'delete', 'list', 'show', 'update']);
    assert.deepEqual(await complete('dormouse wake ""'), ['mine']);
    assert.deepEqual(await complete('dormouse rm --json m'), ['mine']);
    assert.deepEqual(await complete('dormouse awake mine --f'), ['--for']);
    assert.deepEqual(await complete('dormouse backend create --file ""'), []);
    assert.deepEqual(await complete('dormouse completion z'), ['zsh']);
    // Where these shells are installed, they find nothing wrong with theirs.
    for (const name of ['bash', 'zsh', 'fish']) {
      const script = `command -v ${name} > /dev/null || exit 0; sh "$LAUNCHER" completion ${name} > completion.${name} && ${name} -n completion.${name}`;
      assert.deepEqual(await shell(place, script), { code: 0, stdout: '', stderr: '' });
    }
    assert.equal(await up.stop(), 0);
  });
});

async function until_(up: Dormouse, version: number): Promise<void> {
  await until('the change is in force', async () => (await up.status()).config.version > version);
}

/** Without -c. */
async function command(place: Place, ...args: string[]) {
  return shell(place, 'exec sh "$LAUNCHER" "$@"', args);
}

async function shell(place: Place, script: string, args: string[] = []) {
  const launcher = join(import.meta.dirname, '../../dormouse');
  const child = spawn('bash', ['--norc', '-c', script, 'bash', ...args], {
    cwd: place.path,
    env: { ...process.env, LAUNCHER: launcher },
    stdio: ['ignore', 'pipe', 'pipe'],
  });
  let stdout = '';
  let stderr = '';
  child.stdout.setEncoding('utf8').on('data', (part: string) => (stdout += part));
  child.stderr.setEncoding('utf8').on('data', (part: string) => (stderr += part));
  const [code] = (await once(child, 'close')) as [number];
  return { code, stdout, stderr };
}
