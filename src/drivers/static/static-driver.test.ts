/** Active health checks, as whoever runs the servers sees them. */
import assert from 'node:assert/strict';
import http from 'node:http';
import net from 'node:net';
import { test } from 'node:test';
import type { HealthConfig } from '../../model/config.ts';
import { silentLogger, systemClock } from '../../model/ports.ts';
import { Witness } from '../driver.contract.ts';
import type { Driver } from '../driver.ts';
import { createDrivers } from '../index.ts';
import { processBackend } from '../process/fixtures/process-backend.ts';

const HEALTH: HealthConfig = {
  path: '/health',
  intervalMs: 20,
  timeoutMs: 100,
  status: { from: 200, to: 299 },
  rise: 2,
  fall: 3,
};

interface Subject {
  driver: Driver;
  witness: Witness;
  /** How the server answers from now on: a status, or bytes, or nothing at all. */
  answer: number | string | null;
  asked: string[];
}

async function withServer(
  health: HealthConfig | null,
  answer: Subject['answer'],
  run: (subject: Subject) => Promise<void>,
): Promise<void> {
  const subject = { answer, asked: [] as string[], witness: new Witness() } as unknown as Subject;
  const server = net.createServer((socket) => {
    socket.on('error', () => {});
    socket.once('data', (data) => {
      subject.asked.push(data.toString('latin1'));
      if (subject.answer === null) return;
      socket.end(
        typeof subject.answer === 'string'
          ? subject.answer
          : `HTTP/1.1 ${subject.answer} \r\ncontent-length: 0\r\n\r\n`,
      );
    });
  });
  await new Promise<void>((resolve) => void server.listen(0, '127.0.0.1', resolve));
  const { port } = server.address() as net.AddressInfo;
  const create = createDrivers({
    logger: silentLogger,
    clock: systemClock,
    stateDir: '/nonexistent',
    marker: '',
    environment: {},
  });
  const servers = [{ host: '127.0.0.1', port, weight: 3, backup: false }];
  subject.driver = create({ ...processBackend({ health }), source: { driver: 'static', servers } }, subject.witness);
  try {
    await run(subject);
  } finally {
    await subject.driver.close();
    server.close();
  }
}

const unhealthyCount = (witness: Witness): number =>
  witness.instances.filter(({ state }) => state === 'unhealthy').length;

test('without health checks servers are ready from the first moment and never asked', async () => {
  await withServer(null, 500, async ({ driver, witness, asked }) => {
    const [instance] = driver.instances();
    assert.equal(instance?.state, 'ready');
    assert.equal(instance?.weight, 3);
    driver.suspect(instance!.id, 'refused');
    await witness.ready(driver, 1);
    assert.deepEqual(asked, []);
    assert.equal(driver.canScale, false);
  });
});

test('a server that is down at the start is taken away by the first check', async () => {
  await withServer({ ...HEALTH, intervalMs: 60_000 }, 503, async ({ witness }) => {
    const unhealthy = await witness.until('unhealthy', () =>
      witness.instances.find(({ state }) => state === 'unhealthy'),
    );
    assert.equal(unhealthy.reason, 'GET /health answered 503, expected 200-299');
  });
});

test('it takes `fall` failures in a row to go and `rise` successes to come back', async () => {
  await withServer(HEALTH, 200, async (subject) => {
    const { witness, driver, asked } = subject;
    await pollUntil(() => asked.length >= 2);
    subject.answer = 500;
    const before = asked.length;
    await witness.until('unhealthy', () => unhealthyCount(witness) === 1);
    assert.ok(asked.length - before >= 3);
    subject.answer = 204;
    const down = asked.length;
    await witness.ready(driver, 1);
    assert.ok(asked.length - down >= 2);
    assert.match(asked[0]!, /^GET \/health HTTP\/1\.1\r\nHost: 127\.0\.0\.1:\d+\r\n/);
  });
});

for (const [what, answer, reason] of [
  ['rubbish', 'SSH-2.0-OpenSSH_9.9\r\n', /did not answer with HTTP\/1\.1/],
  ['a line without end', 'x'.repeat(100_000), /did not answer with HTTP\/1\.1/],
  ['nothing', null, /did not answer within 100 ms/],
  ['an end without an answer', '', /closed the connection without an answer/],
] as const) {
  test(`a server that answers ${what} is unhealthy`, async () => {
    await withServer(HEALTH, answer, async ({ witness }) => {
      const unhealthy = await witness.until('unhealthy', () =>
        witness.instances.find(({ state }) => state === 'unhealthy'),
      );
      assert.match(unhealthy.reason, reason);
    });
  });
}

test('a suspicion is looked into at once, and decided long before the next check is due', async () => {
  await withServer({ ...HEALTH, intervalMs: 1000, fall: 2 }, 200, async (subject) => {
    const { driver, witness, asked } = subject;
    await pollUntil(() => asked.length >= 1);
    subject.answer = 500;
    const beganMs = performance.now();
    driver.suspect(driver.instances()[0]!.id, 'connection reset');
    await witness.until('unhealthy', () => unhealthyCount(witness) === 1);
    assert.ok(performance.now() - beganMs < 700);
  });
});

test('a name is resolved by the check as by the gateway', async () => {
  const server = http.createServer((_request, response) => response.end());
  await new Promise<void>((resolve) => void server.listen(0, 'localhost', resolve));
  const { port } = server.address() as net.AddressInfo;
  const create = createDrivers({
    logger: silentLogger,
    clock: systemClock,
    stateDir: '/nonexistent',
    marker: '',
    environment: {},
  });
  const servers = [
    { host: 'localhost', port, weight: 1, backup: false },
    { host: 'no-such-host.invalid', port, weight: 1, backup: false },
  ];
  const witness = new Witness();
  const driver = create({ ...processBackend({ health: HEALTH }), source: { driver: 'static', servers } }, witness);
  const unhealthy = await witness.until('unhealthy', () =>
    witness.instances.find(({ state }) => state === 'unhealthy'),
  );
  assert.equal(unhealthy.address?.host, 'no-such-host.invalid');
  assert.match(unhealthy.reason, /can't be reached|did not accept/);
  assert.equal(driver.instances()[0]?.state, 'ready');
  await driver.close();
  server.close();
});

async function pollUntil(condition: () => boolean): Promise<void> {
  for (let turn = 0; turn < 2000 && !condition(); turn++) await new Promise((resolve) => setTimeout(resolve, 2));
  assert.ok(condition());
}
