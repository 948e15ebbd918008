import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { createEventStream } from './event-stream.ts';
import type { EventStreamOptions } from './event-stream.ts';

/** A stream whose output is collected. */
function stream(options: Partial<EventStreamOptions> = {}) {
  const parts: Buffer[] = [];
  const state = { more: true, ended: false, drained: 0 };
  const it = createEventStream({ heartbeatMs: 1000, retryMs: 0, ...options }, 0);
  it.start({
    data: (part) => {
      parts.push(part);
      return state.more;
    },
    end: () => (state.ended = true),
    drained: () => state.drained++,
    fail: (error) => assert.fail(error),
  });
  return { it, parts, state, text: () => Buffer.concat(parts).toString('latin1') };
}

/** What a reader makes of a stream: the events that it dispatches, by the algorithm of HTML 9.2.6. */
function read(bytes: Buffer): string[] {
  const text = new TextDecoder().decode(bytes);
  const events: string[] = [];
  let data: string[] = [];
  const lines = text.split(/\r\n|\n|\r/);
  lines.pop();
  for (const line of lines) {
    if (line === '') {
      if (data.length > 0) events.push(data.join('\n'));
      data = [];
    } else if (line.startsWith('data:')) data.push(line.slice(5).replace(/^ /, ''));
  }
  return events;
}

test('parts pass at once and uncopied', () => {
  const { it, parts } = stream();
  const part = Buffer.from('data: a\n\n');
  const second = Buffer.from('data: half of');
  it.write(part);
  it.write(second);
  assert.equal(parts[0], part);
  assert.equal(parts[1], second);
});

test('after a silence a comment is sent, once per silence', () => {
  const { it, text } = stream();
  it.write(Buffer.from('data: a\n\n'));
  it.tick(100);
  it.tick(1000);
  assert.equal(text(), 'data: a\n\n');
  it.tick(1100);
  assert.equal(text(), 'data: a\n\n: \n\n');
  it.tick(2000);
  assert.equal(text(), 'data: a\n\n: \n\n');
  it.tick(2100);
  assert.equal(text(), 'data: a\n\n: \n\n: \n\n');
});

for (const [name, before, sends] of [
  ['nothing yet', '', true],
  ['LF LF', 'data: a\n\n', true],
  ['CR LF CR LF', 'data: a\r\n\r\n', true],
  ['CR CR', 'data: a\r\r', true],
  ['CR LF LF', 'data: a\r\n\n', true],
  ['LF CR', 'data: a\n\r', true],
  ['one LF', 'data: a\n', false],
  ['one CR LF', 'data: a\r\n', false],
  ['one CR', 'data: a\r', false],
  ['the middle of a line', 'data: a', false],
  ['a byte order mark', '\u{feff}', true],
] as const) {
  test(`a heartbeat after ${name}: ${sends ? 'sent' : 'not sent'}`, () => {
    const { it, parts } = stream();
    for (const byte of Buffer.from(before)) it.write(Buffer.from([byte]));
    const count = parts.length;
    it.tick(1);
    it.tick(1001);
    assert.equal(parts.length - count, sends ? 1 : 0);
  });
}

test('heartbeats and retry anywhere change nothing for a reader', () => {
  const line = fc.constantFrom('data: one', 'data:two', 'id: 7', ': comment', 'event: x', 'retry: 9', 'data');
  const end = fc.constantFrom('\n', '\r\n', '\r');
  const text = fc.array(fc.tuple(line, end, fc.boolean()), { maxLength: 12 });
  fc.assert(
    fc.property(
      text,
      fc.boolean(),
      fc.infiniteStream(fc.tuple(fc.integer({ min: 1, max: 9 }), fc.boolean())),
      (lines, marked, cuts) => {
        let whole = marked ? '\u{feff}' : '';
        for (const [content, eol, blank] of lines) whole += content + eol + (blank ? eol : '');
        const bytes = Buffer.from(whole);
        const { it, parts, state } = stream({ retryMs: 3000 });
        let now = 0;
        for (let at = 0; at < bytes.length;) {
          const [size, silence] = cuts.next().value;
          if (silence) {
            it.tick((now += 1));
            it.tick((now += 1000));
          }
          it.write(bytes.subarray(at, at + size));
          at += size;
        }
        it.end();
        assert.equal(state.ended, true);
        const out = Buffer.concat(parts);
        assert.deepEqual(read(out), read(bytes));
        assert.ok(out.indexOf('\u{feff}') <= 0, 'a byte order mark stands at the beginning or nowhere');
      },
    ),
    { numRuns: 500 },
  );
});

test('retry is told with the first part, or soon when nothing comes', () => {
  const early = stream({ retryMs: 3000 });
  early.it.write(Buffer.from('data: a\n\n'));
  early.it.write(Buffer.from('data: b\n\n'));
  assert.equal(early.text(), 'retry: 3000\n\ndata: a\n\ndata: b\n\n');
  const late = stream({ retryMs: 3000 });
  late.it.tick(250);
  late.it.tick(500);
  assert.equal(late.text(), 'retry: 3000\n\n');
  late.it.write(Buffer.from('data: a\n\n'));
  assert.equal(late.text(), 'retry: 3000\n\ndata: a\n\n');
  const own = stream({ retryMs: 3000 });
  own.it.write(Buffer.from('id: 1\nretry: 5\n\n'));
  assert.equal(own.text(), 'id: 1\nretry: 5\n\n');
});

test('a client that takes nothing gets no heartbeats on top', () => {
  const { it, state, parts } = stream();
  state.more = false;
  assert.equal(it.write(Buffer.from('data: a\n\n')), false);
  it.tick(1);
  it.tick(5000);
  assert.equal(parts.length, 1);
  state.more = true;
  it.onDrain();
  assert.equal(state.drained, 1);
  it.tick(5500);
  assert.equal(parts.length, 1, 'the silence begins when the client has read');
  it.tick(6000);
  assert.equal(parts.length, 2);
});
