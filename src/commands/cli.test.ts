import assert from 'node:assert/strict';
import { execFileSync, spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test, type TestContext } from 'node:test';
import { FakeTarget, STATUS } from '../apis/control/control-target.fixture.ts';
import { ControlServer } from '../apis/control/index.ts';
import { DormouseError } from '../model/errors.ts';
import { backendStatus } from '../model/backend-status.fixture.ts';

const MAIN = new URL('./main.ts', import.meta.url).pathname;

function start(cwd: string, args: string[], env: Record<string, string> = {}) {
  const child = spawn(process.execPath, [MAIN, ...args], {
    cwd,
    env: { ...process.env, ...env },
    stdio: ['ignore', 'pipe', 'pipe'],
  });
  const output = { stdout: '', stderr: '' };
  child.stdout.setEncoding('utf8').on('data', (text) => (output.stdout += text));
  child.stderr.setEncoding('utf8').on('data', (text) => (output.stderr += text));
  const ended = once(child, 'close').then(([code, signal]) => ({ code: code ?? signal, ...output }));
  return { child, output, ended };
}

function dormouse(cwd: string, ...args: string[]) {
  return start(cwd, args).ended;
}

async function folder(t: TestContext): Promise<string> {
  const path = await mkdtemp(join(tmpdir(), 'dormouse-cli-'));
  t.after(() => rm(path, { recursive: true, force: true }));
  return path;
}

/** A folder with a configuration file, for which something answers at the control socket. */
async function running(t: TestContext, yaml = 'stateDir: state\n') {
  const cwd = await folder(t);
  await writeFile(join(cwd, 'dormouse.yaml'), yaml);
  const target = new FakeTarget();
  const server = new ControlServer({ stateDir: join(cwd, 'state'), target });
  await server.start();
  t.after(() => server.close());
  return { cwd, target, server };
}

async function until(condition: () => boolean): Promise<void> {
  const deadline = Date.now() + 10_000;
  while (!condition()) {
    assert.ok(Date.now() < deadline, 'the condition did not come true within 10 s');
    await new Promise((resolve) => setTimeout(resolve, 5));
  }
}

test('used wrongly: 2, with the command that was meant', async (t) => {
  const cwd = await folder(t);
  const [unknown, none, missing, excess, option, number] = await Promise.all([
    dormouse(cwd, 'statsu'),
    dormouse(cwd),
    dormouse(cwd, 'wake'),
    dormouse(cwd, 'sleep', 'a', 'b'),
    dormouse(cwd, 'status', '--jsn'),
    dormouse(cwd, 'logs', 'shop', '-n', 'many'),
  ]);
  assert.deepEqual(
    [unknown, none, missing, excess, option, number].map(({ code }) => code),
    [2, 2, 2, 2, 2, 2],
  );
  const [helped, within] = await Promise.all([
    dormouse(cwd, 'statsu', '--help'),
    dormouse(cwd, 'demo', 'bogus', '--help'),
  ]);
  assert.deepEqual(helped, unknown);
  assert.deepEqual([within.code, within.stdout], [2, '']);
  assert.match(within.stderr, /unknown command 'bogus'/);
  assert.equal(unknown.stderr, "dormouse: unknown command 'statsu'\n(Did you mean status?)\n");
  assert.match(none.stderr, /^Usage: dormouse/);
  assert.match(option.stderr, /--json/);
  assert.match(number.stderr, /-n takes a whole number, not "many"/);
});

test('help and version: 0', async (t) => {
  const cwd = await folder(t);
  const all = await Promise.all([
    dormouse(cwd, '--help'),
    dormouse(cwd, 'help', 'logs'),
    dormouse(cwd, 'wake', '-h'),
    dormouse(cwd, '--version'),
    dormouse(cwd, 'version', '--json'),
  ]);
  assert.deepEqual(
    all.map(({ code, stderr }) => [code, stderr]),
    all.map(() => [0, '']),
  );
  assert.match(all[0]!.stdout, /check .* valid/);
  assert.match(all[1]!.stdout, /--follow/);
  assert.match(JSON.parse(all[4]!.stdout).version, /^\d+\.\d+\.\d+/);
});

test('nothing runs: the user is told what to start, without a stack', async (t) => {
  const cwd = await folder(t);
  await writeFile(join(cwd, 'my.yaml'), '');
  const [status, json, missing, byState] = await Promise.all([
    dormouse(cwd, 'status', '-c', 'my.yaml'),
    dormouse(cwd, 'wake', 'shop', '-c', 'my.yaml', '--json'),
    dormouse(cwd, 'status'),
    dormouse(cwd, 'status', '--state-dir', 'elsewhere'),
  ]);
  assert.deepEqual(status, {
    code: 1,
    stdout: '',
    stderr: `dormouse: dormouse is not running for ${cwd}/my.yaml (no control socket); start it with: dormouse up -c my.yaml. If it runs since before stateDir was changed, name the folder of then with --state-dir\n`,
  });
  assert.equal(JSON.parse(json.stderr).code, 'DORMOUSE_NOT_RUNNING');
  assert.equal(missing.code, 1);
  assert.match(
    missing.stderr,
    /^dormouse: there is no .*\/dormouse.yaml; name the configuration file with -c, or the state folder with --state-dir\n$/,
  );
  assert.match(byState.stderr, /not running with the state folder .*elsewhere/);
});

test('the state folder is found by what the file says, even when the rest of it is broken', async (t) => {
  const { cwd } = await running(t, 'stateDir: ${WHERE:-state} # here\n');
  assert.equal((await dormouse(cwd, 'status', '--json')).code, 0);
  await writeFile(join(cwd, 'broken.yaml'), 'listeners: [\nstateDir: "${WHERE}"\n}\n');
  assert.equal((await start(cwd, ['status', '--json', '-c', 'broken.yaml'], { WHERE: 'state' }).ended).code, 0);
  assert.equal((await dormouse(cwd, 'status', '--json', '--state-dir', 'state')).code, 0);
});

test('status: who sleeps, who is awake and why, and what a crashing one wrote last', async (t) => {
  const { cwd, target } = await running(t);
  target.shown = {
    ...STATUS,
    config: { ...STATUS.config, lastError: 'dormouse.yaml:3:5 bakends: unknown key' },
    listeners: [{ name: 'web', address: '127.0.0.1:8080' }],
    workers: [{ id: 'w0', pid: 5, state: 'running', restarts: 1, connections: 3, rssBytes: 1e6 }],
    backends: [
      backendStatus({}),
      backendStatus({
        name: 'users',
        phase: 'awake',
        desired: 2,
        awakeBecause: ['2 requests in flight'],
        lastWoken: {
          atMs: Date.now() - 5000,
          by: { kind: 'request', method: 'GET', path: '/u', client: '10.0.0.1', route: 'users', atMs: 0 },
          tookMs: 412,
        },
        instances: [
          {
            id: 'users-1',
            state: 'ready',
            address: '127.0.0.1:4000',
            pid: 7,
            sinceMs: Date.now(),
            reason: '',
            ejectedBy: 0,
          },
        ],
        demand: { concurrency: 2.25, requestsPerSecond: 1500, inFlight: 2, held: 3, tunnels: 0 },
      }),
      backendStatus({
        name: 'api',
        crash: {
          reason: 'exited with code 1',
          atMs: Date.now(),
          retryAtMs: Date.now() + 60_000,
          attempts: 3,
          lastLogLines: ['Error: \x1b[31mno database\x07'],
        },
      }),
    ],
  };
  // Seconds are at least those that the target tells: on a busy machine a command takes some itself.
  const { code, stdout } = await dormouse(cwd, 'status');
  assert.equal(code, 0);
  assert.match(stdout, /^listening on 127\.0\.0\.1:8080 \(web\); 1 worker \(1 restarted\), 3 connections$/m);
  assert.match(stdout, /^the last reload failed, .*: dormouse.yaml:3:5 bakends: unknown key$/m);
  assert.match(stdout, /^shop +asleep +1m (?:[5-9]|\d\d)s +0\/0 of 4 +0 +0 +0 +- +idle for 60 s$/m);
  assert.match(
    stdout,
    /^users +awake +1m (?:[5-9]|\d\d)s +1\/2 of 4 +2\.3 +1\.5k +3 +412 ms, (?:[5-9]|\d\d)s ago +2 requests in flight; woken by GET \/u from 10\.0\.0\.1 \(route users\)$/m,
  );
  assert.match(stdout, /^api is crashing: exited with code 1 \(3 times in a row; next try in (1m 0s|60 s|5\d s)\)$/m);
  assert.match(stdout, /^ {2}\| Error: \\x1b\[31mno database\\x07$/m);
  // oxlint-disable-next-line no-control-regex
  assert.doesNotMatch(stdout, /\x1b/, 'no colours and nothing of the application reaches a pipe as a command');

  const one = await dormouse(cwd, 'status', 'users');
  assert.match(one.stdout, /last woken +(?:[5-9]|\d\d)s ago by GET \/u from 10\.0\.0\.1 \(route users\), took 412 ms/);
  assert.match(one.stdout, /users-1 +ready .*127\.0\.0\.1:4000 +7/);
  const json = JSON.parse((await dormouse(cwd, 'status', 'api', '--json')).stdout);
  assert.equal(json.crash.attempts, 3);
  const unknown = await dormouse(cwd, 'status', 'usres');
  assert.deepEqual(
    [unknown.code, unknown.stderr],
    [1, 'dormouse: there is no backend "usres"; did you mean "users"?\n'],
  );
});

test('status --watch follows events, and Ctrl-C ends it well', async (t) => {
  const { cwd, target } = await running(t);
  const text = start(cwd, ['status', '--watch']);
  const json = start(cwd, ['status', '--watch', '--json']);
  await until(
    () =>
      target.eventListeners.size === 2 &&
      text.output.stdout.includes('no backends') &&
      json.output.stdout.includes('\n'),
  );
  const before = json.output.stdout.length;
  for (const tell of target.eventListeners)
    tell({ atMs: Date.now(), backend: 'shop', kind: 'awake', message: 'shop is awake after 12 ms', tookMs: 12 });
  await until(() => text.output.stdout.includes('shop is awake after 12 ms') && json.output.stdout.length > before);
  text.child.kill('SIGINT');
  json.child.kill('SIGINT');
  const [first, second] = await Promise.all([text.ended, json.ended]);
  assert.deepEqual([first.code, first.stderr, second.code, second.stderr], [0, '', 0, '']);
  for (const line of second.stdout.trimEnd().split('\n')) assert.equal(JSON.parse(line).version, STATUS.version);
});

test('wake: waits and says how long it took; a failure is told; --no-wait does not wait', async (t) => {
  const { cwd, target } = await running(t);
  const woken = await dormouse(cwd, 'wake', 'shop');
  assert.deepEqual([woken.code, woken.stderr], [0, '']);
  assert.match(woken.stdout, /^shop is awake \(took [\d.]+ ms\)\n$/);
  target.onWake = async () => {
    throw new DormouseError('DORMOUSE_BACKEND_CRASHING', 'shop is crashing: exited with code 1');
  };
  const [failed, json] = await Promise.all([dormouse(cwd, 'wake', 'shop'), dormouse(cwd, 'wake', 'shop', '--json')]);
  assert.deepEqual(failed, { code: 1, stdout: '', stderr: 'dormouse: shop is crashing: exited with code 1\n' });
  assert.deepEqual(JSON.parse(json.stderr), {
    code: 'DORMOUSE_BACKEND_CRASHING',
    detail: 'shop is crashing: exited with code 1',
  });
  target.onWake = () => new Promise(() => {});
  const noWait = await dormouse(cwd, 'wake', 'shop', '--no-wait');
  assert.deepEqual(noWait, { code: 0, stdout: 'shop is waking\n', stderr: '' });
});

test('sleep and reload', async (t) => {
  const { cwd } = await running(t);
  const [refused, slept, reloaded] = await Promise.all([
    dormouse(cwd, 'sleep', 'shop'),
    dormouse(cwd, 'sleep', 'über uns'),
    dormouse(cwd, 'reload'),
  ]);
  assert.deepEqual(refused, { code: 1, stdout: '', stderr: "dormouse: shop has scale.min 1; it can't sleep\n" });
  assert.match(slept.stdout, /^über uns is asleep \(took /);
  assert.deepEqual(reloaded, { code: 0, stdout: 'version 2 of the configuration is in force\n', stderr: '' });
});

test('reload of a bad file: a line per issue, all in the form of check', async (t) => {
  const { cwd, target } = await running(t);
  const issues = '/srv/dormouse.yaml:1:1 bakends: unknown key\n/srv/dormouse.yaml:2:3 routes: expected a list';
  target.onReload = async () => {
    throw new DormouseError('DORMOUSE_CONFIG_INVALID', issues, { userFault: true });
  };
  const [text, json] = await Promise.all([dormouse(cwd, 'reload'), dormouse(cwd, 'reload', '--json')]);
  assert.deepEqual(text, {
    code: 1,
    stdout: '',
    stderr: `${issues}\nNothing was changed: the former configuration stays in force.\n`,
  });
  assert.deepEqual(JSON.parse(json.stderr), { code: 'DORMOUSE_CONFIG_INVALID', detail: issues });
});

test('run in a folder that was deleted: a sentence', async (t) => {
  const cwd = await folder(t);
  const child = spawn('sh', ['-c', 'rmdir "$PWD" && exec "$0" "$1" status', process.execPath, MAIN], {
    cwd,
    stdio: ['ignore', 'ignore', 'pipe'],
  });
  let stderr = '';
  child.stderr.setEncoding('utf8').on('data', (text) => (stderr += text));
  const [code] = await once(child, 'close');
  assert.deepEqual(
    [code, stderr],
    [1, 'dormouse: the folder that this is run in does not exist any more; change to another one\n'],
  );
});

test('a named pipe in place of the file: refused at once by every command', async (t) => {
  const cwd = await folder(t);
  execFileSync('mkfifo', [join(cwd, 'dormouse.yaml')]);
  const [check, status] = await Promise.all([dormouse(cwd, 'check'), dormouse(cwd, 'status')]);
  assert.deepEqual([check.code, status.code], [1, 1]);
  assert.match(check.stderr, /dormouse\.yaml: is a pipe, a socket or a device; /);
  assert.match(status.stderr, /cannot read .*dormouse\.yaml \(no regular file\); /);
});

test('logs: the past, and with -f what comes; as JSON too', async (t) => {
  const { cwd, target } = await running(t);
  const atMs = Date.UTC(2026, 10, 21, 6, 0, 0);
  target.past = ['one', 'two', 'three'].map((text) => ({ atMs, instance: 'shop-1', stream: 'stderr' as const, text }));
  const past = await dormouse(cwd, 'logs', 'shop', '-n', '2');
  assert.equal(past.stdout, '2026-11-21T06:00:00.000Z shop-1 ! two\n2026-11-21T06:00:00.000Z shop-1 ! three\n');
  const json = await dormouse(cwd, 'logs', 'shop', '--json', '-n', '1');
  assert.equal(JSON.parse(json.stdout).text, 'three');
  const following = start(cwd, ['logs', 'shop', '-f', '-n', '0']);
  await until(() => target.logListeners.size === 1);
  for (const tell of target.logListeners) tell({ atMs, instance: 'shop-2', stream: 'stdout', text: 'four \x1b[2J' });
  await until(() => following.output.stdout.endsWith('\n'));
  assert.equal(following.output.stdout, '2026-11-21T06:00:00.000Z shop-2 | four \\x1b[2J\n');
  following.child.kill('SIGTERM');
  assert.equal((await following.ended).code, 0);
});

test('a reader that has seen enough ends the command without a complaint', async (t) => {
  const { cwd, target } = await running(t);
  target.past = Array.from({ length: 20_000 }, (_, index) => ({
    atMs: 1,
    instance: 'shop-1',
    stream: 'stdout' as const,
    text: `${index} ${'x'.repeat(100)}`,
  }));
  const child = spawn('sh', ['-c', '"$0" "$1" logs shop -n 20000 | head -1', process.execPath, MAIN], {
    cwd,
    stdio: ['ignore', 'pipe', 'pipe'],
  });
  let stderr = '';
  child.stderr.on('data', (text) => (stderr += text));
  child.stdout.resume();
  await once(child, 'close');
  assert.equal(stderr, '');
});

test('check: a summary or every error, and schema', async (t) => {
  const cwd = await folder(t);
  await writeFile(
    join(cwd, 'good.yaml'),
    'listeners: [{ name: web, address: 127.0.0.1:8080 }]\nbackends:\n  shop: { process: { command: [node, x.js] } }\n  spare: { servers: [http://127.0.0.1:9] }\nroutes: [{ backend: shop }]\n',
  );
  await writeFile(
    join(cwd, 'bad.yaml'),
    'listners: []\nbackends:\n  shop: { process: { command: [] }, scale: { mx: 2 } }\n',
  );
  const [good, bad, badJson, schema] = await Promise.all([
    dormouse(cwd, 'check', '-c', 'good.yaml'),
    dormouse(cwd, 'check', '-c', 'bad.yaml'),
    dormouse(cwd, 'check', '-c', 'bad.yaml', '--json'),
    dormouse(cwd, 'schema'),
  ]);
  assert.equal(good.code, 0, good.stderr);
  assert.match(
    good.stdout,
    /good\.yaml is valid\n.*listener web: 127\.0\.0\.1:8080\n.*backend shop: node x\.js, 0 to 1 instances\n/,
  );
  assert.match(good.stdout, /no route leads to backend spare/);
  assert.equal(bad.code, 1);
  assert.match(bad.stderr, /bad\.yaml:1:1 listners: .*listeners/);
  assert.match(bad.stderr, /bad\.yaml:3:\d+ backends\.shop\.scale\.mx: .*max/);
  assert.doesNotMatch(bad.stderr, /\n +at /);
  assert.equal(badJson.code, 1);
  assert.ok(JSON.parse(badJson.stdout).issues.length >= 2);
  assert.equal(JSON.parse(schema.stdout).type, 'object');
});
