import assert from 'node:assert/strict';
import { once } from 'node:events';
import { mkdir, mkdtemp, readdir, rm, stat, symlink, writeFile } from 'node:fs/promises';
import { request as httpRequest } from 'node:http';
import { connect, createServer, type Socket } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test, type TestContext } from 'node:test';
import { DormouseError } from '../../model/errors.ts';
import type { BackendEvent } from '../../model/status.ts';
import { ControlClient } from './control-client.ts';
import { ControlServer, type ControlServerOptions } from './control-server.ts';
import type { ControlLogLine } from './control-target.ts';
import { FakeTarget, STATUS } from './control-target.fixture.ts';

async function started(t: TestContext, options: Partial<ControlServerOptions> = {}) {
  const stateDir = options.stateDir ?? join(await mkdtemp(join(tmpdir(), 'dormouse-control-')), 'state');
  const target = new FakeTarget();
  const server = new ControlServer({ target, ...options, stateDir });
  await server.start();
  t.after(async () => {
    await server.close();
    await rm(join(stateDir, '..'), { recursive: true, force: true });
  });
  return { stateDir, target, server, client: new ControlClient({ stateDir }) };
}

async function until(condition: () => boolean): Promise<void> {
  const deadline = Date.now() + 5000;
  while (!condition()) {
    assert.ok(Date.now() < deadline, 'the condition did not come true within 5 s');
    await new Promise((resolve) => setImmediate(resolve));
  }
}

function line(text: string): ControlLogLine {
  return { atMs: 1, instance: 'shop-1', stream: 'stdout', text };
}

test('status, reload and wake answer, and the socket is only its owner’s', async (t) => {
  const { client, server, stateDir, target } = await started(t);
  assert.deepEqual(await client.status(), STATUS);
  assert.deepEqual(await client.reload(), { version: 2 });
  const woken = await client.wake('über uns');
  assert.equal(woken.name, 'über uns');
  assert.equal(woken.awake, true);
  assert.ok(woken.tookMs >= 0);
  assert.deepEqual(target.calls, ['wake über uns']);
  assert.equal((await stat(server.path!)).mode & 0o777, 0o600);
  assert.equal((await stat(stateDir)).mode & 0o777, 0o700);
});

test('an unknown backend is refused with the nearest name', async (t) => {
  const { client } = await started(t);
  await assert.rejects(client.wake('shpo'), {
    code: 'DORMOUSE_BACKEND_UNKNOWN',
    message: 'there is no backend "shpo"; did you mean "shop"?',
    userFault: true,
  });
  await assert.rejects(client.sleep('../../etc'), { code: 'DORMOUSE_BACKEND_UNKNOWN' });
  await assert.rejects(client.logs('nothing-like-it').next(), { code: 'DORMOUSE_BACKEND_UNKNOWN' });
});

test('what the target refuses arrives as the same error', async (t) => {
  const { client } = await started(t);
  await assert.rejects(client.sleep('shop'), {
    code: 'DORMOUSE_BACKEND_STAYS_AWAKE',
    message: "shop has scale.min 1; it can't sleep",
    userFault: true,
  });
});

test('wake: wait=0 answers at once, a wait that passes says so, a failure is told', async (t) => {
  const { client, target } = await started(t);
  let seen: AbortSignal | null = null;
  target.onWake = (signal) => {
    seen = signal;
    return new Promise(() => {});
  };
  assert.equal((await client.wake('shop', { waitMs: 0 })).awake, false);
  assert.equal((await client.wake('shop', { waitMs: 20 })).awake, false);
  assert.equal(seen!.aborted, false, 'the wake goes on when nobody waits for it');
  target.onWake = async () => {
    throw new DormouseError('DORMOUSE_BACKEND_CRASHING', 'shop is crashing');
  };
  await assert.rejects(client.wake('shop'), { code: 'DORMOUSE_BACKEND_CRASHING' });
});

test('a caller that goes away ends only its waiting', async (t) => {
  const { client, target } = await started(t);
  let seen: AbortSignal | null = null;
  target.onWake = (signal) => {
    seen = signal;
    return new Promise(() => {});
  };
  const gone = new AbortController();
  const call = client.wake('shop', { signal: gone.signal });
  await until(() => seen !== null);
  gone.abort();
  await assert.rejects(call, { name: 'AbortError' });
  assert.equal(seen!.aborted, false);
});

test('logs: the last lines, and with follow whatever comes', async (t) => {
  const { client, target } = await started(t);
  target.past = [line('one'), line('two'), line('three')];
  const texts: string[] = [];
  for await (const { text } of client.logs('shop', { lines: 2 })) texts.push(text);
  assert.deepEqual(texts, ['two', 'three']);

  const following = client.logs('shop', { lines: 1, follow: true });
  assert.equal((await following.next()).value!.text, 'three');
  await until(() => target.logListeners.size === 1);
  for (const listener of target.logListeners) listener(line('four'));
  assert.equal((await following.next()).value!.text, 'four');
  await following.return(undefined);
  await until(() => target.logListeners.size === 0);
});

test('events reach every client; a stream ends when the server closes', async (t) => {
  const { client, server, target } = await started(t);
  const first = client.events();
  const second = client.events();
  const pending = [first.next(), second.next()];
  await until(() => target.eventListeners.size === 2);
  const event: BackendEvent = { atMs: 5, backend: 'shop', kind: 'awake', message: 'awake after 12 ms', tookMs: 12 };
  for (const listener of target.eventListeners) listener(event);
  for (const result of await Promise.all(pending)) assert.deepEqual(result.value, event);
  const end = first.next();
  await server.close();
  assert.equal((await end).done, true);
});

test('a client that does not read is cut off, others go on', { timeout: 20_000 }, async (t) => {
  const { client, server, target } = await started(t, { slowClientBytes: 20_000 });
  const slow = connect(server.path!);
  slow.pause();
  slow.on('error', () => {});
  slow.write('GET /v1/events HTTP/1.1\r\nhost: dormouse\r\n\r\n');
  await until(() => target.eventListeners.size === 1);
  const enough = new AbortController();
  const good = client.events({ signal: enough.signal });
  const next = good.next();
  await until(() => target.eventListeners.size === 2);
  // More than the kernel's buffer of a unix socket plus the bound.
  let sent = 0;
  let read = 0;
  void (async () => {
    await next;
    read++;
    for await (const _ of good) read++;
  })();
  while (target.eventListeners.size === 2) {
    assert.ok(sent++ < 5000, 'never cut off');
    for (const listener of target.eventListeners)
      listener({ atMs: 1, backend: 'shop', kind: 'scaled', message: 'x'.repeat(1000) });
    await until(() => read === sent);
  }
  slow.destroy();
  assert.equal(target.eventListeners.size, 1);
  enough.abort();
});

test('wrong paths, methods, numbers and bodies get a problem', async (t) => {
  const { server } = await started(t);
  const send = async (method: string, path: string, body?: string) => {
    const request = httpRequest({ socketPath: server.path!, method, path, headers: { host: 'x' } });
    request.on('error', () => {});
    request.end(body);
    const [response] = await once(request, 'response');
    let text = '';
    for await (const chunk of response) text += chunk;
    return { status: response.statusCode, type: response.headers['content-type'], problem: JSON.parse(text) };
  };
  const missing = await send('GET', '/v2/status');
  assert.equal(missing.status, 404);
  assert.equal(missing.type, 'application/problem+json');
  assert.deepEqual(Object.keys(missing.problem).sort(), ['code', 'detail', 'status', 'title', 'userFault']);
  assert.equal((await send('POST', '/v1/status')).status, 405);
  assert.equal((await send('POST', '/v1/backends/shop/wake?wait=soon')).status, 400);
  assert.equal((await send('POST', '/v1/reload', 'x'.repeat(100_000))).status, 413);
});

test('without a program: the caller is told so in its own words', async (t) => {
  const { server, stateDir } = await started(t);
  await server.close();
  const client = new ControlClient({ stateDir, notRunning: 'nothing runs here; start it' });
  await assert.rejects(client.status(), {
    code: 'DORMOUSE_NOT_RUNNING',
    message: 'nothing runs here; start it',
    userFault: true,
  });
  assert.deepEqual(await readdir(stateDir), [], 'nothing is left behind');
});

test('a program that never answers is given up', async (t) => {
  const stateDir = await mkdtemp(join(tmpdir(), 'dormouse-control-'));
  const deaf = createServer(() => {});
  await new Promise<void>((resolve) => deaf.listen(join(stateDir, 'control.sock'), resolve));
  const sockets = new Set<Socket>();
  deaf.on('connection', (socket) => sockets.add(socket));
  t.after(async () => {
    for (const socket of sockets) socket.destroy();
    deaf.close();
    await rm(stateDir, { recursive: true });
  });
  await assert.rejects(new ControlClient({ stateDir, timeoutMs: 30 }).status(), { code: 'DORMOUSE_CONTROL_TIMEOUT' });
});

test('a second server on the same folder is refused; a stale socket file is not in the way', async (t) => {
  const { stateDir, client } = await started(t);
  const second = new ControlServer({ stateDir, target: new FakeTarget() });
  await assert.rejects(second.start(), { code: 'DORMOUSE_ALREADY_RUNNING', userFault: true });
  await second.close();
  assert.deepEqual(await client.status(), STATUS, 'the first still answers');

  const other = join(stateDir, '..', 'other');
  await mkdir(other);
  // What a killed program leaves: a socket file that nobody listens on. A plain file refuses just the same.
  await writeFile(join(other, 'control.sock'), '');
  const third = await started(t, { stateDir: other });
  assert.deepEqual(await third.client.status(), STATUS);
});

test('a state folder whose path is too long for a socket', async (t) => {
  const base = await mkdtemp(join(tmpdir(), 'dormouse-control-'));
  const temporaryDir = await mkdtemp(join(tmpdir(), 'dm-'));
  t.after(() => rm(temporaryDir, { recursive: true, force: true }));
  const stateDir = join(base, 'd'.repeat(120), 'state');
  await mkdir(join(stateDir, '..'));
  const { client, server } = await started(t, { stateDir, temporaryDir });
  assert.ok(server.path!.startsWith(temporaryDir));
  assert.equal((await stat(join(server.path!, '..'))).mode & 0o777, 0o700);
  assert.deepEqual(await client.status(), STATUS);
  await server.close();
  assert.deepEqual(await readdir(stateDir), []);
  assert.deepEqual(await readdir(temporaryDir), []);
  await rm(base, { recursive: true });
});

test('a folder that someone put in the way in advance is not used', async (t) => {
  const base = await mkdtemp(join(tmpdir(), 'dormouse-control-'));
  const temporaryDir = await mkdtemp(join(tmpdir(), 'dm-'));
  t.after(async () => {
    await rm(temporaryDir, { recursive: true, force: true });
    await rm(base, { recursive: true, force: true });
  });
  const stateDir = join(base, 'd'.repeat(120), 'state');
  const probe = new ControlServer({ stateDir, target: new FakeTarget(), temporaryDir });
  await probe.start();
  const folder = join(probe.path!, '..');
  await probe.close();
  await symlink(base, folder);
  await assert.rejects(new ControlServer({ stateDir, target: new FakeTarget(), temporaryDir }).start(), {
    code: 'DORMOUSE_CONTROL_SOCKET',
  });
});
