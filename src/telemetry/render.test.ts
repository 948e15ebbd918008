import assert from 'node:assert/strict';
import { test } from 'node:test';
import * as fc from 'fast-check';
import type { MetricFamily } from '../model/metrics.ts';
import { processMetrics } from './process-metrics.ts';
import { renderMetrics } from './render.ts';

function counter(name: string, series: MetricFamily['series'], type: MetricFamily['type'] = 'counter'): MetricFamily {
  return { name, help: `Help of ${name}.`, type, series };
}

test('adds up what workers counted, in an order that does not change', () => {
  const one = [
    counter('dormouse_b_total', [
      { labels: { route: 'b', backend: 'x' }, value: 1 },
      { labels: { backend: 'x', route: 'a' }, value: 2 },
    ]),
    counter('dormouse_a', [{ labels: {}, value: 1.5 }], 'gauge'),
  ];
  const two = [counter('dormouse_b_total', [{ labels: { route: 'a', backend: 'x' }, value: 40 }])];
  const expected = `# HELP dormouse_a Help of dormouse_a.
# TYPE dormouse_a gauge
dormouse_a 1.5
# HELP dormouse_b_total Help of dormouse_b_total.
# TYPE dormouse_b_total counter
dormouse_b_total{backend="x",route="a"} 42
dormouse_b_total{backend="x",route="b"} 1
`;
  assert.equal(renderMetrics([one, two]), expected);
  assert.equal(renderMetrics([two, one]), expected);
  assert.equal(one[0]!.series[1]!.value, 2, 'the input is left as it was');
});

test('histograms are cumulative, and added up bucket by bucket', () => {
  const histogram = (counts: number[], sum: number): MetricFamily =>
    counter(
      'dormouse_h_seconds',
      [{ labels: { route: 'a' }, histogram: { bounds: [0.1, 1], counts, sum } }],
      'histogram',
    );
  assert.equal(
    renderMetrics([[histogram([1, 2, 3], 10)], [histogram([1, 0, 1], 2.5)]]),
    `# HELP dormouse_h_seconds Help of dormouse_h_seconds.
# TYPE dormouse_h_seconds histogram
dormouse_h_seconds_bucket{route="a",le="0.1"} 2
dormouse_h_seconds_bucket{route="a",le="1"} 4
dormouse_h_seconds_bucket{route="a",le="+Inf"} 8
dormouse_h_seconds_sum{route="a"} 12.5
dormouse_h_seconds_count{route="a"} 8
`,
  );
});

test('label values and help cannot break out of their line', () => {
  const text = renderMetrics([
    [{ name: 'dormouse_x', help: 'a\\b\nc', type: 'gauge', series: [{ labels: { name: 'a"b\\c\nd' }, value: NaN }] }],
  ]);
  assert.equal(text, '# HELP dormouse_x a\\\\b\\nc\n# TYPE dormouse_x gauge\ndormouse_x{name="a\\"b\\\\c\\nd"} NaN\n');
  fc.assert(
    fc.property(
      fc.string({ unit: fc.constantFrom('a', '"', '\\', '\n', 'ü', '{', '}', ',', '=', '\u2028') }),
      (value) => {
        const [, , line, rest] = renderMetrics([
          [counter('dormouse_x', [{ labels: { name: value }, value: 1 }])],
        ]).split('\n');
        assert.equal(rest, '');
        const quoted = /^dormouse_x\{name="((?:[^"\\\n]|\\["\\n])*)"\} 1$/.exec(line!);
        assert.ok(quoted);
        assert.equal(
          quoted[1]!.replaceAll(/\\(.)/g, (_, c) => (c === 'n' ? '\n' : c)),
          value,
        );
      },
    ),
  );
});

test('one wrong family does not cost the scrape', () => {
  const text = renderMetrics([
    [
      counter('not a name', [{ labels: {}, value: 1 }]),
      counter('dormouse_ok', [{ labels: { 'bad-label': 'x', good: 'y' }, value: 1 }]),
    ],
    [counter('dormouse_ok', [{ labels: { good: 'y' }, value: 9 }], 'gauge'), counter('dormouse_empty', [])],
  ]);
  assert.equal(text, '# HELP dormouse_ok Help of dormouse_ok.\n# TYPE dormouse_ok counter\ndormouse_ok{good="y"} 1\n');
});

test('the process tells what it costs', () => {
  const text = renderMetrics([
    processMetrics({ version: '0.1.0', role: 'supervisor', startedAtMs: 1_700_000_000_000 }),
  ]);
  assert.match(text, /^dormouse_build_info\{node="[\d.]+",version="0\.1\.0"\} 1$/m);
  assert.match(text, /^dormouse_process_resident_memory_bytes\{role="supervisor"\} \d{7,}$/m);
  assert.match(text, /^dormouse_process_start_time_seconds\{role="supervisor"\} 1700000000$/m);
});
