/** The way from messages to workers as stages with numbers, the same on a machine and in a cluster; and how it is drawn. */
import { printable } from '../../telemetry/pretty-line.ts';
import { cut, painter, type Paint } from '../text-table.ts';
import type { QueueStats } from './programs.ts';

export interface Stage {
  /** "event source", "scaler", … */
  title: string;
  /** What it is here: "Redis list queue-demo". */
  what: string;
  /** The number that it hands on; null: not known now. */
  value: number | null;
  /** What the number is: "messages wait". */
  unit: string;
  /** More of it, one line each. */
  details: string[];
}

export interface Flow {
  /** "on this machine", "in namespace queue-demo". */
  place: string;
  atMs: number;
  stages: Stage[];
  /** null: the source has no messages (a schedule), or can't be reached. */
  stats: QueueStats | null;
  /** What is wrong, one sentence each. */
  problems: string[];
}

export interface Sample {
  atMs: number;
  depth: number;
  workers: number;
}

/** Samples that a view keeps: at two a second the last minutes. */
export const MAX_SAMPLES = 600;
const BARS = '▁▂▃▄▅▆▇█';
const ARROW = '  ─▶  ';

export function sampleOf(flow: Flow): Sample {
  return { atMs: flow.atMs, depth: flow.stats?.depth ?? 0, workers: flow.stages.at(-1)?.value ?? 0 };
}

export interface FlowView {
  colours: boolean;
  /** Columns; 0: as wide as it gets. */
  width: number;
}

/** Lines without a newline, none wider than the view. The stages stand beside each other, or below each other where there is no room. */
export function flowLines(flow: Flow, samples: readonly Sample[], { colours, width }: FlowView): string[] {
  const paint = painter(colours);
  const lines = [`dormouse queue demo ${flow.place}`, ''];
  const columns = flow.stages.map(columnOf);
  const wide = columns.reduce((sum, column) => sum + widthOf(column), ARROW.length * (columns.length - 1));
  lines.push(...(width === 0 || wide <= width ? besides(columns, paint) : below(flow.stages, paint, width)));
  const { stats } = flow;
  if (stats !== null) {
    lines.push(
      '',
      fit(
        `taken ${count(stats.taken)}, done ${count(stats.done)}, done twice ${count(stats.repeated)}, given back for dead workers ${count(stats.returned)}`,
        width,
      ),
    );
  }
  if (samples.length > 1) lines.push('', ...graphs(samples, width));
  for (const problem of flow.problems) lines.push('', paint(fit(printable(problem), width), 'yellow'));
  return lines;
}

interface ColumnText {
  title: string;
  lines: string[];
}

function columnOf({ title, what, value, unit, details }: Stage): ColumnText {
  return { title, lines: [what, `${count(value)} ${unit}`, ...details].map(printable) };
}

function widthOf({ title, lines }: ColumnText): number {
  return Math.max(title.length, ...lines.map((line) => line.length));
}

function besides(columns: readonly ColumnText[], paint: Paint): string[] {
  const rows = Math.max(...columns.map(({ lines }) => lines.length));
  const row = (textOf: (column: ColumnText) => string, gap: string, paintIt: (text: string) => string): string =>
    columns
      .map((column, index) => {
        const last = index === columns.length - 1;
        return paintIt(last ? textOf(column) : textOf(column).padEnd(widthOf(column))) + (last ? '' : gap);
      })
      .join('')
      .trimEnd();
  const blank = ' '.repeat(ARROW.length);
  return [
    row(
      ({ title }) => title,
      ARROW,
      (text) => paint(text, 'bold'),
    ),
    ...Array.from({ length: rows }, (_, index) =>
      row(
        ({ lines }) => lines[index] ?? '',
        blank,
        (text) => (index === 1 ? paint(text, 'green') : text),
      ),
    ),
  ];
}

function below(stages: readonly Stage[], paint: Paint, width: number): string[] {
  return stages.map(({ title, what, value, unit, details }, index) => {
    const text = `${count(value)} ${unit}${details.map((detail) => `, ${detail}`).join('')}`;
    const name = `${index === 0 ? '   ' : '─▶ '}${title}`.padEnd(18);
    const rest = fit(printable(`${text} (${what})`), Math.max(0, width - name.length - 1));
    return `${paint(name, 'bold')} ${rest}`;
  });
}

function graphs(samples: readonly Sample[], width: number): string[] {
  const room = Math.max(10, (width === 0 ? 100 : width) - 24);
  const shown = samples.slice(-room);
  const from = shown[0]!;
  const seconds = Math.round((shown.at(-1)!.atMs - from.atMs) / 1000);
  return [
    graph('depth  ', shown, ({ depth }) => depth),
    graph('workers', shown, ({ workers }) => workers),
    `        the last ${seconds} s`,
  ];
}

function graph(name: string, samples: readonly Sample[], valueOf: (sample: Sample) => number): string {
  const most = Math.max(...samples.map(valueOf));
  const bars = samples.map((sample) => bar(valueOf(sample), most)).join('');
  return `${name} ${bars} most ${count(most)}`;
}

function bar(value: number, most: number): string {
  if (value <= 0 || most <= 0) return '▁';
  return BARS[Math.min(BARS.length - 1, 1 + Math.floor((value / most) * (BARS.length - 2)))]!;
}

function count(value: number | null): string {
  if (value === null) return '–';
  return (Number.isInteger(value) ? value : Number(value.toFixed(1))).toLocaleString('en-US');
}

function fit(text: string, width: number): string {
  return width === 0 ? text : cut(text, width);
}
