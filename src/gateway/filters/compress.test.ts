import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { describe, test } from 'node:test';
import {
  brotliDecompressSync,
  createBrotliDecompress,
  createGunzip,
  createZstdDecompress,
  gunzipSync,
  zstdDecompressSync,
} from 'node:zlib';
import { compileCodingChoice } from './accept-encoding.ts';
import { Compression, EncoderCount } from './compression.ts';
import type { BodyOutput } from './body-transform.ts';
import { filter, issues, responseOf, transformed, type ResponseParts } from './filters.fixture.ts';

const DECODE = { gzip: gunzipSync, br: brotliDecompressSync, zstd: zstdDecompressSync } as const;
const STREAM = { gzip: createGunzip, br: createBrotliDecompress, zstd: createZstdDecompress } as const;
const BROWSER = 'gzip, deflate, br, zstd';

function response(parts: ResponseParts & { accept?: string; type?: string }, options: object = {}) {
  const { accept = BROWSER, type = 'text/html; charset=utf-8', ...rest } = parts;
  return responseOf([filter('compress', options)], {
    ...rest,
    headers: [['Content-Type', type], ...(rest.headers ?? [])],
    request: { ...rest.request, headers: [['Accept-Encoding', accept], ...(rest.request?.headers ?? [])] },
  });
}

/** The coding that the client gets; null: the body as it is. Holds that head and body say the same. */
function coding(parts: Parameters<typeof response>[0], options: object = {}): string | null {
  const { lines, transforms } = response(parts, options);
  if (transforms.length === 0) return null;
  const found = lines.filter((text) => text.startsWith('Content-Encoding: '));
  assert.equal(found.length, 1);
  return found[0]!.slice('Content-Encoding: '.length);
}

test('Accept-Encoding', () => {
  const choose = compileCodingChoice(['zstd', 'br', 'gzip']);
  for (const [given, expected] of [
    [undefined, null],
    ['', null],
    [BROWSER, 'zstd'],
    ['gzip', 'gzip'],
    ['GZIP', 'gzip'],
    ['x-gzip', 'gzip'],
    ['deflate', null],
    ['gzip;q=1.0, br;q=0.5', 'gzip'],
    ['gzip;q=0.5, br;q=0.5', 'br'],
    ['gzip;q=0', null],
    ['gzip; Q=0.000', null],
    ['*', 'zstd'],
    ['*;q=0.1, gzip', 'gzip'],
    ['zstd;q=0, *', 'br'],
    ['gzip, *;q=0', 'gzip'],
    ['identity', null],
    ['identity;q=1, gzip;q=0.5', null],
    ['identity;q=0.5, gzip', 'gzip'],
    ['identity;q=0, gzip;q=0.1', 'gzip'],
    ['gzip;q=2', null],
    ['gzip;q=0.1234', null],
    ['gzip;q=', null],
    [',, ;q=1,gzip', 'gzip'],
    ['gzip;foo=bar', 'gzip'],
  ] as const)
    assert.equal(choose(given), expected, String(given));
});

describe('compress: which responses', () => {
  test('the head says what the body is', () => {
    const { lines } = response({
      headers: [
        ['ETag', '"v1"'],
        ['Content-Digest', 'x'],
        ['Vary', 'Origin'],
        ['X', 'y'],
      ],
    });
    assert.deepEqual(lines, [
      'Content-Type: text/html; charset=utf-8',
      'Vary: Origin',
      'X: y',
      'Vary: Accept-Encoding',
      'ETag: W/"v1"',
      'Content-Encoding: zstd',
    ]);
    assert.deepEqual(
      response({
        headers: [
          ['ETag', 'W/"v1"'],
          ['Vary', 'accept-encoding, X'],
        ],
      }).lines.slice(1),
      ['ETag: W/"v1"', 'Vary: accept-encoding, X', 'Content-Encoding: zstd'],
    );
  });

  for (const [name, parts, expected] of [
    ['large enough', { bodyBytes: 1000 }, 'zstd'],
    ['too small', { bodyBytes: 999 }, null],
    ['of unknown length', { bodyBytes: -1 }, 'zstd'],
    ['JSON of a special type', { type: 'application/problem+json' }, 'zstd'],
    ['images', { type: 'image/png' }, null],
    ['without a type', { type: '' }, null],
    ['event streams', { type: 'text/event-stream' }, null],
    ['encoded already', { headers: [['Content-Encoding', 'gzip']] }, null],
    ['named identity', { headers: [['Content-Encoding', 'identity']] }, 'zstd'],
    ['no-transform', { headers: [['Cache-Control', 'public, no-transform']] }, null],
    ['no-transform of the request', { request: { headers: [['Cache-Control', 'no-transform']] } }, null],
    ['another directive', { headers: [['Cache-Control', 'x-no-transform-x, max-age=1']] }, 'zstd'],
    ['a part', { status: 206, headers: [['Content-Range', 'bytes 0-9/20000']] }, null],
    ['without content', { status: 204 }, null],
    ['errors with a body', { status: 404 }, 'zstd'],
    ["the gateway's own", { own: true, status: 503 }, null],
    [
      'HEAD, as GET would',
      { request: { method: 'HEAD' }, bodyBytes: 0, headers: [['Content-Length', '5000']] },
      'zstd',
    ],
    ['HEAD of a small one', { request: { method: 'HEAD' }, bodyBytes: 0, headers: [['Content-Length', '50']] }, null],
  ] as const satisfies [string, Parameters<typeof response>[0], string | null][]) {
    test(`${name}: ${expected}`, () => assert.equal(coding(parts), expected));
  }

  test('a client that takes no coding gets the plain body, and caches are told that there is another', () => {
    const { lines, transforms } = response({ accept: 'identity' });
    assert.deepEqual(lines, ['Content-Type: text/html; charset=utf-8', 'Vary: Accept-Encoding']);
    assert.equal(transforms.length, 0);
    assert.ok(!response({ accept: 'identity', bodyBytes: 5 }).lines.includes('Vary: Accept-Encoding'));
  });

  test('event streams when they are asked for by name', () => {
    const options = { types: ['text/event-stream'] };
    assert.equal(coding({ type: 'text/event-stream' }, options), 'zstd');
    assert.equal(coding({ type: 'text/html' }, options), null);
  });

  test('the order of the file decides among those that the client takes as gladly', () => {
    assert.equal(coding({}, { encodings: ['gzip'] }), 'gzip');
    assert.equal(coding({}, { encodings: ['br', 'gzip'] }), 'br');
    assert.equal(coding({ accept: 'gzip' }, { encodings: ['br'] }), null);
  });

  test('twice is as once', () => {
    const both = [filter('compress', {}), filter('compress', { encodings: ['gzip'] })];
    const { lines, transforms } = responseOf(both, {
      headers: [['Content-Type', 'text/html']],
      request: { headers: [['Accept-Encoding', BROWSER]] },
    });
    assert.equal(transforms.length, 1);
    assert.equal(lines.filter((line) => line.startsWith('Content-Encoding')).length, 1);
  });

  test('a body that an error page replaces is not encoded, whichever of the two stands first', () => {
    const page = filter('errorPages', { pages: [{ status: 500, body: 'x' }], backend: true });
    for (const configs of [
      [page, filter('compress', {})],
      [filter('compress', {}), page],
    ]) {
      const { lines, transforms, replacement } = responseOf(configs, {
        status: 500,
        headers: [
          ['Content-Type', 'text/html'],
          ['ETag', '"x"'],
        ],
        request: { headers: [['Accept-Encoding', BROWSER]] },
      });
      assert.equal(replacement!.body, 'x');
      assert.deepEqual([transforms.length, lines.filter((line) => /^(?:content-encoding|etag)/i.test(line))], [0, []]);
    }
  });

  test('a 304 names the validator that the client has', () => {
    const asked = (held: string) =>
      responseOf([filter('compress', {})], {
        status: 304,
        headers: [['ETag', '"v1"']],
        request: { headers: [['If-None-Match', held]] },
      }).lines;
    assert.deepEqual(asked('W/"v1"'), ['Vary: Accept-Encoding', 'ETag: W/"v1"']);
    assert.deepEqual(asked('"v1"'), ['ETag: "v1"', 'Vary: Accept-Encoding']);
  });
});

const LONG = Buffer.from(Array.from({ length: 20_000 }, (_, i) => `line ${i * 7919}\n`).join(''));

describe('compress: bodies', () => {
  for (const coding of ['gzip', 'br', 'zstd'] as const) {
    const encoder = (count = new EncoderCount()) => new Compression({ coding, level: 3, flushAfterMs: 50 }, count);

    test(`${coding}: small, empty and long ones, in any parts`, async () => {
      const count = new EncoderCount();
      for (const parts of [[], ['a'], ['ab', 'c'], [LONG], [LONG.subarray(0, 16_000), LONG.subarray(16_000)]]) {
        const whole = Buffer.concat(parts.map((part) => Buffer.from(part)));
        assert.ok(DECODE[coding](await transformed(encoder(count), parts)).equals(whole));
      }
      const many = Array.from({ length: 2000 }, (_, i) => LONG.subarray(i * 100, i * 100 + 100));
      assert.ok(DECODE[coding](await transformed(encoder(count), many)).equals(Buffer.concat(many)));
      assert.equal(count.used, 0);
    });

    test(`${coding}: what comes slowly goes on`, async () => {
      for (const flushAfterMs of [0, 1]) {
        const transform = new Compression({ coding, level: 3, flushAfterMs }, new EncoderCount());
        const decoder = STREAM[coding]();
        let read = '';
        let wake = (): void => {};
        decoder.on('data', (part: Buffer) => {
          read += part.toString();
          wake();
        });
        transform.start(sink((part) => decoder.write(part)));
        for (const text of ['first', 'second']) {
          transform.write(Buffer.from(text));
          while (!read.endsWith(text)) await new Promise<void>((resolve) => (wake = resolve));
        }
        transform.destroy();
        decoder.destroy();
        assert.equal(read, 'firstsecond');
      }
    });

    test(`${coding}: a client that takes nothing holds the endpoint back`, async () => {
      const transform = encoder();
      const out: Buffer[] = [];
      let taking = false;
      let drains = 0;
      let drained = (): void => {};
      let ended = (): void => {};
      transform.start({
        data: (part) => (out.push(part), taking),
        end: () => ended(),
        drained: () => (drains++, drained()),
        fail: (error) => assert.fail(error),
      });
      let written = 0;
      // Until the encoder asks for no more, though it had the time to work on what it has.
      for (let seen = -1; seen !== drains; await new Promise((resolve) => setTimeout(resolve, 50))) {
        seen = drains;
        do written += 65_536;
        while (transform.write(randomBytes(65_536)));
        assert.ok(written < 4_000_000, 'it took everything');
      }
      taking = true;
      const more = new Promise<void>((resolve) => (drained = resolve));
      transform.onDrain();
      await more;
      const over = new Promise<void>((resolve) => (ended = resolve));
      transform.end();
      await over;
      assert.equal(DECODE[coding](Buffer.concat(out)).length, written);
    });
  }

  test('at most so many at once, beyond it bodies go as they are', () => {
    const config = filter('compress', { maxConcurrent: 2 });
    const count = new EncoderCount();
    const transforms = Array.from(
      { length: 3 },
      () => new Compression({ coding: 'br', level: 4, flushAfterMs: 50 }, count),
    );
    for (const transform of transforms) transform.start(sink(() => {}));
    assert.equal(count.used, 3);
    for (const transform of transforms) transform.destroy();
    for (const transform of transforms) transform.destroy();
    assert.equal(count.used, 0);
    assert.equal((config.options as { maxConcurrent: number }).maxConcurrent, 2);
  });

  test('10,000 that are broken off leave nothing', async () => {
    const count = new EncoderCount();
    const codings = ['gzip', 'br', 'zstd'] as const;
    const breakOff = async (times: number): Promise<void> => {
      for (let i = 0; i < times; i++) {
        const transform = new Compression({ coding: codings[i % 3]!, level: 1, flushAfterMs: 50 }, count);
        transform.start(sink(() => {}));
        transform.write(LONG.subarray(0, i % 2 === 0 ? 17_000 : 1000));
        if (i % 5 === 0) await new Promise((resolve) => setImmediate(resolve));
        transform.destroy();
      }
      // The threads that still work on some of them have to come back.
      await transformed(new Compression({ coding: 'gzip', level: 1, flushAfterMs: 50 }, count), [LONG]);
    };
    await breakOff(2000);
    const before = process.memoryUsage().rss;
    await breakOff(8000);
    assert.equal(count.used, 0);
    const grown = (process.memoryUsage().rss - before) / 1e6;
    assert.ok(grown < 60, `grown by ${grown.toFixed(0)} MB`);
    const timers = process.getActiveResourcesInfo().filter((name) => name === 'Timeout');
    assert.deepEqual(timers, []);
  });
});

function sink(data: (part: Buffer) => void): BodyOutput {
  return {
    data: (part) => {
      data(part);
      return true;
    },
    end: () => {},
    drained: () => {},
    fail: (error) => assert.fail(error),
  };
}

test('compress: what the file may not say', () => {
  for (const [given, expected] of [
    [{ encodings: [] }, /^encodings: /],
    [{ encodings: ['deflate'] }, /^encodings\.0: /],
    [{ encodings: ['gzip', 'gzip'] }, /^encodings: one of them is there twice/],
    [{ levels: { gzip: 10 } }, /^levels\.gzip: a level of 1 to 9/],
    [{ levels: { lzma: 1 } }, /^levels: Unrecognized key/],
    [{ minSize: 'big' }, /^minSize: .*not a size/],
    [{ types: ['html'] }, /^types\.0: a media type/],
    [{ flushAfter: '2m' }, /^flushAfter: expected at most/],
    [{ maxConcurrent: 0 }, /^maxConcurrent: /],
  ] as const)
    assert.match(issues('compress', given)[0] ?? '', expected, JSON.stringify(given));
  assert.deepEqual(issues('compress', {}), []);
});
