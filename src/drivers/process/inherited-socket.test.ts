/** Sockets that the kernel queues on before the application runs. */
import assert from 'node:assert/strict';
import http from 'node:http';
import { readFile } from 'node:fs/promises';
import { test } from 'node:test';
import { connects } from '../driver.contract.ts';
import { appCommand, logged, withDriver } from './fixtures/process-backend.ts';

function get(address: { host: string; port: number }): Promise<string> {
  return new Promise((resolve, reject) => {
    http
      .get({ ...address, agent: false }, (response) => {
        response.setEncoding('utf8').once('data', resolve);
      })
      .once('error', reject);
  });
}

test('it is ready before the application has done anything, and no request is lost', async () => {
  await withDriver(
    { process: { command: appCommand({ delayMs: 300 }), socket: 'inherited' } },
    async (driver, witness) => {
      driver.scaleUp(1);
      const [ready] = await witness.ready(driver, 1);
      assert.deepEqual(driver.logs(10), []);
      const answers = await Promise.all(Array.from({ length: 50 }, () => get(ready!.address!)));
      // Every one by the application itself: this process accepted none of them.
      assert.deepEqual(new Set(answers), new Set([`pid ${ready!.pid}\n`]));
      await logged(driver, /^LISTEN_PID right$/);
      await logged(driver, /^listening/);
    },
  );
});

test(
  'the pid is that of the application, and descriptor 3 blocks as systemd hands it over',
  { skip: process.platform !== 'linux' && 'reads /proc' },
  async () => {
    const command = ['/bin/sh', '-c', 'echo "fds $LISTEN_FDS port $PORT"; cat /proc/self/fdinfo/3; exec sleep 60'];
    await withDriver({ process: { command, socket: 'inherited' } }, async (driver, witness) => {
      driver.scaleUp(1);
      const [ready] = await witness.ready(driver, 1);
      await logged(driver, new RegExp(`^fds 1 port ${ready!.address!.port}$`));
      const [, flags] = await logged(driver, /^flags:\s+0*(\d+)/);
      assert.equal(Number.parseInt(flags!, 8) & 0o4000, 0, 'O_NONBLOCK');
      for (;;) {
        const comm = await readFile(`/proc/${ready!.pid}/comm`, 'utf8');
        if (comm === 'sleep\n') break;
        assert.equal(comm, 'sh\n');
      }
    });
  },
);

test('when the application ends, the port refuses connections and a new one gets another socket', async () => {
  await withDriver({ process: { socket: 'inherited' } }, async (driver, witness) => {
    driver.scaleUp(1);
    const [first] = await witness.ready(driver, 1);
    await get(first!.address!);
    await driver.retire([first!.id], { freeze: false });
    assert.equal(await connects(first!.address), false);
    driver.scaleUp(1);
    const [second] = await witness.ready(driver, 1);
    assert.match(await get(second!.address!), /^pid/);
  });
});

test('an application that ends at once is a crash, though its socket was ready', async () => {
  await withDriver(
    {
      process: {
        command: appCommand({ exitAtOnce: true, exitCode: 4 }),
        socket: 'inherited',
        crash: { backoffMs: 5000, maxBackoffMs: 5000 },
      },
    },
    async (driver, witness) => {
      driver.scaleUp(1);
      const crash = await witness.until('a crash', () => witness.crashes[0] ?? false);
      assert.match(crash.reason, /^exited with code 4 after /);
      assert.ok(crash.lastLogLines.includes('no database'));
    },
  );
});

test('with ready.http it is asked through the socket', async () => {
  const command = appCommand({ statuses: [503], delayMs: 50 });
  const ready = { kind: 'http' as const, path: '/ready', status: { from: 200, to: 299 } };
  await withDriver({ process: { command, socket: 'inherited', ready } }, async (driver, witness) => {
    driver.scaleUp(1);
    await witness.ready(driver, 1);
    await logged(driver, /^listening/);
  });
});
