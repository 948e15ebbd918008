/** Commands of the admin API against an API of a cluster: what they ask for, what they print, how they end. */
import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test, type TestContext } from 'node:test';
import { Served, TOKENS, view } from '../../apis/admin/fixtures/served.ts';
import { literally, withFlags } from './spec-input.ts';

const MAIN = new URL('../main.ts', import.meta.url).pathname;

async function api(t: TestContext) {
  const served = await Served.start();
  t.after(() => served[Symbol.asyncDispose]());
  served.target.on = 'cluster';
  const cwd = mkdtempSync(join(tmpdir(), 'dormouse-backend-'));
  t.after(() => rmSync(cwd, { recursive: true, force: true }));
  writeFileSync(join(cwd, 'token'), `${TOKENS.admin}\n`);
  const env = { ...process.env, DORMOUSE_API: `http://127.0.0.1:${served.port}`, DORMOUSE_TOKEN_FILE: 'token' };
  const run = async (args: string[], { input = '', more = {} }: { input?: string; more?: object } = {}) => {
    const child = spawn(process.execPath, [MAIN, ...args], { cwd, env: { ...env, ...more } });
    let out = '';
    let err = '';
    child.stdout.setEncoding('utf8').on('data', (part: string) => (out += part));
    child.stderr.setEncoding('utf8').on('data', (part: string) => (err += part));
    child.stdin.on('error', () => {});
    child.stdin.end(input);
    const [code] = (await once(child, 'close')) as [number];
    return { code, out, err };
  };
  const spec = (name: string) => served.target.backends.get(name)?.spec;
  return { served, cwd, run, spec };
}

test('run IMAGE makes a backend of an image, with its port, hosts, environment and arguments', async (t) => {
  const { run, spec } = await api(t);
  const flags = [
    '--name',
    'shop',
    '--port',
    '8080',
    '--host',
    'a.example.com',
    '--host',
    'b.example.com',
    '--env',
    'A=b=c',
  ];
  const made = await run(['run', ...flags, '--', 'example/shop:1', 'serve', '--fast']);
  assert.deepEqual([made.code, made.err], [0, '']);
  assert.equal(made.out, 'shop is there, asleep: the first request for a.example.com, b.example.com wakes it\n');
  assert.deepEqual(spec('shop'), {
    image: 'example/shop:1',
    args: ['serve', '--fast'],
    port: 8080,
    hosts: ['a.example.com', 'b.example.com'],
    env: { A: 'b=c' },
  });
  const without = await run(['run', '--name', 'shop', 'example/shop:1']);
  assert.deepEqual(
    [without.code, without.err],
    [2, 'dormouse: --port is missing: where the program in the image listens\n'],
  );
});

test('create takes YAML and JSON from a file or standard input, with variables as they stand there', async (t) => {
  const { run, spec, cwd } = await api(t);
  writeFileSync(
    join(cwd, 'shop.yaml'),
    'name: shop\nimage: shop:1\nport: 8080\nenv: { A: "${HOME} $$" }\nscale: { max: 3 }\n',
  );
  assert.equal((await run(['backend', 'create', '-f', 'shop.yaml', '--set', 'scale.min=1'])).code, 0);
  assert.deepEqual(spec('shop'), { image: 'shop:1', port: 8080, env: { A: '${HOME} $$' }, scale: { max: 3, min: 1 } });
  const piped = await run(['backend', 'create', 'users', '--file', '-', '--json'], {
    input: '{"image":"users:1","port":1}',
  });
  assert.deepEqual([piped.code, JSON.parse(piped.out).name], [0, 'users']);
  for (const [args, input, message] of [
    [['backend', 'create', '-f', 'nothing.yaml'], '', /nothing\.yaml can't be read: ENOENT/],
    [['backend', 'create', '-f', '-'], '[1]', /is no mapping/],
    [['backend', 'create', '-f', '-'], 'a: [', /neither JSON nor YAML/],
    [['backend', 'create', '-f', '-'], 'image: x', /there is no name/],
    [['backend', 'update', 'shop'], '', /there is nothing to change/],
    [['backend', 'create', 'x', '--port', '99999'], '', /ports go from 1 to 65535/],
    [['awake', 'shop', '--for', 'soon'], '', /write a number with its unit/],
    [['awake', 'shop', '--for', '1h', '--off'], '', /give one of them/],
    [['completion', 'tcsh'], '', /there are bash, zsh and fish/],
    [['rm'], '', /missing required argument/],
  ] as const) {
    const { code, err } = await run([...args], { input });
    assert.equal(code, 2, `${args.join(' ')}: ${err}`);
    assert.match(err, message);
  }
});

test('rm goes on with the others when one is not there, and ends with 1', async (t) => {
  const { served, run } = await api(t);
  for (const name of ['a', 'b']) served.target.backends.set(name, view(name));
  const removed = await run(['rm', 'a', 'nobody', 'b']);
  assert.deepEqual(removed, {
    code: 1,
    out: 'a is gone (backend a)\nb is gone (backend b)\n',
    err: 'dormouse: nobody: there is no backend nobody\n',
  });
});

test('awake says until when, and takes it back', async (t) => {
  const { served, run } = await api(t);
  const set = await run(['awake', 'shop', '--for', '2h', '--json']);
  assert.equal(set.code, 0, set.err);
  const leftMs = served.target.pins.get('shop')! - Date.now();
  assert.ok(leftMs > 7_100_000 && leftMs <= 7_200_000, String(leftMs));
  assert.equal((await run(['awake', 'shop', '--off'])).out, 'shop may sleep again\n');
  assert.equal(served.target.pins.get('shop'), null);
});

test('a token that is missing, wrong or in the URL, and an address where nobody listens', async (t) => {
  const { run, cwd } = await api(t);
  writeFileSync(join(cwd, 'wrong'), 'another-token-of-nobody\n');
  const cases = [
    [{ DORMOUSE_TOKEN_FILE: 'wrong' }, 1, /this token is not known/],
    [{ DORMOUSE_TOKEN_FILE: '' }, 2, /there is no token for the admin API/],
    [{ DORMOUSE_API: 'http://x:y@127.0.0.1:1' }, 2, /has a password in it/],
    [{ DORMOUSE_API: 'http://10.0.0.1:8081' }, 2, /would send the token unencrypted/],
    [{ DORMOUSE_API: 'nonsense' }, 2, /is no URL/],
    [{ DORMOUSE_API: 'http://127.0.0.1:1' }, 1, /can't be reached: .*ECONNREFUSED/],
  ] as const;
  for (const [more, wanted, message] of cases) {
    const { code, err } = await run(['backend', 'list'], { more });
    assert.deepEqual([code, message.test(err)], [wanted, true], err);
    assert.doesNotMatch(err, / {4}at /);
  }
});

test('flags as a spec', () => {
  assert.deepEqual(
    withFlags(
      { process: { command: ['x'] } },
      { port: '80', env: ['A=${B} $$'], set: ['wake.page=on', 'scale.max=3'] },
    ),
    {
      process: { command: ['x'], port: 80, env: { A: '$${B} $$$' } },
      wake: { page: 'on' },
      scale: { max: 3 },
    },
  );
  assert.equal(literally('--port ${PORT} $HOME $${x}'), '--port ${PORT} $HOME $$$${x}');
});
