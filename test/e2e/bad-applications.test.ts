/** Applications that misbehave: what their clients get, and what the user is told. */
import assert from 'node:assert/strict';
import { once } from 'node:events';
import net from 'node:net';
import { after, before, describe, it } from 'node:test';
import { ask, problem, RawClient } from './fixtures/client.ts';
import { backend, configuration } from './fixtures/configuration.ts';
import { Place, type Dormouse } from './fixtures/dormouse.ts';
import { alive } from './fixtures/processes.ts';
import { until } from './fixtures/until.ts';

const BOUND = { timeout: 60_000 };

describe('applications that misbehave', { concurrency: 3 }, () => {
  let place: Place;
  let up: Dormouse;
  let port = 0;
  const taken = net.createServer();

  before(async () => {
    taken.listen(0, '127.0.0.1');
    await once(taken, 'listening');
    const slowBackoff = { crash: { backoff: '30s', maxBackoff: '60s' } };
    place = new Place(
      configuration({
        backends: {
          missing: { process: { command: ['no-such-program', '--serve'], ...slowBackoff } },
          'no-folder': backend({}, { process: { cwd: './nowhere', ...slowBackoff } }),
          exits: backend({ print: ['reading settings'], exitCode: 3 }, { process: slowBackoff }),
          deaf: backend({ never: true }, { process: { startTimeout: '400ms', ...slowBackoff } }),
          patient: backend({ never: true }, { wake: { timeout: '500ms' } }),
          late: backend({ delayMs: 900 }),
          flaky: backend({ flaky: true }),
          rubbish: backend(),
          dies: backend({}, { process: { crash: { backoff: '50ms' } } }),
          stubborn: backend({ ignoreTerm: true }, { process: { stopGrace: '300ms' } }),
          forks: backend({ fork: true, daemon: true }, { process: { stopGrace: '300ms' } }),
          'port-taken': backend(
            {},
            { process: { port: (taken.address() as net.AddressInfo).port, ...slowBackoff }, scale: { max: 1 } },
          ),
          well: backend(),
        },
      }),
    );
    up = await place.start().up();
    port = await up.port();
  });

  after(async () => {
    taken.close();
    await place[Symbol.asyncDispose]();
  });

  it('a command that does not exist: 503 at once with the reason, and where to correct it', BOUND, async () => {
    const first = problem(await ask(port, '/missing/'));
    assert.deepEqual({ ...first, detail: '' }, { status: 503, code: 'crashing', detail: '' });
    assert.match(first.detail, /command not found: no-such-program/);
    const again = await ask(port, '/missing/');
    assert.equal(again.status, 503);
    assert.ok(Number(again.headers['retry-after']) > 10);
    const { crash, phase } = await place.statusOf('missing');
    assert.equal(phase, 'asleep');
    assert.match(
      crash!.reason,
      /command not found: no-such-program \(ENOENT\); check backends\.missing\.process\.command/,
    );
    assert.equal(crash!.attempts, 1);
    assert.match((await up.line(/"crash".*missing|missing.*"crash"/)).msg, /missing is crashing: command not found/);
    const { stdout } = await place.run('status');
    assert.match(stdout, /^missing +crashing /m);
    assert.match(stdout, /missing is crashing: command not found: no-such-program/);
  });

  it('a folder that does not exist is told as such, not as a missing command', BOUND, async () => {
    assert.match(problem(await ask(port, '/no-folder/')).detail, /cwd does not exist/);
    const { crash } = await place.statusOf('no-folder');
    assert.match(crash!.reason, /cwd does not exist: .*nowhere; check backends\.no-folder\.process\.cwd/);
  });

  it('exits at once: 503 with the exit code; its last lines are in status and logs', BOUND, async () => {
    const { status, code, detail } = problem(await ask(port, '/exits/'));
    assert.deepEqual({ status, code }, { status: 503, code: 'crashing' });
    assert.match(detail, /exited with code 3/);
    // What it wrote is for the user, not for its clients.
    assert.doesNotMatch(detail, /no database/);
    const { crash } = await place.statusOf('exits');
    assert.deepEqual(crash!.lastLogLines, ['reading settings', 'no database here']);
    assert.ok(crash!.retryAtMs > Date.now() + 20_000);
    const { stdout } = await place.run('status', 'exits');
    assert.match(stdout, /exits is crashing: exited with code 3 .*\(once; next try in \d+/);
    assert.match(stdout, /\| no database here/);
    const logs = await place.run('logs', 'exits', '-n', '1');
    assert.match(logs.stdout, /^\S+ exits-1 ! no database here\n$/);
    const woken = await place.run('wake', 'exits');
    assert.equal(woken.code, 1);
    assert.match(woken.stderr, /exited with code 3/);
  });

  it('never listens: 503 when startTimeout has passed, and nothing goes on running', BOUND, async () => {
    const { status, code, detail } = problem(await ask(port, '/deaf/'));
    assert.deepEqual({ status, code }, { status: 503, code: 'crashing' });
    assert.match(detail, /did not listen on port \d+ within 400 ms/);
    await up.backendWhen('deaf', 'without an instance', ({ instances }) => instances.length === 0);
  });

  it('never listens, and wake.timeout passes first: 504', BOUND, async () => {
    const { status, code, detail } = problem(await ask(port, '/patient/'));
    assert.deepEqual({ status, code }, { status: 504, code: 'hold-timeout' });
    assert.match(detail, /patient did not wake within 0\.5 s \(wake\.timeout\)/);
  });

  it('listens late: the request waits and is answered', BOUND, async () => {
    const began = performance.now();
    const answer = await ask(port, '/late/pid');
    assert.equal(answer.status, 200);
    assert.equal(answer.headers['x-cold-start'], 'true');
    assert.ok(performance.now() - began >= 850);
    const { lastWoken } = await place.statusOf('late');
    assert.ok(lastWoken!.tookMs >= 850 && lastWoken!.tookMs < 10_000);
  });

  it(
    'closes connections at random: each request gets its answer or a 502, none waits, and the connection goes on',
    BOUND,
    async () => {
      using client = await RawClient.connect(port);
      const statuses: string[] = [];
      for (let turn = 1; turn <= 12; turn++) {
        client.received = '';
        // POST: may not be sent a second time.
        client.send('POST /flaky/pid HTTP/1.1\r\nHost: x\r\nContent-Length: 2\r\n\r\nhi');
        const [, status = ''] = await client.until(/^HTTP\/1\.1 (\d+) [^]*\r\n\r\n\{[^]*\}\s*$/);
        statuses.push(status);
      }
      assert.deepEqual([...new Set(statuses)].toSorted(), ['200', '502']);
      assert.equal(statuses.filter((status) => status === '502').length, 4);
      // GET: sent again where a kept connection turned out to be closed, so that a client sees at most what fresh connections meet.
      const gets = await Promise.all(Array.from({ length: 30 }, () => ask(port, '/flaky/pid')));
      assert.ok(gets.every(({ status }) => status === 200 || status === 502));
      assert.ok(gets.some(({ status }) => status === 200));
      const lost = problem(
        await until('a 502', async () => {
          const answer = await ask(port, { path: '/flaky/pid', body: 'x' });
          return answer.status === 502 && answer;
        }),
      );
      assert.match(lost.detail, /flaky closed the connection before it answered/);
      assert.equal((await place.statusOf('flaky')).crash, null);
    },
  );

  it('closes inside a response: the client sees a broken transfer, never a complete one', BOUND, async () => {
    const answer = await ask(port, '/rubbish/close-inside');
    assert.equal(answer.status, 0);
    assert.equal((await ask(port, '/rubbish/pid')).status, 200);
  });

  it('answers rubbish: 502 that says so, and the next request is not harmed', BOUND, async () => {
    for (const path of ['rubbish', 'two-lengths', 'endless-head']) {
      const { status, code, detail } = problem(await ask(port, `/rubbish/${path}`));
      assert.deepEqual({ path, status, code }, { path, status: 502, code: 'upstream-invalid' });
      assert.equal(detail, 'rubbish sent an invalid response.');
      assert.equal((await ask(port, '/rubbish/pid')).status, 200);
    }
  });

  it('dies inside a request: 502 for that one; the next one wakes it again', BOUND, async () => {
    const { pid } = JSON.parse((await ask(port, '/dies/pid')).body) as { pid: number };
    assert.equal((await ask(port, { path: '/dies/exit', body: 'x' })).status, 502);
    // Within its back-off the answer is 503 with the reason, then it is started again.
    const answer = await until('an answer', async () => {
      const again = await ask(port, '/dies/pid');
      assert.ok(again.status === 200 || again.status === 503, `${again.status} ${again.body}`);
      return again.status === 200 && again;
    });
    assert.notEqual((JSON.parse(answer.body) as { pid: number }).pid, pid);
    await up.line(/"dies".*exited with code 9|exited with code 9.*"dies"/);
  });

  it('ignores SIGTERM: ended after stopGrace, and nothing is lost meanwhile', BOUND, async () => {
    const pid = Number((JSON.parse((await ask(port, '/stubborn/pid')).body) as { pid: number }).pid);
    const { code } = await place.run('sleep', 'stubborn');
    assert.equal(code, 0);
    await up.phase('stubborn', 'asleep');
    await until('it is gone', () => !alive(pid));
    assert.ok((await up.logs('stubborn')).includes('SIGTERM ignored'));
    const again = await ask(port, '/stubborn/pid');
    assert.equal(again.headers['x-cold-start'], 'true');
  });

  it('forks: children that ignore SIGTERM, in its group and outside of it, sleep with it', BOUND, async () => {
    assert.equal((await ask(port, '/forks/pid')).status, 200);
    const children = (await up.logs('forks'))
      .flatMap((line) => /^(?:child|daemon) (\d+)$/.exec(line)?.[1] ?? [])
      .map(Number);
    assert.equal(children.length, 2);
    assert.ok(children.every(alive));
    assert.equal((await place.run('sleep', 'forks')).code, 0);
    await until('its children are gone', () => !children.some(alive));
  });

  it(
    'its fixed port is taken by another program: 503 that names the port, and that program gets no request',
    BOUND,
    async () => {
      let strangers = '';
      taken.on('connection', (socket) => {
        socket.on('error', () => {});
        socket.on('data', (bytes: Buffer) => (strangers += bytes.toString('latin1')));
      });
      const { status, detail } = problem(await ask(port, '/port-taken/'));
      assert.equal(status, 503);
      assert.match(detail, new RegExp(`${(taken.address() as net.AddressInfo).port}`));
      const { crash } = await place.statusOf('port-taken');
      assert.match(
        crash!.reason,
        /^port \d+ is already taken by another process; .*backends\.port-taken\.process\.port$/,
      );
      assert.equal(strangers, '');
    },
  );

  it('none of them disturbs another one', BOUND, async () => {
    const answers = await Promise.all(Array.from({ length: 20 }, () => ask(port, '/well/pid')));
    assert.ok(answers.every(({ status }) => status === 200));
    assert.deepEqual(
      (await up.status()).workers.map(({ restarts }) => restarts),
      [0],
    );
  });
});

it('nothing is left of any of them after up has ended', BOUND, async () => {
  await using place = new Place(
    configuration({
      backends: {
        forks: backend({ fork: true, daemon: true, ignoreTerm: true }, { process: { stopGrace: '200ms' } }),
        starting: backend({ never: true, fork: true }, { process: { stopGrace: '200ms' } }),
      },
    }),
  );
  const up = await place.start().up();
  const port = await up.port();
  assert.equal((await ask(port, '/forks/pid')).status, 200);
  void ask(port, '/starting/');
  await until('it starts', async () => (await up.logs('starting')).some((line) => line.startsWith('child')));
  assert.ok(place.processes().length >= 7);
  const ended = up.ended;
  up.child.kill('SIGTERM');
  await up.line(/^\{.*"ending: /);
  // The held request waits for a backend that never comes: the second signal gives it up.
  up.child.kill('SIGTERM');
  assert.deepEqual(await ended, { code: 0, signal: null });
  assert.deepEqual(place.leftovers(), []);
});
