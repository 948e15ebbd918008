/**
 * Prometheus' text exposition format 0.0.4 out of metric families. Own renderer: the families of all workers have to be added up first, which a client
 * library's registries don't do without a registry and a copy per worker, and the format is a page long.
 */
import type { MetricFamily, MetricSeries } from '../model/metrics.ts';

export const METRICS_CONTENT_TYPE = 'text/plain; version=0.0.4; charset=utf-8';

const METRIC_NAME = /^[a-zA-Z_:][a-zA-Z0-9_:]*$/;
const LABEL_NAME = /^[a-zA-Z_][a-zA-Z0-9_]*$/;

/**
 * `families[i]` is what one process measured. Series with equal name and labels are added up; families are sorted by name and series by labels, so that equal
 * input gives equal text. What Prometheus would refuse the whole scrape for (a bad name, two types for one name, histograms with different bounds) is left out.
 */
export function renderMetrics(families: MetricFamily[][]): string {
  const merged = new Map<string, { family: MetricFamily; series: Map<string, MetricSeries> }>();
  for (const family of families.flat()) {
    if (!METRIC_NAME.test(family.name)) continue;
    let entry = merged.get(family.name);
    if (entry === undefined) merged.set(family.name, (entry = { family, series: new Map() }));
    if (entry.family.type !== family.type) continue;
    for (const series of family.series) {
      const labels = renderLabels(series.labels);
      const known = entry.series.get(labels);
      if (known === undefined) entry.series.set(labels, copyOf(series));
      else addTo(known, series);
    }
  }
  let text = '';
  for (const [name, { family, series }] of [...merged].toSorted(byKey)) {
    if (series.size === 0) continue;
    text += `# HELP ${name} ${escapeHelp(family.help)}\n# TYPE ${name} ${family.type}\n`;
    for (const [labels, one] of [...series].toSorted(byKey)) text += renderSeries(name, labels, one);
  }
  return text;
}

function byKey(a: [string, unknown], b: [string, unknown]): number {
  return a[0] < b[0] ? -1 : a[0] > b[0] ? 1 : 0;
}

/** `a="x",b="y"`, sorted by name; empty for none. */
function renderLabels(labels: Record<string, string>): string {
  const names = Object.keys(labels);
  if (names.length > 1) names.sort();
  let text = '';
  for (const name of names) {
    if (LABEL_NAME.test(name)) text += `${text === '' ? '' : ','}${name}="${escapeLabel(labels[name]!)}"`;
  }
  return text;
}

function renderSeries(name: string, labels: string, series: MetricSeries): string {
  const braces = labels === '' ? '' : `{${labels}}`;
  const histogram = series.histogram;
  if (histogram === undefined) return `${name}${braces} ${number(series.value ?? 0)}\n`;
  const before = labels === '' ? '' : `${labels},`;
  let text = '';
  let cumulative = 0;
  histogram.counts.forEach((count, index) => {
    cumulative += count;
    const bound = index < histogram.bounds.length ? number(histogram.bounds[index]!) : '+Inf';
    text += `${name}_bucket{${before}le="${bound}"} ${number(cumulative)}\n`;
  });
  return `${text}${name}_sum${braces} ${number(histogram.sum)}\n${name}_count${braces} ${number(cumulative)}\n`;
}

function copyOf(series: MetricSeries): MetricSeries {
  const { histogram } = series;
  return histogram === undefined
    ? { ...series }
    : { ...series, histogram: { ...histogram, counts: [...histogram.counts] } };
}

function addTo(sum: MetricSeries, more: MetricSeries): void {
  if (sum.histogram === undefined || more.histogram === undefined) {
    sum.value = (sum.value ?? 0) + (more.value ?? 0);
    return;
  }
  const { bounds } = sum.histogram;
  const other = more.histogram;
  if (bounds.length !== other.bounds.length || bounds.some((bound, index) => bound !== other.bounds[index])) return;
  other.counts.forEach((count, index) => {
    sum.histogram!.counts[index]! += count;
  });
  sum.histogram.sum += other.sum;
}

function number(value: number): string {
  if (value === Infinity) return '+Inf';
  if (value === -Infinity) return '-Inf';
  return String(value);
}

function escapeHelp(text: string): string {
  return text.replaceAll('\\', '\\\\').replaceAll('\n', '\\n');
}

function escapeLabel(text: string): string {
  return /[\\"\n]/.test(text) ? text.replaceAll('\\', '\\\\').replaceAll('"', '\\"').replaceAll('\n', '\\n') : text;
}
