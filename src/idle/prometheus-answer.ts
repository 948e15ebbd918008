/**
 * What Prometheus' HTTP API answers, read strictly: an answer that could be anything else than numbers of a moment says nothing.
 * https://prometheus.io/docs/prometheus/latest/querying/api/
 */

/** The samples of an instant query. */
export interface Samples {
  /** Prometheus' own clock, ms since 1970: when it evaluated the query. */
  atMs: number;
  count: number;
  least: number;
  greatest: number;
  /** Labels of the greatest one, for people; '' when it has none. */
  labels: string;
}

/** Why an answer can't be used. `silent`: nothing is known of the query, because Prometheus did not answer it. */
export interface Fault {
  fault: string;
  silent: boolean;
}

/** What a query gave at each of the steps from the first to the last; null where it gave nothing, NaN where one of its samples was no number. */
export type Steps = (number | null)[];

const MAX_SHOWN = 160;
const MAX_LABELS = 120;

/** `key` of the configuration names the query in what is said. */
export function readSamples(body: unknown, key: string): Samples | Fault {
  const data = dataOf(body, key);
  if ('fault' in data) return data;
  const { resultType, result } = data;
  if (resultType === 'scalar') {
    const value = readValue(result);
    if (value === null) return notPrometheus();
    return fromSamples([{ labels: '', ...value }], key);
  }
  if (resultType !== 'vector')
    return answered(
      `the answer to ${key} is a ${text(resultType)}: write one that gives an instant vector or a scalar`,
    );
  if (!Array.isArray(result)) return notPrometheus();
  const samples: (Sample & { labels: string })[] = [];
  for (const entry of result as unknown[]) {
    if (!isObject(entry)) return notPrometheus();
    if (entry['value'] === undefined && entry['histogram'] !== undefined)
      return answered(`${key} gives a histogram: write one that gives numbers, for example histogram_count(…)`);
    const value = readValue(entry['value']);
    if (value === null) return notPrometheus();
    samples.push({ labels: labelsOf(entry['metric']), ...value });
  }
  return fromSamples(samples, key);
}

function fromSamples(samples: readonly (Sample & { labels: string })[], key: string): Samples | Fault {
  const [first] = samples;
  if (first === undefined)
    return answered(
      `${key} gives nothing: see that its series exist and that their target is scraped, at least every scrapeInterval`,
    );
  const read: Samples = {
    atMs: first.atMs,
    count: samples.length,
    least: first.value,
    greatest: first.value,
    labels: first.labels,
  };
  for (const { value, labels } of samples) {
    if (Number.isNaN(value)) return answered(`${key} gives NaN${of(labels)}: see that it never divides 0 by 0`);
    if (value < read.least) read.least = value;
    if (value > read.greatest) Object.assign(read, { greatest: value, labels });
  }
  return read;
}

/** The greatest value at each of `count` steps from `startMs` on. */
export function readSteps(body: unknown, key: string, startMs: number, stepMs: number, count: number): Steps | Fault {
  const data = dataOf(body, key);
  if ('fault' in data) return data;
  if (data.resultType !== 'matrix' || !Array.isArray(data.result)) return notPrometheus();
  const steps: Steps = Array.from({ length: count }, () => null);
  for (const series of data.result as unknown[]) {
    if (!isObject(series)) return notPrometheus();
    for (const entry of [...listOf(series['values']), ...listOf(series['histograms'])]) {
      const sample = readValue(entry);
      const index = sample === null ? -1 : Math.round((sample.atMs - startMs) / stepMs);
      if (sample === null || index < 0 || index >= count) return notPrometheus();
      // NaN stays: Math.max gives it whenever one of the two is.
      steps[index] = Math.max(steps[index] ?? -Infinity, sample.value);
    }
  }
  return steps;
}

/** When Prometheus started, ms since 1970, of /api/v1/status/runtimeinfo. */
export function readStart(body: unknown): number | Fault {
  const data = isObject(body) && isObject(body['data']) ? body['data'] : {};
  const startMs = typeof data['startTime'] === 'string' ? Date.parse(data['startTime']) : NaN;
  return Number.isNaN(startMs) ? notPrometheus() : startMs;
}

/** What the envelope of an error says, on one line; null: it is none, and its text is nobody's business. */
export function errorOf(body: unknown): string | null {
  if (!isObject(body) || body['status'] !== 'error') return null;
  return `${text(body['errorType'])}: ${text(body['error'])}`;
}

function dataOf(body: unknown, key: string): { resultType: unknown; result: unknown } | Fault {
  if (!isObject(body) || body['status'] !== 'success' || !isObject(body['data'])) return notPrometheus();
  // What is there besides a warning may be a part of it only: a store that did not answer, a remote read that failed.
  const [warning] = listOf(body['warnings']);
  if (warning !== undefined) return answered(`the answer to ${key} comes with a warning: ${text(warning)}`);
  return { resultType: body['data']['resultType'], result: body['data']['result'] };
}

function answered(fault: string): Fault {
  return { fault, silent: false };
}

function notPrometheus(): Fault {
  return { fault: "the answer is not of Prometheus' HTTP API: see serverAddress", silent: true };
}

interface Sample {
  atMs: number;
  value: number;
}

/** A pair of seconds and a number as text. A histogram is no number. */
function readValue(pair: unknown): Sample | null {
  if (!Array.isArray(pair) || pair.length !== 2 || typeof pair[0] !== 'number' || !Number.isFinite(pair[0]))
    return null;
  const [at, value] = pair as [number, unknown];
  return { atMs: Math.round(at * 1000), value: typeof value === 'string' ? readNumber(value) : NaN };
}

function readNumber(written: string): number {
  if (written === '+Inf') return Infinity;
  if (written === '-Inf') return -Infinity;
  return written.trim() === '' ? NaN : Number(written);
}

function labelsOf(metric: unknown): string {
  if (!isObject(metric)) return '';
  const pairs = Object.entries(metric).map(([name, value]) => (name === '__name__' ? '' : `${name}=${text(value)}`));
  return cut(pairs.filter(Boolean).join(','), MAX_LABELS);
}

function of(labels: string): string {
  return labels === '' ? '' : ` of {${labels}}`;
}

function listOf(value: unknown): unknown[] {
  return Array.isArray(value) ? value : [];
}

function isObject(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

/** Of somebody else: one line, not long, no control characters. */
function text(value: unknown): string {
  return typeof value === 'string' ? cut(value.replaceAll(/[\s\p{Cc}]+/gu, ' ').trim(), MAX_SHOWN) : typeof value;
}

function cut(value: string, length: number): string {
  return value.length > length ? `${value.slice(0, length - 1)}…` : value;
}
