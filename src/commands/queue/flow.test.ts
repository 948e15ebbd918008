import assert from 'node:assert/strict';
import { test } from 'node:test';
import { flowLines, type Flow } from './flow.ts';

const FLOW: Flow = {
  place: 'on this machine',
  atMs: 1000,
  stages: [
    { title: 'event source', what: 'Redis list queue-demo', value: 1240, unit: 'wait', details: ['20 in flight'] },
    { title: 'scaler', what: 'trigger redis-list', value: 1260, unit: 'wait or in flight', details: [] },
    { title: 'instances', what: 'processes', value: null, unit: 'ready', details: ['awake'] },
  ],
  stats: { atMs: 1000, queue: 'q', depth: 1240, inFlight: 20, taken: 60, done: 40, returned: 0, repeated: 0, late: 0 },
  problems: ['Redis is \x1b[31maway'],
};

test('stages stand beside each other with their numbers', () => {
  assert.deepEqual(flowLines(FLOW, [], { colours: false, width: 100 }), [
    'dormouse queue demo on this machine',
    '',
    'event source           ─▶  scaler                   ─▶  instances',
    'Redis list queue-demo      trigger redis-list           processes',
    '1,240 wait                 1,260 wait or in flight      – ready',
    '20 in flight                                            awake',
    '',
    'taken 60, done 40, done twice 0, given back for dead workers 0',
    '',
    'Redis is \\x1b[31maway',
  ]);
});

test('on a narrow terminal they stand below each other, and no line is wider', () => {
  const lines = flowLines(FLOW, [], { colours: false, width: 40 });
  assert.ok(lines.every((line) => line.length <= 40));
  assert.match(lines[2]!, /^ {3}event source +1,240 wait, 20/);
  assert.match(lines[3]!, /^─▶ scaler/);
});

test('graphs rise to the most of what is shown', () => {
  const samples = [0, 50, 100].map((depth, index) => ({ atMs: index * 1000, depth, workers: index }));
  const lines = flowLines(FLOW, samples, { colours: false, width: 80 });
  assert.ok(lines.includes('depth   ▁▅█ most 100'), lines.join('\n'));
  assert.ok(lines.includes('workers ▁▅█ most 2'));
  assert.ok(lines.includes('        the last 2 s'));
});
