/** What there is not enough of: descriptors, disk, ports, places for a second dormouse; and a supervisor that is killed. */
import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { once } from 'node:events';
import { existsSync, mkdirSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs';
import net from 'node:net';
import { join } from 'node:path';
import { describe, it } from 'node:test';
import { ask, RawClient, type Answer } from './fixtures/client.ts';
import { backend, configuration } from './fixtures/configuration.ts';
import { Place } from './fixtures/dormouse.ts';
import { alive } from './fixtures/processes.ts';
import { until } from './fixtures/until.ts';

const BOUND = { timeout: 60_000 };

describe('what there is not enough of', { concurrency: 2 }, () => {
  it(
    'no descriptors for clients (ulimit -n 64): 503 or refused, those that are in are served, and it recovers',
    BOUND,
    async () => {
      await using place = new Place(configuration({ backends: { app: backend() } }));
      const up = await place.start({ before: 'ulimit -n 64' }).up();
      const port = await up.port();
      assert.equal((await ask(port, '/app/pid')).status, 200);
      const clients = await Promise.all(Array.from({ length: 100 }, () => RawClient.connect(port)));
      for (const client of clients) client.send('GET /app/pid HTTP/1.1\r\nHost: x\r\n\r\n');
      await until('each has an answer or was closed', () =>
        clients.every((client) => client.isClosed || /\r\n\r\n[^]*\}/.test(client.received)),
      );
      const count = (what: RegExp): number => clients.filter((client) => what.test(client.received)).length;
      assert.ok(count(/^HTTP\/1\.1 200 /) >= 4, `${count(/^HTTP\/1\.1 200 /)} were served`);
      assert.ok(count(/^HTTP\/1\.1 503 [^]*too-many-connections/) >= 1);
      assert.equal(clients.filter(({ received }) => !/^(?:HTTP\/1\.1 (?:200|503) [^]*)?$/.test(received)).length, 0);
      // Who is in goes on being served.
      const inside = clients.find(({ received, isClosed }) => received.startsWith('HTTP/1.1 200 ') && !isClosed)!;
      inside.received = '';
      inside.send('GET /app/pid HTTP/1.1\r\nHost: x\r\n\r\n');
      await inside.until(/^HTTP\/1\.1 200 /);
      for (const client of clients) client.destroy();
      await until('it recovers', async () => (await ask(port, '/app/pid')).status === 200);
      assert.deepEqual(
        (await up.status()).workers.map(({ restarts }) => restarts),
        [0],
      );
      assert.equal(await up.stop(), 0);
      assert.deepEqual(place.leftovers(), []);
    },
  );

  it(
    'no descriptors for another application: 503 that says so; nothing else breaks, and it recovers',
    BOUND,
    async () => {
      const names = Array.from({ length: 14 }, (_, index) => `app${index}`);
      await using place = new Place(
        configuration({
          backends: Object.fromEntries(
            names.map((name) => [name, backend({}, { process: { crash: { backoff: '100ms', maxBackoff: '200ms' } } })]),
          ),
        }),
      );
      const up = await place.start({ before: 'ulimit -n 48' }).up();
      const port = await up.port();
      const answers: Answer[] = [];
      for (const name of names) answers.push(await ask(port, `/${name}/pid`));
      const refused = answers.filter(({ status }) => status !== 200);
      assert.ok(refused.length > 0 && refused.length < names.length, answers.map(({ status }) => status).join(' '));
      for (const { status, body } of refused) {
        assert.equal(status, 503);
        assert.match(body, /descriptors/);
      }
      // Those that run go on.
      const running = names[answers.findIndex(({ status }) => status === 200)]!;
      const stuck = names[answers.findIndex(({ status }) => status !== 200)]!;
      assert.equal((await ask(port, `/${running}/pid`)).status, 200);
      // Room again.
      for (const [index, name] of names.entries()) {
        if (answers[index]!.status === 200) await up.control.sleep(name);
      }
      await until('the one that had no room is started', async () => (await ask(port, `/${stuck}/pid`)).status === 200);
      assert.equal(await up.stop(), 0);
      assert.deepEqual(place.leftovers(), []);
    },
  );

  it(
    'the disk is full: requests go on, the user is told that lines were dropped, and it goes on when there is room',
    BOUND,
    async () => {
      await using place = new Place('');
      const disk = join(place.path, 'disk');
      mkdirSync(disk);
      const isMounted = mount(disk);
      // Without the right to mount: the device that is always full.
      const file = isMounted ? join(disk, 'access.log') : '/dev/full';
      if (isMounted) writeFileSync(join(disk, 'ballast'), Buffer.alloc(48 * 1024));
      try {
        place.write(
          configuration({ backends: { app: backend() }, telemetry: { accessLog: { format: 'json', file } } }),
        );
        const up = await place.start().up();
        const port = await up.port();
        const batch = async (): Promise<void> => {
          const answers = await Promise.all(
            Array.from({ length: 50 }, () => ask(port, `/app/pid?${'x'.repeat(1000)}`)),
          );
          assert.ok(answers.every(({ status }) => status === 200));
        };
        await batch();
        const line = await up.line(/"log lines were dropped"/);
        assert.equal(line.level, 'warn');
        assert.equal(line.file, file);
        assert.match(String(line.reason), /ENOSPC/);
        assert.ok(Number(line.dropped) >= 1);
        if (isMounted) {
          assert.ok(statSync(file).size <= 64 * 1024);
          rmSync(join(disk, 'ballast'));
          const sizeThen = statSync(file).size;
          await ask(port, '/app/pid?last');
          await until(
            'lines are written again',
            () => statSync(file).size > sizeThen && readFileSync(file, 'utf8').includes('?last'),
          );
          // What is there is whole lines, but for the one at which the disk became full.
          const lines = readFileSync(file, 'utf8').trimEnd().split('\n');
          assert.ok(lines.filter((text) => !isJson(text)).length <= 1);
        }
        assert.equal(await up.stop(), 0);
      } finally {
        if (isMounted) execFileSync('umount', [disk]);
      }
    },
  );

  it('the log of an access file that cannot be opened keeps it from starting, in a sentence', BOUND, async () => {
    await using place = new Place(
      configuration({
        backends: { app: backend() },
        telemetry: { accessLog: { format: 'json', file: '/no/such/folder/access.log' } },
      }),
    );
    const up = place.start();
    assert.equal((await up.ended).code, 1);
    assert.match(up.text, /cannot open the log file \/no\/such\/folder\/access\.log/);
    assert.doesNotMatch(up.text, /\n\s+at /);
    assert.deepEqual(place.leftovers(), []);
  });

  it("a listener's port is taken at the start: exit code 1, who has it, nothing left", BOUND, async () => {
    const taken = net.createServer().listen(0, '127.0.0.1');
    await once(taken, 'listening');
    const { port } = taken.address() as net.AddressInfo;
    for (const workers of [1, 2]) {
      await using place = new Place(
        configuration({
          workers,
          backends: { app: backend({}, { scale: { min: 1 } }) },
          listeners: [{ name: 'front', address: `127.0.0.1:${port}` }],
        }),
      );
      const up = place.start();
      assert.deepEqual(await up.ended, { code: 1, signal: null });
      assert.match(
        up.text,
        new RegExp(
          `^Listener "front" cannot listen on 127\\.0\\.0\\.1:${port}: .*\\(pid ${process.pid}\\) listens there\\. End it, or choose another`,
        ),
      );
      assert.equal(up.text.trimEnd().split('\n').length, 1);
      assert.deepEqual(place.leftovers(), []);
    }
    taken.close();
  });

  it(
    'two of them on the same file: the second ends with code 1 and names the first; the first does not notice',
    BOUND,
    async () => {
      await using place = new Place(configuration({ backends: { app: backend() } }));
      const first = await place.start().up();
      const port = await first.port();
      const { body } = await ask(port, '/app/slow?ms=0');
      const second = place.start();
      assert.deepEqual(await second.ended, { code: 1, signal: null });
      assert.match(
        second.text,
        new RegExp(`^Another dormouse runs on the state folder .*\\(pid ${first.pid}, since .*kill ${first.pid}`),
      );
      assert.equal((await ask(port, '/app/slow?ms=0')).body, body);
      assert.equal((await place.run('status')).code, 0);
      assert.equal(await first.stop(), 0);
      const third = await place.start().up();
      assert.equal(await third.stop(), 0);
      const { code, stderr } = await place.run('status');
      assert.equal(code, 1);
      assert.match(stderr, /dormouse is not running .*start it with: dormouse up -c /);
    },
  );

  it(
    'the supervisor is killed: what was asked is answered, workers end; the next start ends what is left and is not in its way',
    BOUND,
    async () => {
      await using place = new Place(
        configuration({
          workers: 2,
          backends: {
            app: backend({ fork: true, daemon: true }, { process: { stopGrace: '300ms' } }),
            held: backend({ never: true }),
          },
        }),
      );
      const up = await place.start().up();
      const port = await up.port();
      assert.equal((await ask(port, '/app/pid')).status, 200);
      const children = (await up.logs('app'))
        .flatMap((line) => /^(?:child|daemon|listening) (\d+)$/.exec(line)?.[1] ?? [])
        .map(Number);
      assert.equal(children.length, 3);
      const workers = await up.workers();
      const answered = ask(port, '/app/wait?file=go');
      await up.backendWhen('app', 'busy', ({ demand }) => demand.inFlight === 1);
      up.child.kill('SIGKILL');
      await up.exited;
      await until('the port is closed', async () => (await ask(port, '/app/pid')).status === 0);
      assert.equal((await place.run('status')).code, 1);
      // The start waits for those that still answer somebody.
      const next = place.start();
      await next.line(/waiting for workers that a former run left behind/);
      place.touch('go');
      assert.equal((await answered).status, 200);
      await next.up();
      await next.line(/ended instances that a former run left behind/);
      assert.deepEqual([...workers, ...children].filter(alive), []);
      const fresh = await ask(await next.port(), '/app/pid');
      assert.equal(fresh.headers['x-cold-start'], 'true');
      assert.equal(await next.stop(), 0);
      assert.deepEqual(place.leftovers(), []);
    },
  );

  it('the state folder: made with mode 0700, its socket 0600; one that cannot be written is told', BOUND, async () => {
    await using place = new Place(configuration({ backends: { app: backend() } }));
    const up = await place.start().up();
    assert.equal(statSync(place.stateDir).mode & 0o777, 0o700);
    assert.equal(statSync(join(place.stateDir, 'control.sock')).mode & 0o777, 0o600);
    assert.equal(await up.stop(), 0);
    assert.equal(existsSync(join(place.stateDir, 'control.sock')), false);
    await using other = new Place(configuration({ stateDir: './dormouse.yaml/state', backends: { app: backend() } }));
    const refused = other.start();
    assert.equal((await refused.ended).code, 1);
    assert.match(refused.text, /^The state folder \S+\/dormouse\.yaml\/state cannot be made: .*Set stateDir/);
  });
});

function mount(folder: string): boolean {
  try {
    execFileSync('mount', ['-t', 'tmpfs', '-o', 'size=64k', 'tmpfs', folder], { stdio: 'ignore' });
    return true;
  } catch {
    return false;
  }
}

function isJson(text: string): boolean {
  try {
    JSON.parse(text);
    return true;
  } catch {
    return false;
  }
}
