import assert from 'node:assert/strict';
import { execFileSync, spawn } from 'node:child_process';
import { once } from 'node:events';
import { closeSync, constants, openSync, readSync } from 'node:fs';
import { mkdtemp, readFile, rename, rm, stat } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test, type TestContext } from 'node:test';
import * as fc from 'fast-check';
import { RAW } from '../model/access.ts';
import type { AccessRecord } from '../model/access.ts';
import type { Logger } from '../model/ports.ts';
import { silentLogger } from '../model/ports.ts';
import { createAccessLog } from './access-log.ts';

const RECORD: AccessRecord = {
  startedAtMs: Date.UTC(2026, 10, 21, 6, 21, 36, 952) + 0.4,
  durationMs: 3.4304,
  heldMs: 0,
  client: '203.0.113.7',
  method: 'GET',
  target: '/api/users/60?x=1',
  host: 'www.example.com',
  minor: 1,
  status: 200,
  requestBytes: 123,
  responseBytes: 5999,
  route: 'users',
  backend: 'users',
  endpoint: 'users-1',
  requestId: '3f2a',
  coldStart: false,
  attempts: 1,
  outcome: '',
  userAgent: 'curl/8.0',
  referer: '',
};

async function folder(t: TestContext): Promise<string> {
  const path = await mkdtemp(join(tmpdir(), 'dormouse-log-'));
  t.after(() => rm(path, { recursive: true, force: true }));
  return path;
}

async function written(
  t: TestContext,
  format: 'json' | 'common',
  records: Partial<AccessRecord>[],
  redact: string[] = [],
): Promise<string[]> {
  const file = join(await folder(t), 'access.log');
  const log = createAccessLog({ format, file, redact });
  for (const record of records) log.record({ ...RECORD, ...record });
  await log.close();
  const text = await readFile(file, 'utf8');
  assert.ok(text.endsWith('\n'));
  return text.slice(0, -1).split('\n');
}

test('json: one object per exchange, empty members left out', async (t) => {
  const [line] = await written(t, 'json', [{}]);
  assert.deepEqual(JSON.parse(line!), {
    time: '2026-11-21T06:21:36.952Z',
    client: '203.0.113.7',
    method: 'GET',
    host: 'www.example.com',
    target: '/api/users/60?x=1',
    protocol: 'HTTP/1.1',
    status: 200,
    requestBytes: 123,
    responseBytes: 5999,
    durationMs: 3.43,
    route: 'users',
    backend: 'users',
    endpoint: 'users-1',
    attempts: 1,
    requestId: '3f2a',
    userAgent: 'curl/8.0',
  });
});

test('json: a held request, one that came to nothing, and a tunnel of a month', async (t) => {
  const month = 30 * 86_400_000;
  const lines = await written(t, 'json', [
    { heldMs: 41.5, coldStart: true, referer: 'https://example.com/' },
    { status: 0, outcome: 'client-gone', endpoint: '', attempts: 0, minor: 0 },
    { durationMs: month },
  ]);
  const [held, gone, tunnel] = lines.map((line) => JSON.parse(line));
  assert.equal(held.heldMs, 41.5);
  assert.equal(held.coldStart, true);
  assert.equal(held.referer, 'https://example.com/');
  assert.equal(gone.outcome, 'client-gone');
  assert.equal(gone.protocol, 'HTTP/1.0');
  assert.equal('endpoint' in gone, false);
  assert.equal(gone.attempts, 0);
  assert.equal('referer' in gone, false, 'nothing of the line before');
  assert.equal(tunnel.durationMs, month);
});

test('a raw connection says tcp for its protocol', async (t) => {
  const raw = { method: '', target: '', minor: RAW, status: 0, outcome: 'tunnel' };
  const [line] = await written(t, 'json', [raw]);
  assert.equal(JSON.parse(line!).protocol, 'tcp');
  const [common] = await written(t, 'common', [raw]);
  assert.match(common!, / "-" - 5999$/);
});

test('common: the format that log tools know', async (t) => {
  const lines = await written(t, 'common', [
    {},
    { status: 0, responseBytes: 0, target: '/a "b\n', client: '2001:db8::1' },
  ]);
  assert.deepEqual(lines, [
    '203.0.113.7 - - [21/Nov/2026:06:21:36 +0000] "GET /api/users/60?x=1 HTTP/1.1" 200 5999',
    '2001:db8::1 - - [21/Nov/2026:06:21:36 +0000] "GET /a\\x20\\x22b\\x0A HTTP/1.1" - -',
  ]);
});

test('headers named in redact are not written', async (t) => {
  const [line] = await written(
    t,
    'json',
    [{ referer: 'https://example.com/?token=1' }],
    ['Referer', 'user-agent', 'authorization'],
  );
  const entry = JSON.parse(line!);
  assert.equal(entry.referer, '[redacted]');
  assert.equal(entry.userAgent, '[redacted]');
});

test('UTF-8 in a header is readable, other bytes are kept apart', async (t) => {
  const latin1 = Buffer.from('Müller', 'utf8').toString('latin1');
  const [line, odd] = await written(t, 'json', [{ userAgent: latin1 }, { userAgent: 'M\xfcller' }]);
  assert.equal(JSON.parse(line!).userAgent, 'Müller');
  assert.equal(JSON.parse(odd!).userAgent, 'M\u00fcller');
});

test('whatever clients send, a record is one line of printable ASCII and JSON gives it back', async (t) => {
  const text = fc.string({
    unit: fc.integer({ min: 0, max: 127 }).map((code) => String.fromCharCode(code)),
    maxLength: 40,
  });
  const record = fc.record({
    target: text,
    userAgent: text,
    referer: text,
    host: text,
    client: text,
    method: text,
    requestId: text,
  });
  const records: Partial<AccessRecord>[] = fc.sample(record, 500);
  const lines = await written(t, 'json', records);
  assert.equal(lines.length, records.length);
  for (const [index, line] of lines.entries()) {
    assert.match(line, /^[\x20-\x7e]*$/);
    const entry = JSON.parse(line);
    for (const [name, value] of Object.entries(records[index]!)) assert.equal(entry[name] ?? '', value, name);
  }
  const common = await written(t, 'common', records);
  assert.equal(common.length, records.length);
  for (const line of common) assert.match(line, /^[\x21-\x7e]+ - - \[[^\]]+\] "[\x20-\x21\x23-\x7e]*" \d+ \d+$/);
});

test('a line that would be too long is cut, stays JSON, and the next is whole again', async (t) => {
  const evil = '\x01"\\'.repeat(4000);
  const lines = await written(t, 'json', [
    {
      target: evil,
      host: evil,
      userAgent: evil,
      referer: evil,
      requestId: evil,
      client: evil,
      method: evil,
      route: evil,
      backend: evil,
      endpoint: evil,
    },
    {},
  ]);
  assert.equal(lines.length, 2);
  assert.ok(lines[0]!.length <= 4096, `${lines[0]!.length}`);
  assert.ok(JSON.parse(lines[0]!).target.endsWith('...'));
  assert.equal(JSON.parse(lines[1]!).target, RECORD.target);
  assert.equal(JSON.parse(lines[1]!).userAgent, RECORD.userAgent);
  const [common] = await written(t, 'common', [{ target: evil }]);
  assert.ok(common!.length <= 4096);
});

test('the file is for its owner and group, is appended to, and is followed when it is rotated', async (t) => {
  const file = join(await folder(t), 'access.log');
  let nowMs = 0;
  const clock = { nowMs: () => nowMs, wallMs: () => nowMs };
  const open = () => createAccessLog({ format: 'json', file, redact: [] }, { clock, flushMs: 1 });
  const first = open();
  first.record(RECORD);
  await first.close();
  const second = open();
  second.record({ ...RECORD, target: '/second' });
  const contents = async (path: string) =>
    (await readFile(path, 'utf8').catch(() => ''))
      .split('\n')
      .filter(Boolean)
      .map((line) => JSON.parse(line).target);
  const until = async (path: string, expected: string[]) => {
    const deadline = Date.now() + 5000;
    while (JSON.stringify(await contents(path)) !== JSON.stringify(expected))
      assert.ok(Date.now() < deadline, `${path}: ${await contents(path)}`);
  };
  await until(file, [RECORD.target, '/second']);
  assert.equal((await stat(file)).mode & 0o777 & ~0o640, 0);

  await rename(file, `${file}.1`);
  second.reopen();
  second.record({ ...RECORD, target: '/third' });
  await until(file, ['/third']);

  await rename(file, `${file}.2`);
  nowMs += 2000;
  second.record({ ...RECORD, target: '/seen moving' });
  await until(`${file}.2`, ['/third', '/seen moving']);
  const deadline = Date.now() + 5000;
  while ((await contents(file)).length === 0) {
    assert.ok(Date.now() < deadline);
    second.record({ ...RECORD, target: '/fourth' });
    await new Promise((resolve) => setTimeout(resolve, 2));
  }
  await second.close();
});

test('a file that cannot be opened is told with its path', async (t) => {
  const file = join(await folder(t), 'missing', 'access.log');
  assert.throws(() => createAccessLog({ format: 'json', file, redact: [] }), {
    code: 'DORMOUSE_LOG_FILE',
    userFault: true,
  });
});

test('a full disk loses lines, counts them, says so once, and stops nobody', async () => {
  const warnings: Record<string, unknown>[] = [];
  const logger: Logger = { ...silentLogger, warn: (_message, fields) => void warnings.push(fields!) };
  const log = createAccessLog({ format: 'json', file: '/dev/full', redact: [] }, { logger });
  for (let index = 0; index < 1000; index++) log.record(RECORD);
  await log.close();
  assert.equal(log.dropped, 1000);
  assert.equal(warnings.length, 1);
  assert.match(String(warnings[0]!.reason), /ENOSPC/);
});

test('stderr is a file too', async (t) => {
  const { read, write } = await pipe(t);
  const log = createAccessLog({ format: 'common', file: 'stderr', redact: [] }, { stderr: write });
  log.record(RECORD);
  await log.close();
  closeSync(write);
  assert.equal((await drain(read)).length, 1);
});

test('a reader that is gone loses lines and stops nobody', async (t) => {
  const { read, write } = await pipe(t);
  const log = createAccessLog({ format: 'json', file: 'stdout', redact: [] }, { stdout: write });
  log.record(RECORD);
  closeSync(read);
  log.record(RECORD);
  await log.close();
  assert.equal(log.dropped, 2);
});

test('a pipe that nobody reads: kept up to the bound, then dropped and counted; what was kept arrives later in order', async (t) => {
  const { read, write } = await pipe(t);
  const log = createAccessLog({ format: 'json', file: 'stdout', redact: [] }, { stdout: write, limitBytes: 200_000 });
  const began = performance.now();
  const sent = 5000;
  for (let index = 0; index < sent; index++) log.record({ ...RECORD, target: `/${index}` });
  assert.ok(performance.now() - began < 1000, 'did not wait for the reader');
  assert.ok(log.dropped > 0);
  const reading = drain(read);
  await log.close();
  closeSync(write);
  const targets = (await reading).map((line) => Number(JSON.parse(line).target.slice(1)));
  assert.equal(targets.length, sent - log.dropped);
  assert.deepEqual(
    targets,
    targets.toSorted((a, b) => a - b),
  );
  assert.ok(targets.length * 300 > 200_000, 'the bound was used');
});

test('close does not wait for ever for a reader that reads nothing', async (t) => {
  const { write } = await pipe(t);
  const log = createAccessLog({ format: 'json', file: 'stdout', redact: [] }, { stdout: write });
  for (let index = 0; index < 5000; index++) log.record(RECORD);
  const began = performance.now();
  await log.close();
  assert.ok(performance.now() - began < 3000);
  assert.ok(log.dropped > 0);
});

for (const [kind, into] of [
  ['pipe', ' | cat'],
  // What Node gives a child as standard output when it says "pipe".
  ['socket', ''],
]) {
  test(`several processes on one ${kind} never mix their lines`, async () => {
    const script = `
      import { createAccessLog } from ${JSON.stringify(new URL('./access-log.ts', import.meta.url).href)};
      const log = createAccessLog({ format: 'json', file: 'stdout', redact: [] });
      const record = ${JSON.stringify(RECORD)};
      for (let index = 0; index < 3000; index++) {
        log.record({ ...record, target: '/' + 'x'.repeat(index % 900), client: process.argv[1] });
        if (index % 100 === 0) await new Promise((resolve) => setTimeout(resolve, 1));
      }
      await log.close();
      console.error(log.dropped);
    `;
    const each = '"$1" --input-type=module -e "$2"';
    const shell = spawn(
      'sh',
      ['-c', `{ ${each} 1 & ${each} 2 & ${each} 3; wait; }${into}`, 'sh', process.execPath, script],
      {
        stdio: ['ignore', 'pipe', 'pipe'],
      },
    );
    let text = '';
    let errors = '';
    shell.stdout.setEncoding('utf8').on('data', (chunk) => (text += chunk));
    shell.stderr.setEncoding('utf8').on('data', (chunk) => (errors += chunk));
    await once(shell, 'close');
    // A reader that was starved for a while costs lines, which are counted, but never part of a line.
    const dropped = errors
      .trim()
      .split('\n')
      .reduce((sum, count) => sum + Number(count), 0);
    const lines = text.trimEnd().split('\n');
    for (const line of lines) assert.doesNotThrow(() => JSON.parse(line), line);
    assert.equal(lines.length + dropped, 9000);
    assert.deepEqual(new Set(lines.map((line) => JSON.parse(line).client)), new Set(['1', '2', '3']));
  });
}

/** Both ends of a named pipe, as inherited descriptors would be. */
async function pipe(t: TestContext): Promise<{ read: number; write: number }> {
  const path = join(await folder(t), 'pipe');
  execFileSync('mkfifo', [path]);
  const read = openSync(path, constants.O_RDONLY | constants.O_NONBLOCK);
  const write = openSync(path, constants.O_WRONLY);
  return { read, write };
}

/** Reads lines until every writer has closed. */
async function drain(read: number): Promise<string[]> {
  let text = '';
  const buffer = Buffer.alloc(65_536);
  const deadline = Date.now() + 10_000;
  for (;;) {
    assert.ok(Date.now() < deadline, 'the writers did not close');
    try {
      const bytes = readSync(read, buffer);
      if (bytes === 0) return text.trimEnd().split('\n');
      text += buffer.toString('latin1', 0, bytes);
    } catch (error) {
      assert.equal((error as NodeJS.ErrnoException).code, 'EAGAIN');
    }
    await new Promise((resolve) => setImmediate(resolve));
  }
}
