/** Changes and ends while requests run: reloads, a killed worker, SIGTERM. */
import assert from 'node:assert/strict';
import { renameSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, it } from 'node:test';
import { ask, Load, RawClient } from './fixtures/client.ts';
import { backend, configuration, type Written } from './fixtures/configuration.ts';
import { Place, type Dormouse } from './fixtures/dormouse.ts';
import { alive, peerPorts } from './fixtures/processes.ts';
import { until } from './fixtures/until.ts';

const BOUND = { timeout: 60_000 };

/** Writes the file and waits until it is in force. */
async function change(up: Dormouse, written: Written, how: 'file' | 'replace' | 'SIGHUP' = 'file'): Promise<void> {
  const { version } = (await up.status()).config;
  if (how === 'replace') {
    writeFileSync(join(up.place.path, 'draft'), configuration(written));
    renameSync(join(up.place.path, 'draft'), up.place.file);
  } else up.place.write(configuration(written));
  if (how === 'SIGHUP') up.child.kill('SIGHUP');
  await until('the change is in force', async () => (await up.status()).config.version > version);
}

const pidOf = async (port: number, name: string): Promise<number> =>
  (JSON.parse((await ask(port, `/${name}/pid`)).body) as { pid: number }).pid;

describe('changes and ends under load', { concurrency: 2 }, () => {
  it(
    'reloads: routes, backends, commands, listeners, workers change; no request is lost, what did not change runs on',
    BOUND,
    async () => {
      const stays = backend({ name: 'stays' });
      const first: Written = { workers: 2, backends: { stays, changes: backend({ name: 'old' }), goes: backend() } };
      await using place = new Place(configuration(first));
      const up = await place.start().up();
      const port = await up.port();
      const kept = await pidOf(port, 'stays');
      const goes = await pidOf(port, 'goes');
      await pidOf(port, 'changes');
      await using load = new Load(port, 6, (turn) =>
        turn % 2 === 0 ? '/stays/pid' : { path: '/changes/pid', body: 'x' },
      );
      await load.more(50);

      // A backend more, one less; what still waits for the one that goes is answered by it.
      const waiting = ask(port, '/goes/wait?file=go');
      await up.backendWhen('goes', 'busy', ({ demand }) => demand.inFlight === 1);
      await change(up, {
        workers: 2,
        backends: { stays, changes: backend({ name: 'old' }), comes: backend({ name: 'comes' }) },
      });
      assert.match((await ask(port, '/comes/pid')).body, /"comes"/);
      assert.equal((await ask(port, '/goes/pid')).status, 404);
      place.touch('go');
      assert.deepEqual([(await waiting).status, (await waiting).body], [200, String(goes)]);
      await until('the instance of the removed backend is gone', () => !alive(goes));
      await load.more(50);

      // Another command: a new instance takes over before the old one ends.
      const old = await pidOf(port, 'changes');
      const second: Written = {
        workers: 2,
        backends: { stays, changes: backend({ name: 'new', delayMs: 150 }), comes: backend({ name: 'comes' }) },
      };
      await change(up, second, 'replace');
      await until('the new command answers', async () => (await ask(port, '/changes/pid')).body.includes('"new"'));
      await until('the old one is gone', () => !alive(old));
      await load.more(50);

      // A route to another backend.
      const third: Written = { ...second, routes: [{ name: 'host', hosts: ['other.example'], backend: 'comes' }] };
      await change(up, third, 'SIGHUP');
      assert.match((await ask(port, { path: '/anything', headers: { host: 'other.example' } })).body, /"comes"/);

      // A listener more, on the same workers; then three workers; then one.
      const before = await up.workers();
      const listeners = ['web', 'more'].map((name) => ({ name, address: '127.0.0.1:0' }));
      await change(up, { ...third, listeners });
      assert.equal((await ask(await up.port('more'), '/stays/pid')).status, 200);
      assert.deepEqual(await up.workers(), before);
      for (const workers of [3, 1]) {
        await change(up, { ...third, listeners, workers });
        await until(`${workers} run`, async () => (await up.workers()).length === workers);
        await load.more(50);
      }
      assert.equal(await up.port(), port);

      await load.stop();
      assert.deepEqual(load.losses, []);
      assert.equal(await pidOf(port, 'stays'), kept);
      assert.equal((await up.backend('stays')).wakes, 1);
      assert.equal(await up.stop(), 0);
      assert.deepEqual(place.leftovers(), []);
    },
  );

  it('a removed backend that nobody uses is gone at once, not when the drain bound has passed', BOUND, async () => {
    const stays = backend();
    await using place = new Place(
      configuration({ workers: 2, shutdown: { drain: '30s' }, backends: { stays, goes: backend() } }),
    );
    const up = await place.start().up();
    const port = await up.port();
    const goes = await pidOf(port, 'goes');
    await change(up, { workers: 2, shutdown: { drain: '30s' }, backends: { stays } });
    await until('its instance is gone', () => !alive(goes), 5000);
    assert.ok(
      up.log.every(({ level }) => level === 'info'),
      JSON.stringify(up.log.filter(({ level }) => level !== 'info')),
    );
  });

  it('a reload while requests are held: they are answered by what they waited for', BOUND, async () => {
    const slow = backend({ delayMs: 700, name: 'slow' });
    await using place = new Place(configuration({ backends: { slow } }));
    const up = await place.start().up();
    const port = await up.port();
    const held = Array.from({ length: 10 }, () => ask(port, { path: '/slow/pid', body: 'x' }));
    await up.phase('slow', 'waking');
    await change(up, { backends: { slow, more: backend() }, workers: 2 });
    const answers = await Promise.all(held);
    assert.deepEqual(
      answers.map(({ status }) => status),
      Array.from({ length: 10 }, () => 200),
    );
    assert.equal((await up.backend('slow')).wakes, 1);
  });

  it(
    'a worker is killed under load: only its own connections see it, it is replaced, the rest does not notice',
    BOUND,
    async () => {
      await using place = new Place(
        configuration({ workers: 2, backends: { app: backend({}, { scale: { idleAfter: '60s' } }) } }),
      );
      const up = await place.start().up();
      const port = await up.port();
      const application = await pidOf(port, 'app');
      // Every connection says which worker has it.
      const clients = await Promise.all(Array.from({ length: 24 }, () => RawClient.connect(port)));
      const [victim = 0, other = 0] = await up.workers();
      const ofVictim = await until('both workers have accepted all', () => {
        const mine = peerPorts(victim, port);
        return mine.size + peerPorts(other, port).size >= clients.length && mine;
      });
      const isDoomed = (client: RawClient): boolean => ofVictim.has(client.socket.localPort!);
      const doomed = clients.map(isDoomed);
      assert.ok(doomed.includes(true) && doomed.includes(false));
      let turns = 0;
      let stopped = false;
      const lost = new Set<number>();
      const conversations = clients.map(async (client, index) => {
        while (!stopped && !client.isClosed) {
          client.received = '';
          client.send('GET /app/pid HTTP/1.1\r\nHost: x\r\n\r\n');
          await until('an answer or the end', () => client.isClosed || /^HTTP\/1\.1 200 [^]*\}$/.test(client.received));
          if (client.isClosed) lost.add(index);
          else turns++;
        }
      });
      await until('all talk', () => turns > 100);
      process.kill(victim, 'SIGKILL');
      await up.line(/a worker died, replacing it/);
      await until('it is replaced', async () => {
        const workers = await up.workers();
        return workers.length === 2 && !workers.includes(victim);
      });
      // New connections go to both again.
      const fresh = await Promise.all(Array.from({ length: 30 }, () => ask(port, '/app/pid')));
      assert.ok(fresh.every(({ status }) => status === 200));
      const enough = turns + 100;
      await until('the others talk on', () => turns > enough);
      stopped = true;
      await Promise.all(conversations);
      assert.deepEqual(
        [...lost].toSorted((a, b) => a - b),
        doomed.flatMap((is, index) => (is ? [index] : [])),
      );
      assert.equal(await pidOf(port, 'app'), application);
      assert.deepEqual((await up.status()).workers.map(({ restarts }) => restarts).toSorted(), [0, 1]);
      for (const client of clients) client.destroy();
      assert.equal(await up.stop(), 0);
    },
  );

  it('SIGTERM with requests held and in flight: all are answered, exit code 0, nothing is left', BOUND, async () => {
    await using place = new Place(
      configuration({
        workers: 2,
        backends: { app: backend(), late: backend({ delayMs: 900 }), idle: backend({}, { scale: { min: 1 } }) },
      }),
    );
    const up = await place.start().up();
    const port = await up.port();
    await pidOf(port, 'app');
    const inFlight = Array.from({ length: 8 }, () => ask(port, '/app/wait?file=go'));
    const held = Array.from({ length: 8 }, (_, index) =>
      ask(port, index % 2 === 0 ? '/late/pid' : { path: '/late/echo', body: 'x' }),
    );
    using silent = await RawClient.connect(port);
    await up.backendWhen('app', 'busy', ({ demand }) => demand.inFlight === 8);
    await up.phase('late', 'waking');
    await up.backendWhen('late', 'holding all', ({ demand }) => demand.held === 8);
    const processes = place.processes();
    up.child.kill('SIGTERM');
    const line = await up.line(/ending: requests that were accepted are answered first/);
    assert.equal(line.reason, 'SIGTERM');
    await until('nothing new is accepted', async () => (await ask(port, '/app/pid')).status === 0);
    const answers = await Promise.all(held);
    assert.deepEqual(
      answers.map(({ status, headers }) => [status, headers['x-cold-start']]),
      Array.from({ length: 8 }, () => [200, 'true']),
    );
    place.touch('go');
    for (const { status, headers } of await Promise.all(inFlight))
      assert.deepEqual([status, headers.connection], [200, 'close']);
    assert.deepEqual(await up.ended, { code: 0, signal: null });
    await silent.closed();
    assert.ok(processes.length >= 6);
    assert.deepEqual(processes.filter(alive), []);
    assert.deepEqual(place.leftovers(), []);
  });

  it('with shutdown.delay it says that it is not ready before it refuses anybody', BOUND, async () => {
    await using place = new Place(
      configuration({ shutdown: { delay: '1s', drain: '5s' }, backends: { app: backend() } }),
    );
    const up = await place.start().up();
    const port = await up.port();
    const observed = await up.port('observe');
    assert.equal((await ask(observed, '/readyz')).status, 200);
    up.child.kill('SIGTERM');
    await up.line(/ending soon: not ready any more/);
    const ready = await ask(observed, '/readyz');
    assert.deepEqual([ready.status, ready.body], [503, 'not ready\n- it is ending\n']);
    // Asleep as it is: it is woken once more.
    const late = await ask(port, '/app/pid');
    assert.deepEqual([late.status, late.headers['x-cold-start']], [200, 'true']);
    await until('nothing new is accepted', async () => (await ask(port, '/app/pid')).status === 0);
    assert.deepEqual(await up.ended, { code: 0, signal: null });
    assert.deepEqual(place.leftovers(), []);
  });

  it('SIGTERM while it starts: exit code 0 and nothing is left', BOUND, async () => {
    await using place = new Place(
      configuration({ workers: 2, backends: { app: backend({ never: true }, { scale: { min: 1 } }) } }),
    );
    const up = place.start();
    await until('it has begun', () => place.processes().length >= 4);
    up.child.kill('SIGTERM');
    assert.deepEqual(await up.ended, { code: 0, signal: null });
    assert.deepEqual(place.leftovers(), []);
  });
});
