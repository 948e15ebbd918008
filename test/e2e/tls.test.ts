/** TLS through the whole program: workers that take up each other's sessions, files that change, what `check` says. */
import assert from 'node:assert/strict';
import { once } from 'node:events';
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { before, describe, it } from 'node:test';
import { connect, type ConnectionOptions, type TLSSocket } from 'node:tls';
import { Authority, writePem } from '../../src/gateway/fixtures/certificates.ts';
import { backend, configuration } from './fixtures/configuration.ts';
import { Place } from './fixtures/dormouse.ts';
import { until } from './fixtures/until.ts';

const CALM = { timeout: 60_000 };
let authority: Authority;

before(async () => {
  authority = await Authority.create();
});

async function place(workers = 2): Promise<Place> {
  const made = new Place(
    configuration({
      workers,
      listeners: [
        {
          name: 'web',
          address: '127.0.0.1:0',
          protocol: 'https',
          tls: { certificates: [{ cert: 'a.crt', key: 'a.key' }] },
        },
      ],
      backends: { app: backend() },
    }),
  );
  writePem(made.path, 'a', await authority.issue({ names: ['a.test'] }));
  return made;
}

interface Visit {
  status: number;
  reused: boolean;
  session: Buffer;
  validUntilMs: number;
}

/** One request on a connection of its own. */
async function visit(port: number, options: ConnectionOptions = {}): Promise<Visit> {
  const socket: TLSSocket = connect({ host: '127.0.0.1', port, servername: 'a.test', ca: authority.pem, ...options });
  await once(socket, 'secureConnect');
  socket.write('GET /app/pid HTTP/1.1\r\nHost: a.test\r\n\r\n');
  const [answer] = (await once(socket, 'data')) as [Buffer];
  const { valid_to } = socket.getPeerCertificate();
  const told = {
    status: Number(answer.toString('latin1', 9, 12)),
    reused: socket.isSessionReused(),
    session: socket.getSession()!,
    validUntilMs: new Date(valid_to).getTime(),
  };
  socket.destroy();
  return told;
}

describe('TLS', { concurrency: 2 }, () => {
  it('sessions are taken up by every worker, and by the one that replaces a worker that died', CALM, async () => {
    await using made = await place();
    const dormouse = await made.start().up();
    const port = await dormouse.port();
    // The first request wakes the backend.
    const first = await visit(port);
    assert.equal(first.status, 200);
    assert.equal(first.reused, false);
    const seen: boolean[] = [];
    for (let turn = 0; turn < 30; turn++) seen.push((await visit(port, { session: first.session })).reused);
    assert.deepEqual(new Set(seen), new Set([true]));
    const former = await dormouse.workers();
    for (const pid of former) process.kill(pid, 'SIGKILL');
    await until('new workers run', async () => {
      const workers = await dormouse.workers();
      return workers.length === 2 && workers.every((pid) => !former.includes(pid));
    });
    for (let turn = 0; turn < 10; turn++) assert.equal((await visit(port, { session: first.session })).reused, true);
    assert.equal(await dormouse.stop(), 0);
  });

  it('a certificate that is replaced is shown by every worker, without a reload', CALM, async () => {
    await using made = await place();
    const dormouse = await made.start().up();
    const port = await dormouse.port();
    const before90Days = (await visit(port)).validUntilMs;
    writePem(made.path, 'a', await authority.issue({ names: ['a.test'], toDays: 30 }));
    await until('both workers have said so', () => {
      const lines = dormouse.log.filter(({ msg }) => msg === 'files have changed and are in force');
      return new Set(lines.map(({ worker }) => worker)).size === 2;
    });
    for (let turn = 0; turn < 10; turn++) {
      const { validUntilMs, status } = await visit(port);
      assert.equal(status, 200);
      assert.ok(validUntilMs < before90Days);
    }
    assert.ok(!JSON.stringify(dormouse.log).includes('PRIVATE KEY'));
  });

  it('a worker that dies while files are half written is replaced as soon as they are whole', CALM, async () => {
    await using made = await place(1);
    const dormouse = await made.start().up();
    const port = await dormouse.port();
    assert.equal((await visit(port)).status, 200);
    const whole = await authority.issue({ names: ['a.test'], toDays: 30 });
    writePem(made.path, 'a', { ...whole, cert: whole.cert.slice(0, 200) });
    const [pid] = await dormouse.workers();
    process.kill(pid!, 'SIGKILL');
    await dormouse.line(/a\.crt.*a gateway refused the configuration/);
    writePem(made.path, 'a', whole);
    // The connection waits in the queue of the socket until somebody can take it.
    assert.equal((await visit(port)).status, 200);
  });

  it('check and start name the file that is wrong', CALM, async () => {
    await using made = await place();
    const { key } = await authority.issue({ names: ['a.test'] });
    writeFileSync(join(made.path, 'a.key'), key);
    const checked = await made.run('check');
    assert.equal(checked.code, 1);
    assert.match(checked.stdout + checked.stderr, /a\.key: the key is not the one of the certificate/);
    const dormouse = made.start();
    assert.equal((await dormouse.ended).code, 1);
    assert.match(dormouse.text, /dormouse\.yaml:\d+:\d+.*listeners\[0\]\.tls\.certificates\[0\]\.key/);
    writePem(made.path, 'a', await authority.issue({ names: ['a.test'], fromDays: -9, toDays: -2 }));
    const expired = await made.run('check');
    assert.equal(expired.code, 0);
    assert.match(expired.stdout + expired.stderr, /a\.crt: the certificate expired on \d{4}-\d\d-\d\d/);
  });
});
