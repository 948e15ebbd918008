import assert from 'node:assert/strict';
import { test } from 'node:test';
import { painter } from '../text-table.ts';
import { readHops, readServerTiming } from './server-timing.ts';
import type { TimedResponse } from './timed-request.ts';
import { traceLines } from './trace-view.ts';
import { waterfall } from './waterfall.ts';

test('entries of Server-Timing are read by its grammar, and what is none is passed over', () => {
  assert.deepEqual(
    readServerTiming('db;dur=5.3;desc="a, \\"b\\"; c", miss, ;x, cache;DUR=1;dur=2, bad name;dur=1, odd;dur=x').map(
      ({ name, durMs, desc }) => [name, durMs, desc],
    ),
    [
      ['db', 5.3, 'a, "b"; c'],
      ['miss', 0, ''],
      ['cache', 1, ''],
      ['odd', 0, ''],
    ],
  );
});

const LINES = [
  'db;dur=4',
  'dormouse;dur=9;desc="app-1";listener="inner";route="r";backend="app", accept;start=-0.5;dur=0.5, filter;start=0.5;dur=1;desc="jwt", first-byte;start=2;dur=7;desc="app-1"',
  'dormouse;dur=12;desc="inner-1";listener="outer", connect;start=0;dur=1;desc="new", first-byte;start=1;dur=11',
];
const SEEN: TimedResponse = {
  status: 200,
  httpVersion: '1.1',
  headers: [],
  bodyBytes: 10,
  address: '127.0.0.1:1',
  lookedUpMs: 0,
  connectedMs: 2,
  securedMs: 2,
  firstByteMs: 18,
  totalMs: 20,
};

test('each gateway is the hop inside of the one before it, and the application inside of the last', () => {
  const hops = readHops(LINES);
  assert.deepEqual(
    hops.gateways.map((hop) => [hop.listener, hop.durMs, hop.spans.length]),
    [
      ['outer', 12, 2],
      ['inner', 9, 3],
    ],
  );
  assert.deepEqual(
    hops.application.map((entry) => entry.name),
    ['db'],
  );
  const bars = waterfall(SEEN, hops);
  for (const [name, from, to] of [
    ['gateway outer', 4, 16],
    ['gateway inner', 6, 15],
    ['db', 8, 12],
  ] as const) {
    const bar = bars.find((candidate) => candidate.label === name)!;
    assert.deepEqual([bar.startMs, bar.startMs + bar.durMs], [from, to], name);
  }
  const depths = bars.map((bar) => bar.depth);
  assert.deepEqual(Math.max(...depths), bars.find((bar) => bar.label === 'db')!.depth);
});

test('what follows a wait stands behind what is inside of it', () => {
  const lines = [
    'dormouse;dur=9;listener="inner", first-byte;start=2;dur=6;desc="app-1", response-filter;start=8;dur=1;desc="body"',
    'dormouse;dur=12;listener="outer", first-byte;start=1;dur=11;desc="inner-1"',
  ];
  assert.deepEqual(
    waterfall(SEEN, readHops(['db;dur=4', ...lines]))
      .slice(3)
      .map(({ depth, label }) => [depth, label]),
    [
      [2, 'gateway outer'],
      [3, 'wait for'],
      [4, 'gateway inner'],
      [5, 'wait for'],
      [6, 'db'],
      [5, 'response filter body'],
      [1, 'body'],
    ],
  );
});

test('lines keep to the width, and control characters of a response stay out of the terminal', () => {
  const bars = waterfall(SEEN, readHops([...LINES, 'dormouse;dur=1;desc="\x1b[31m"']));
  const lines = traceLines(bars, painter(false), 80);
  for (const line of lines) {
    assert.ok(line.length <= 80, line);
    assert.ok(!line.includes('\x1b'));
  }
});
