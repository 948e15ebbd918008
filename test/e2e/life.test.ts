/** Waking and sleeping, as a user sees it. */
import assert from 'node:assert/strict';
import { after, before, describe, it } from 'node:test';
import { ask, Load, RawClient } from './fixtures/client.ts';
import { backend, configuration } from './fixtures/configuration.ts';
import { Place, type Dormouse } from './fixtures/dormouse.ts';
import { alive } from './fixtures/processes.ts';
import { until } from './fixtures/until.ts';

const BOUND = { timeout: 60_000 };
const UPGRADE = (path: string): string =>
  `GET ${path} HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: echo\r\n\r\n`;

describe('waking and sleeping', { concurrency: 3 }, () => {
  let place: Place;
  let up: Dormouse;
  let port = 0;
  const short = { scale: { idleAfter: '400ms' } };
  const long = { scale: { idleAfter: '60s' } };

  before(async () => {
    place = new Place(
      configuration({
        workers: 2,
        backends: {
          get: backend({ print: ['one', 'two', 'three'] }, short),
          post: backend({ delayMs: 100 }, long),
          chunked: backend({ delayMs: 100 }, long),
          many: backend({ delayMs: 300 }, long),
          socket: backend({ delayMs: 100 }, short),
          ignored: backend({}, { ...short, idle: { webSockets: 'ignore' } }),
          frozen: backend({}, { ...short, process: { sleep: 'freeze' } }),
          inherited: backend({ delayMs: 100 }, { ...short, process: { socket: 'inherited' } }),
          command: backend({}, long),
          database: backend({ delayMs: 200 }, long),
          queue: backend({ delayMs: 100 }, long),
          shop: backend({}, { ...long, wake: { with: ['database', 'queue'] } }),
          always: backend({}, { scale: { min: 1, idleAfter: '400ms' } }),
          crowd: backend(
            {},
            {
              scale: {
                max: 3,
                idleAfter: '60s',
                target: { concurrency: 4 },
                windows: { stable: '6s' },
                rates: { down: 10 },
              },
            },
          ),
          page: backend({ delayMs: 800 }, { ...long, wake: { page: true } }),
        },
      }),
    );
    up = await place.start().up();
    port = await up.port();
  });

  after(async () => {
    assert.equal(await up.stop(), 0);
    assert.deepEqual(place.leftovers(), []);
    await place[Symbol.asyncDispose]();
  });

  it('a GET wakes it; status says who woke it, why and since when; it sleeps when nothing comes', BOUND, async () => {
    const asleep = await place.statusOf('get');
    assert.deepEqual([asleep.phase, asleep.instances, asleep.lastWoken], ['asleep', [], null]);
    const beganMs = Date.now();
    const first = await ask(port, '/get/pid?secret=1');
    assert.equal(first.status, 200);
    assert.equal(first.headers['x-cold-start'], 'true');
    const { pid } = JSON.parse(first.body) as { pid: number };
    const { lastWoken, why, wakes } = await up.backend('get');
    assert.deepEqual(
      { ...lastWoken!.by, atMs: 0 },
      { kind: 'request', route: 'get', client: '127.0.0.1', method: 'GET', path: '/get/pid', atMs: 0 },
    );
    assert.ok(lastWoken!.by.atMs >= beganMs - 5 && lastWoken!.by.atMs <= Date.now());
    assert.match(why, /GET \/get\/pid from 127\.0\.0\.1 on route get/);
    assert.equal(wakes, 1);
    assert.equal((await ask(port, '/get/pid')).headers['x-cold-start'], undefined);
    const { lastSleptMs, instances } = await up.phase('get', 'asleep');
    assert.ok(lastSleptMs >= beganMs + 400);
    assert.deepEqual(instances, []);
    assert.equal(alive(pid), false);
    await up.line(/"get".*"waking"|"waking".*"get"/);
    await up.line(/"event":"asleep".*get is asleep|get.*asleep/);
    const logs = await place.run('logs', 'get', '-n', '2');
    assert.match(logs.stdout, /get-1 \| three\n.*get-1 \| listening \d+\n$/);
  });

  it('a POST with a body, a chunked one and 300 kB wait and arrive whole', BOUND, async () => {
    const body = 'body '.repeat(1000);
    const post = await ask(port, { path: '/post/echo', body });
    assert.deepEqual([post.status, post.body === body, post.headers['x-cold-start']], [200, true, 'true']);
    const parts = Array.from({ length: 30 }, (_, index) => String(index % 10).repeat(10_000));
    const chunked = await ask(port, { path: '/chunked/echo', chunks: parts });
    assert.deepEqual(
      [chunked.status, chunked.body === parts.join(''), chunked.headers['x-cold-start']],
      [200, true, 'true'],
    );
  });

  it('a hundred at once, on all workers, wake it once', BOUND, async () => {
    const answers = await Promise.all(Array.from({ length: 100 }, () => ask(port, '/many/slow?ms=0')));
    assert.ok(answers.every(({ status }) => status === 200));
    assert.equal(new Set(answers.map(({ body }) => body)).size, 1);
    const { wakes, instances } = await up.backend('many');
    assert.deepEqual([wakes, instances.length], [1, 1]);
  });

  it('an upgrade wakes it, and an open tunnel keeps it awake', BOUND, async () => {
    using client = await RawClient.connect(port);
    client.send(UPGRADE('/socket/'));
    await client.until(/^HTTP\/1\.1 101 [^]*x-cold-start: true\r\n[^]*\r\n\r\n/i);
    client.send('hello');
    await client.until(/\r\n\r\nhello$/);
    const awake = await up.backendWhen('socket', 'kept awake by a WebSocket', ({ demand }) => demand.tunnels === 1);
    assert.ok(awake.awakeBecause.length > 0);
    // Twice its idle time.
    await until('time has passed', () => Date.now() - awake.sinceMs > 1000);
    assert.equal((await up.backend('socket')).phase, 'awake');
    client.send(' again');
    await client.until(/hello again$/);
    client.destroy();
    await up.phase('socket', 'asleep');
  });

  it('with webSockets: ignore an open one does not keep it awake; it is closed', BOUND, async () => {
    using client = await RawClient.connect(port);
    client.send(UPGRADE('/ignored/'));
    await client.until(/^HTTP\/1\.1 101 /);
    await up.phase('ignored', 'asleep');
    await client.closed();
  });

  it('freeze: the same process is stopped and goes on', BOUND, async () => {
    const { body } = await ask(port, '/frozen/slow?ms=0');
    await up.phase('frozen', 'asleep');
    assert.equal(alive(Number(body)), true);
    const again = await ask(port, '/frozen/slow?ms=0');
    assert.deepEqual([again.body, again.headers['x-cold-start']], [body, 'true']);
    assert.equal((await up.backend('frozen')).wakes, 2);
  });

  it('an inherited socket: the kernel queues until the application accepts', BOUND, async () => {
    for (let turn = 0; turn < 2; turn++) {
      const answer = await ask(port, { path: '/inherited/echo', body: 'x' });
      assert.deepEqual([answer.status, answer.body, answer.headers['x-cold-start']], [200, 'x', 'true']);
      await up.phase('inherited', 'asleep');
    }
  });

  it('dormouse wake and sleep: exit codes, words, cause', BOUND, async () => {
    const woken = await place.run('wake', 'command');
    assert.equal(woken.code, 0, woken.stderr);
    assert.match(woken.stdout, /command.*awake/);
    assert.equal((await place.statusOf('command')).lastWoken!.by.kind, 'command');
    assert.equal((await ask(port, '/command/pid')).headers['x-cold-start'], undefined);
    const slept = await place.run('sleep', 'command');
    assert.equal(slept.code, 0, slept.stderr);
    assert.equal((await place.statusOf('command')).phase, 'asleep');
    const unknown = await place.run('wake', 'comand');
    assert.equal(unknown.code, 1);
    assert.match(unknown.stderr, /comand.*command/);
    const used = await place.run('wake');
    assert.equal(used.code, 2);
  });

  it('wake.with: what it needs is awake before it is started, in order', BOUND, async () => {
    const answer = await ask(port, '/shop/pid');
    assert.equal(answer.status, 200);
    const [database, queue, shop] = [await up.backend('database'), await up.backend('queue'), await up.backend('shop')];
    assert.ok(database.sinceMs <= queue.instances[0]!.sinceMs);
    assert.ok(queue.sinceMs <= shop.instances[0]!.sinceMs);
    assert.deepEqual([database.lastWoken!.by.kind, database.lastWoken!.by.backend], ['dependency', 'shop']);
    const order = up.log
      .filter(({ event, backend: name }) => event === 'awake' && ['database', 'queue', 'shop'].includes(String(name)))
      .map((line) => line.backend);
    assert.deepEqual(order, ['database', 'queue', 'shop']);
    // What an awake one needs does not sleep.
    const refused = await place.run('sleep', 'database');
    assert.equal(refused.code, 1);
    assert.match(refused.stderr, /shop/);
  });

  it('min: 1 is awake from the start, stays so, and is started again when it dies', BOUND, async () => {
    const { lastWoken, instances } = await up.phase('always', 'awake');
    assert.equal(lastWoken!.by.kind, 'min');
    const answer = await ask(port, '/always/slow?ms=0');
    assert.equal(answer.headers['x-cold-start'], undefined);
    const refused = await place.run('sleep', 'always');
    assert.equal(refused.code, 1);
    assert.match(refused.stderr, /scale\.min/);
    process.kill(instances[0]!.pid!, 'SIGKILL');
    const next = await up.backendWhen('always', 'running again', (it) =>
      it.instances.some(({ state, pid }) => state === 'ready' && pid !== instances[0]!.pid),
    );
    assert.equal(next.instances.length, 1);
  });

  it('max: 3: more instances under load, fewer afterwards, and not a request lost', BOUND, async () => {
    await using load = new Load(port, 16, '/crowd/slow?ms=20');
    await up.backendWhen(
      'crowd',
      'three ready',
      ({ instances }) => instances.filter(({ state }) => state === 'ready').length === 3,
    );
    await load.more(200);
    await load.stop();
    assert.deepEqual(load.losses, []);
    await using light = new Load(port, 1, '/crowd/slow?ms=20');
    await up.backendWhen('crowd', 'one ready', ({ instances }) => instances.length === 1);
    await light.stop();
    assert.deepEqual(light.losses, []);
    await up.line(/"scaled".*crowd|crowd.*"scaled"/);
  });

  it('a browser gets a page that waits; others wait themselves', BOUND, async () => {
    const html = { accept: 'text/html,application/xhtml+xml,*/*;q=0.8' };
    const [page, api] = await Promise.all([
      ask(port, { path: '/page/pid', headers: html }),
      ask(port, { path: '/page/pid', headers: { accept: 'application/json' } }),
    ]);
    assert.match(String(page.headers['content-type']), /text\/html/);
    assert.match(page.body, /<!doctype html>/i);
    assert.match(String(page.headers['cache-control']), /no-store/);
    assert.deepEqual([api.status, api.headers['x-cold-start']], [200, 'true']);
    const ready = await ask(port, { path: '/page/pid', headers: html });
    assert.match(ready.body, /"pid":\d+/);
  });
});
