import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { test } from 'node:test';
import { ProcessTable, parsePs, parseStat } from './process-table.ts';

test('a command with spaces and parentheses does not shift the fields', () => {
  const rest = Array.from({ length: 30 }, (_, index) => `${index + 7}`).join(' ');
  assert.deepEqual(parseStat(42, `42 (a) Z (b c) S 1 40 39 ${rest}`), {
    pid: 42,
    ppid: 1,
    pgid: 40,
    startTime: '22',
    zombie: false,
  });
  assert.equal(parseStat(42, '42 (x) Z 1 40 39 ' + rest)?.zombie, true);
  assert.equal(parseStat(42, ''), null);
  assert.equal(parseStat(42, '42 (x) S 1'), null);
});

test('ps lines are read with their start date', () => {
  assert.deepEqual(parsePs('  312     1   312 Ss   Sat Nov 21 09:14:03 2026    '), [
    { pid: 312, ppid: 1, pgid: 312, startTime: 'Sat Nov 21 09:14:03 2026', zombie: false, instance: null },
  ]);
  assert.deepEqual(parsePs(''), []);
});

test(
  'only the whole marker counts, and the instance comes with it',
  { skip: process.platform !== 'linux' && 'reads /proc' },
  async () => {
    const marker = 'a'.repeat(32);
    const env = (value: string, instance?: string): Record<string, string> => ({
      PATH: process.env['PATH'] ?? '',
      X_DORMOUSE_MARKER: marker,
      DORMOUSE_MARKER: value,
      ...(instance === undefined ? {} : { DORMOUSE_INSTANCE: instance }),
    });
    const children = [env(marker, 'shop-1'), env(`${marker}b`, 'shop-2'), env('', 'shop-3'), env(marker)].map((own) =>
      spawn('sleep', ['60'], { env: own, stdio: 'ignore' }),
    );
    const table = new ProcessTable(marker, process.platform);
    const [first, second] = await Promise.all([table.scan(), table.scan()]);
    assert.equal(first, second);
    assert.deepEqual(
      children.map(({ pid }) => first.find((entry) => entry.pid === pid)?.instance),
      ['shop-1', null, null, ''],
    );
    await Promise.all(
      children.map((child) => {
        child.kill('SIGKILL');
        return once(child, 'exit');
      }),
    );
    const later = await table.scan();
    assert.equal(
      later.some(({ pid }) => pid === children[0]!.pid),
      false,
    );
    assert.equal(await table.startTime(children[0]!.pid!), null);
  },
);

test('ps gives the same groups as /proc', async (context) => {
  const viaPs = await new ProcessTable('x', 'darwin').scan().catch((error: NodeJS.ErrnoException) => error);
  if (viaPs instanceof Error) return context.diagnostic(`no ps here: ${viaPs.message}`);
  const own = viaPs.find(({ pid }) => pid === process.pid);
  assert.equal(own?.ppid, process.ppid);
  assert.notEqual(own?.startTime, '');
});
