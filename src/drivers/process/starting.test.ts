/** How an instance becomes ready. */
import assert from 'node:assert/strict';
import http from 'node:http';
import net from 'node:net';
import { tmpdir } from 'node:os';
import { test } from 'node:test';
import { freePort } from '../../model/free-port.fixture.ts';
import { connects } from '../driver.contract.ts';
import { appCommand, logged, withDriver } from './fixtures/process-backend.ts';

test('the application gets PORT and INSTANCE, in its environment and in its command, without a shell', async () => {
  const options = {
    printEnv: ['PORT', 'INSTANCE', 'NAME', 'FROM_DORMOUSE', 'DORMOUSE_MARKER'],
    print: '$HOME ${INSTANCE} `id` port ${PORT}\n',
  };
  const environment = { ...process.env, FROM_DORMOUSE: 'yes', NAME: 'overridden' };
  await withDriver(
    { process: { command: appCommand(options), env: { NAME: 'n-${INSTANCE}-${PORT}' } } },
    async (driver, witness, bench) => {
      driver.scaleUp(1);
      const [ready] = await witness.ready(driver, 1);
      const port = ready!.address!.port;
      await logged(driver, /DORMOUSE_MARKER/);
      const lines = driver.logs(20).map(({ text }) => text);
      assert.ok(lines.includes(`PORT=${port}`));
      assert.ok(lines.includes('INSTANCE=app-1'));
      assert.ok(lines.includes(`NAME=n-app-1-${port}`));
      assert.ok(lines.includes('FROM_DORMOUSE=yes'));
      assert.ok(lines.includes(`DORMOUSE_MARKER=${bench.marker}`));
      assert.ok(lines.includes('$HOME app-1 `id` port ' + port));
    },
    { environment },
  );
});

test('it is told to be starting with its pid, then ready within milliseconds of listening, even when it listens late', async () => {
  await withDriver({ process: { command: appCommand({ delayMs: 300 }) } }, async (driver, witness) => {
    driver.scaleUp(1);
    assert.deepEqual(
      driver.instances().map(({ id, state }) => [id, state]),
      [['app-1', 'starting']],
    );
    const starting = await witness.until('a pid', () => witness.instances.find(({ pid }) => pid !== null));
    assert.equal(starting.state, 'starting');
    const [ready] = await witness.ready(driver, 1);
    const seenAtMs = performance.timeOrigin + performance.now();
    const [, listening] = await logged(driver, /listening ([\d.]+)/);
    const lateMs = seenAtMs - Number(listening);
    // Far more than is usual, since a busy machine may run something else between.
    assert.ok(lateMs < 50, `${lateMs} ms`);
    assert.equal(ready!.pid, starting.pid);
  });
});

test('a program that listens nowhere is ready as soon as it runs, has no address and no PORT', async () => {
  const command = [process.execPath, '-e', 'console.log(`PORT is ${process.env.PORT}`); setInterval(() => {}, 1000)'];
  const environment = { ...process.env, PORT: '1' };
  await withDriver(
    { process: { command, port: 'none', ready: { kind: 'started' } } },
    async (driver, witness) => {
      driver.scaleUp(2);
      const ready = await witness.ready(driver, 2);
      assert.deepEqual(
        ready.map(({ address }) => address),
        [null, null],
      );
      await logged(driver, /PORT is undefined/);
    },
    { environment },
  );
});

test('an application that listens on ::1 only is found there', async (context) => {
  if (!(await hasIpv6())) return context.diagnostic('this machine has no ::1');
  await withDriver({ process: { command: appCommand({ host: '::1' }) } }, async (driver, witness) => {
    driver.scaleUp(1);
    const [ready] = await witness.ready(driver, 1);
    assert.equal(ready!.address!.host, '::1');
    assert.equal(await connects(ready!.address), true);
  });
});

test('with ready.http it is ready when the status is in the range, not when it listens', async () => {
  const command = appCommand({ statuses: [503, 503, 404] });
  await withDriver(
    { process: { command, ready: { kind: 'http', path: '/ready', status: { from: 200, to: 299 } } } },
    async (driver, witness) => {
      driver.scaleUp(1);
      const [ready] = await witness.ready(driver, 1);
      assert.equal(await connects(ready!.address), true);
    },
  );
});

test('a start that never passes ready.http fails with what the application answered', async () => {
  const command = appCommand({ statuses: Array.from({ length: 1000 }, () => 503) });
  const ready = { kind: 'http' as const, path: '/ready', status: { from: 200, to: 299 } };
  await withDriver({ process: { command, ready, startTimeoutMs: 1500 } }, async (driver, witness) => {
    driver.scaleUp(1);
    const crash = await witness.until('a crash', () => witness.crashes[0] ?? false);
    assert.match(crash.reason, /^was not ready on port \d+ within 1\.5 s: GET \/ready answered 503, expected 200-299$/);
  });
});

test('a fixed port is used as it stands, and again by the next instance', async () => {
  const port = await freePort();
  await withDriver({ process: { port }, scale: { max: 1 } }, async (driver, witness) => {
    driver.scaleUp(1);
    const [first] = await witness.ready(driver, 1);
    assert.equal(first!.address!.port, port);
    const retired = driver.retire([first!.id], { freeze: false });
    // Asked for while the first still has the port: it starts when that is gone, and no crash comes of it.
    driver.scaleUp(1);
    const second = await witness.until('the second', () =>
      driver.instances().find(({ id, state }) => id !== first!.id && state === 'ready'),
    );
    await retired;
    assert.equal(second.address!.port, port);
    assert.deepEqual(witness.crashes, []);
  });
});

test('a fixed port on which somebody else answers is told as that, and nothing is started', async () => {
  const stranger = http.createServer((_request, response) => response.end('stranger'));
  await new Promise<void>((resolve) => void stranger.listen(0, '127.0.0.1', resolve));
  const { port } = stranger.address() as net.AddressInfo;
  try {
    for (const socket of ['connect', 'inherited'] as const) {
      await withDriver({ process: { port, socket }, scale: { max: 1 } }, async (driver, witness) => {
        driver.scaleUp(1);
        const crash = await witness.until('a crash', () => witness.crashes[0] ?? false);
        assert.match(
          crash.reason,
          new RegExp(`^port ${port} is already taken by another process; .*backends\\.app\\.process\\.port$`),
        );
        assert.equal(
          witness.instances.some(({ pid }) => pid !== null),
          false,
        );
        assert.equal(
          witness.instances.some(({ state }) => state === 'ready'),
          false,
        );
      });
    }
  } finally {
    stranger.close();
  }
});

test('as another user it runs with that user’s id and home; without root that is refused in words', async (context) => {
  if (process.getuid?.() !== 0) {
    await withDriver({ process: { user: 'root' } }, async (driver, witness) => {
      driver.scaleUp(1);
      const crash = await witness.until('a crash', () => witness.crashes[0] ?? false);
      assert.match(
        crash.reason,
        /only root can run it as user "root"; start dormouse as root or remove backends\.app\.process\.user/,
      );
    });
    return context.diagnostic('not root: only the refusal was tested');
  }
  const command = ['/bin/sh', '-c', 'id -u; echo "HOME=$HOME USER=$USER"; sleep 60'];
  await withDriver({ process: { user: 'nobody', command, cwd: tmpdir() } }, async (driver) => {
    driver.scaleUp(1);
    await logged(driver, /^65534$/);
    await logged(driver, /^HOME=\S+ USER=nobody$/);
  });
});

test('an unknown user is a crash with a reason', async () => {
  await withDriver({ process: { user: 'no-such-user-here' } }, async (driver, witness) => {
    driver.scaleUp(1);
    const crash = await witness.until('a crash', () => witness.crashes[0] ?? false);
    assert.match(
      crash.reason,
      /there is no user "no-such-user-here" on this machine; check backends\.app\.process\.user/,
    );
  });
});

test('starts that nobody needs any more are given up without being called a crash', async () => {
  await withDriver({ process: { command: appCommand({ never: true }) } }, async (driver, witness) => {
    driver.scaleUp(2);
    await witness.until('two pids', () => driver.instances().filter(({ pid }) => pid !== null).length === 2);
    driver.cancelStarts(1);
    await witness.state('app-2', 'gone');
    assert.deepEqual(
      driver.instances().map(({ id, state }) => [id, state]),
      [['app-1', 'starting']],
    );
    driver.cancelStarts(0);
    await witness.state('app-1', 'gone');
    assert.deepEqual(witness.crashes, []);
  });
});

test('a start given up before its process exists leaves nothing', async () => {
  await withDriver({}, async (driver, witness) => {
    driver.scaleUp(1);
    driver.cancelStarts(0);
    await witness.state('app-1', 'gone');
    assert.equal(
      witness.instances.some(({ pid }) => pid !== null),
      false,
    );
    driver.scaleUp(1);
    await witness.ready(driver, 1);
  });
});

function hasIpv6(): Promise<boolean> {
  return new Promise((resolve) => {
    const server = net.createServer().once('error', () => resolve(false));
    server.listen(0, '::1', () => server.close(() => resolve(true)));
  });
}
