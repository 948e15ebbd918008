import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { test } from 'node:test';
import { hashApiKey } from '../gateway/auth/api-keys.ts';
import { isPassword, parsePasswordHash } from '../gateway/auth/password-hash.ts';
import type { CommandContext } from './command.ts';
import { run as hashPassword } from './hash-password.ts';
import { readSecret } from './secret-input.ts';

const main = new URL('./main.ts', import.meta.url).pathname;

async function dormouse(args: string[], input: string | Buffer): Promise<{ code: number; out: string; err: string }> {
  const child = spawn(process.execPath, [main, ...args]);
  let out = '';
  let err = '';
  child.stdout.on('data', (part: Buffer) => (out += part));
  child.stderr.on('data', (part: Buffer) => (err += part));
  child.stdin.on('error', () => {});
  child.stdin.end(input);
  const [code] = (await once(child, 'close')) as [number];
  return { code, out, err };
}

test('hash-key prints the hash of what comes on standard input', async () => {
  const { code, out } = await dormouse(['hash-key'], '0123456789abcdefghij\n');
  assert.deepEqual([code, out], [0, `${hashApiKey('0123456789abcdefghij')}\n`]);
});

test('hash-key --generate prints a key of 256 random bits and its hash', async () => {
  const { code, out } = await dormouse(['hash-key', '--generate', '--json'], '');
  const { key, hash } = JSON.parse(out) as { key: string; hash: string };
  assert.equal(code, 0);
  assert.match(key, /^[\w-]{43}$/);
  assert.equal(hash, hashApiKey(key));
});

test('hash-password prints a hash that knows the password', async () => {
  const { code, out } = await dormouse(['hash-password'], 'gru\u0308n\r\n');
  assert.equal(code, 0);
  assert.equal(await isPassword('grün', parsePasswordHash(out.trim())), true);
});

for (const [name, args, input] of [
  ['nothing', ['hash-key'], ''],
  ['a short key', ['hash-key'], 'secret'],
  ['two lines', ['hash-password'], 'a\nb\n'],
  ['no UTF-8', ['hash-password'], Buffer.from([0xff])],
  ['5 kB', ['hash-password'], 'x'.repeat(5000)],
  ['an argument', ['hash-password', 'secret'], ''],
] as const) {
  test(`${name} is refused, in a sentence that does not repeat it`, async () => {
    const { code, out, err } = await dormouse([...args], input);
    assert.notEqual(code, 0);
    assert.equal(out, '');
    assert.doesNotMatch(err, /    at |xxx|^a$/m);
  });
}

/** Types one line after the other when it is asked. */
function terminalThat(types: string[]): { context: CommandContext; shown: () => string } {
  let shown = '';
  const context = {
    input: () => null,
    out: (text: string) => void (shown += text),
    err: (text: string) => void (shown += text),
    terminal: {
      onKey(listener: (key: string) => void) {
        const line = types.shift()!;
        setImmediate(() => {
          for (const key of line) listener(key);
        });
        return () => {};
      },
    },
  } as unknown as CommandContext;
  return { context, shown: () => shown };
}

test('at a terminal it asks twice and shows nothing of it', async () => {
  const { context, shown } = terminalThat(['secrex\x7ft\r', 'secret\r']);
  assert.equal(await hashPassword(context), 0);
  assert.match(shown(), /^password: \npassword again: \n\$scrypt\$/);
  assert.doesNotMatch(shown(), /secre/);
  await assert.rejects(readSecret(terminalThat(['a\r', 'b\r']).context, 'password'), { code: 'DORMOUSE_SECRET_INPUT' });
  await assert.rejects(readSecret(terminalThat(['a\x03']).context, 'password'), /given up/);
});
