import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { test } from 'node:test';
import { DormouseError } from '../model/errors.ts';
import type { Logger } from '../model/ports.ts';
import type { LogDestination, LoggerOptions } from './log-destination.ts';
import { createLineLogger } from './line-logger.ts';
import { createLogger } from './logger.ts';

const MAKERS: [string, (options: LoggerOptions) => Logger][] = [
  ['createLogger', createLogger],
  ['createLineLogger', createLineLogger],
];

function collected(isTTY = false) {
  const lines: string[] = [];
  return { lines, destination: { isTTY, write: (line: string) => void lines.push(line) } };
}

for (const [name, make] of MAKERS) {
  const options = (destination: LogDestination, more: Partial<LoggerOptions> = {}): LoggerOptions => ({
    level: 'info',
    format: 'auto',
    destination,
    wallMs: () => Date.UTC(2026, 10, 21, 6, 21, 36, 952),
    ...more,
  });

  test(`${name}: JSON lines when nobody watches`, () => {
    const { lines, destination } = collected();
    const logger = make(options(destination, { fields: { part: 'supervisor' } })).child({ backend: 'shop' });
    logger.debug('not seen');
    logger.info('awake', { tookMs: 12 });
    logger.error('plain');
    assert.deepEqual(
      lines.map((line) => JSON.parse(line)),
      [
        {
          level: 'info',
          time: '2026-11-21T06:21:36.952Z',
          part: 'supervisor',
          backend: 'shop',
          tookMs: 12,
          msg: 'awake',
        },
        { level: 'error', time: '2026-11-21T06:21:36.952Z', part: 'supervisor', backend: 'shop', msg: 'plain' },
      ],
    );
    for (const line of lines) assert.ok(line.endsWith('}\n') && line.indexOf('\n') === line.length - 1);
  });

  test(`${name}: pretty on a terminal, colours only where they are wanted`, () => {
    const terminal = collected(true);
    make(options(terminal.destination)).warn('slow', { backend: 'shop', why: 'two words' });
    assert.match(terminal.lines[0]!, /\x1b\[33mwarn/);
    const plain = collected(true);
    make(options(plain.destination, { colours: false })).warn('slow', {
      backend: 'shop',
      why: 'two words',
      nothing: undefined,
    });
    assert.match(plain.lines[0]!, /^\d\d:\d\d:\d\d\.952 warn  slow backend=shop why="two words"\n$/);
    const file = collected(false);
    make(options(file.destination, { format: 'pretty' })).warn('slow');
    assert.ok(!file.lines[0]!.includes('\x1b'), 'no colours in a file');
  });

  test(`${name}: silent writes nothing`, () => {
    const { lines, destination } = collected();
    make(options(destination, { level: 'silent' })).error('x');
    assert.deepEqual(lines, []);
  });

  test(`${name}: secrets are left out, however deep`, () => {
    const { lines, destination } = collected();
    make(options(destination)).info('connect to redis://me:hunter2@cache:6379 failed', {
      url: 'https://user:hunter2@example.com/x',
      headers: { Authorization: 'Bearer hunter2', 'Set-Cookie': ['sid=hunter2'], accept: '*/*' },
      config: [{ admin_token: 'hunter2', apiKey: 'hunter2', dbPassword: 'hunter2', tokens: 3 }],
      error: new Error('at nats://a:hunter2@b'),
    });
    assert.ok(!lines[0]!.includes('hunter2'), lines[0]!);
    const entry = JSON.parse(lines[0]!);
    assert.equal(entry.msg, 'connect to redis://[redacted]@cache:6379 failed');
    assert.equal(entry.headers.accept, '*/*');
    assert.equal(entry.headers.Authorization, '[redacted]');
    assert.equal(entry.config[0].tokens, 3);
  });

  test(`${name}: errors with code and cause; a user's mistake has no stack`, () => {
    const { lines, destination } = collected();
    const logger = make(options(destination));
    logger.error('failed', {
      error: new Error('outer', { cause: Object.assign(new Error('inner'), { code: 'ENOENT' }) }),
    });
    logger.error('wrong', { error: new DormouseError('DORMOUSE_CONFIG', 'line 3', { userFault: true }) });
    const [ours, users] = lines.map((line) => JSON.parse(line).error);
    assert.match(ours.stack, /outer/);
    assert.equal(ours.cause.code, 'ENOENT');
    assert.deepEqual(users, { name: 'DormouseError', code: 'DORMOUSE_CONFIG', message: 'line 3' });
  });

  test(`${name}: odd values do no harm`, () => {
    const { lines, destination } = collected();
    const circle: Record<string, unknown> = {
      big: 10n,
      date: new Date(Number.NaN),
      bytes: Buffer.alloc(3),
      endless: Infinity,
      map: new Map([['a', 1]]),
      f() {},
    };
    circle.self = circle;
    make(options(destination)).info('x', {
      circle,
      level: 'fake',
      time: 'fake',
      msg: 'fake',
      list: Array.from({ length: 1000 }, (_, i) => i),
      long: 'y'.repeat(1e6),
    });
    const entry = JSON.parse(lines[0]!);
    assert.equal(entry.level, 'info');
    assert.equal(entry.msg, 'x');
    assert.equal(entry.circle.self, '[...]');
    assert.equal(entry.circle.big, '10');
    assert.equal(entry.circle.endless, 'Infinity');
    assert.ok(lines[0]!.length < 30_000);
    assert.equal(lines[0]!.match(/"level"/g)!.length, 1);
  });

  test(`${name}: what an application printed cannot steer the terminal or forge a line`, () => {
    const { lines, destination } = collected(true);
    const evil = '\x1b[2J\r\nERROR forged\x07\u202e\u009b31m';
    make(options(destination, { colours: false })).info(evil, {
      text: evil,
      [evil]: 1,
      error: Object.assign(new Error(evil), { stack: evil }),
    });
    const text = lines.join('');
    // oxlint-disable-next-line no-control-regex
    assert.match(text, /^[^\x00-\x09\x0b-\x1f\x7f-\x9f\u202e]*$/);
    for (const line of text.trimEnd().split('\n')) assert.match(line, /^\d\d:|^ {4}/);
  });
}

test('a worker that logs with createLineLogger does not load pino', () => {
  const script = `
    import { createLineLogger } from ${JSON.stringify(new URL('./line-logger.ts', import.meta.url).href)};
    import { logDestination } from ${JSON.stringify(new URL('./log-destination.ts', import.meta.url).href)};
    import ${JSON.stringify(new URL('./access-log.ts', import.meta.url).href)};
    import { createRequire } from 'node:module';
    const loaded = Object.keys(createRequire(import.meta.url).cache).filter((file) => file.includes('node_modules'));
    const destination = logDestination(1);
    createLineLogger({ level: 'info', format: 'auto', destination }).info('loaded', { loaded });
    await destination.close();
  `;
  const line = execFileSync(process.execPath, ['--input-type=module', '-e', script], { encoding: 'utf8' });
  assert.deepEqual(JSON.parse(line).loaded, []);
});

test('the program log survives a full disk and a reader that has gone', () => {
  const script = `
    import { createLogger } from ${JSON.stringify(new URL('./logger.ts', import.meta.url).href)};
    import { logDestination } from ${JSON.stringify(new URL('./log-destination.ts', import.meta.url).href)};
    const destination = logDestination(2);
    const logger = createLogger({ level: 'info', format: 'auto', destination });
    for (let index = 0; index < 100; index++) logger.info('x'.repeat(1000));
    await destination.close();
    console.log(destination.dropped);
  `;
  const run = (command: string): number =>
    Number(execFileSync('sh', ['-c', command, process.execPath, script], { encoding: 'utf8' }));
  assert.equal(run('"$0" --input-type=module -e "$1" 2>/dev/full'), 100);
  // How many go into the pipe before its reader has ended is up to the kernel; that the program goes on is not.
  assert.ok(run('{ "$0" --input-type=module -e "$1" 2>&1 >&3 | true; } 3>&1') <= 100);
});
