import assert from 'node:assert/strict';
import { test } from 'node:test';
import * as fc from 'fast-check';
import { appCommand, logged, withDriver } from './fixtures/process-backend.ts';
import { LineSplitter, LogRing, MAX_LINE_BYTES } from './log-lines.ts';

function split(chunks: readonly Uint8Array[]): string[] {
  const lines: string[] = [];
  const splitter = new LineSplitter((text) => lines.push(text));
  for (const chunk of chunks) splitter.push(Buffer.from(chunk));
  splitter.flush();
  return lines;
}

test('any split of the bytes gives the same lines', () => {
  const text = fc.array(fc.constantFrom('a', 'é', '€', '\n', '\r\n', '\0', 'x'.repeat(5000), '\ufffd'), {
    maxLength: 30,
  });
  fc.assert(
    fc.property(text, fc.array(fc.nat(40_000), { maxLength: 8 }), (parts, cuts) => {
      const bytes = Buffer.from(parts.join(''));
      const places = [0, ...cuts.map((cut) => Math.min(cut, bytes.length)).toSorted((a, b) => a - b), bytes.length];
      const chunks = places.slice(1).map((end, index) => bytes.subarray(places[index], end));
      assert.deepEqual(split(chunks), split([bytes]));
    }),
    { numRuns: 300 },
  );
});

test('lines end at LF or CRLF, the last one without', () => {
  assert.deepEqual(split([Buffer.from('a\r\n\nb\nc')]), ['a', '', 'b', 'c']);
});

test('a line of more than 8 kB is cut, and the next one is whole', () => {
  const [long, next, ...more] = split([
    Buffer.alloc(100_000, 'x'),
    Buffer.alloc(100_000, 'y'),
    Buffer.from('\nnext\n'),
  ]);
  assert.equal(long, `${'x'.repeat(MAX_LINE_BYTES)} [line cut]`);
  assert.equal(next, 'next');
  assert.deepEqual(more, []);
});

test('invalid UTF-8 is replaced, not refused', () => {
  assert.deepEqual(split([Buffer.from([0x61, 0xff, 0xfe, 0x0a, 0x62, 0x0a])]), ['a\ufffd\ufffd', 'b']);
});

test('the ring keeps the newest lines in order', () => {
  fc.assert(
    fc.property(fc.integer({ min: 1, max: 10 }), fc.nat(30), fc.nat(15), (capacity, count, limit) => {
      const ring = new LogRing(capacity);
      const all = Array.from({ length: count }, (_, index) => ({
        atMs: index,
        instance: 'a-1',
        stream: 'stdout' as const,
        text: `${index}`,
      }));
      for (const line of all) ring.push(line);
      const kept = all.slice(-capacity);
      assert.deepEqual(ring.last(limit), limit === 0 ? [] : kept.slice(-limit));
    }),
  );
});

test('an application that writes 100 MB costs a bounded amount of memory and is listened to until the end', async () => {
  const write = 'yes "$(printf %0199d 7)" | head -c 100000000; echo done; exec sleep 60';
  await withDriver({ process: { command: ['/bin/sh', '-c', write] } }, async (driver) => {
    driver.scaleUp(1);
    let highest = 0;
    const before = process.memoryUsage().rss;
    let lines = 0;
    const stop = driver.onLog(() => {
      if (lines++ % 1000 === 0) highest = Math.max(highest, process.memoryUsage.rss());
    });
    await logged(driver, /^done$/);
    stop();
    assert.equal(driver.logs(1_000_000).length, 100);
    const grownMb = (highest - before) / 1e6;
    assert.ok(grownMb < 60, `${grownMb} MB more`);
  });
});

test('rubbish on both streams is labelled and kept', async () => {
  const command = [
    '/bin/sh',
    '-c',
    'printf "out\\377\\n"; printf "err\\000\\n" >&2; head -c 100000 /dev/zero >&2; sleep 60',
  ];
  await withDriver({ process: { command } }, async (driver) => {
    driver.scaleUp(1);
    await logged(driver, /line cut/);
    const lines = driver.logs(10);
    assert.ok(
      lines.some(({ stream, text, instance }) => stream === 'stdout' && text === 'out\ufffd' && instance === 'app-1'),
    );
    assert.ok(lines.some(({ stream, text }) => stream === 'stderr' && text === 'err\0'));
  });
});

test('an application’s lines reach a listener', async () => {
  await withDriver({ process: { command: appCommand({ print: 'hello\n' }) } }, async (driver, witness) => {
    const seen: string[] = [];
    driver.onLog((line) => seen.push(line.text));
    driver.scaleUp(1);
    await witness.ready(driver, 1);
    await logged(driver, /listening/);
    assert.equal(seen[0], 'hello');
  });
});
