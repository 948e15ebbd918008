import { printable } from '../../telemetry/pretty-line.ts';
import { cut, type Colour, type Paint } from '../text-table.ts';
import type { Bar } from './waterfall.ts';

const COLOURS: Readonly<Record<Bar['at'], Colour>> = { client: 'dim', gateway: 'blue', application: 'green' };
const LONGEST_LABEL = 44;
const NARROWEST_BAR = 10;

/** The bars as lines of at most `width` characters (0: 100), each with its time. */
export function traceLines(bars: readonly Bar[], paint: Paint, width: number): string[] {
  const columns = width === 0 ? 100 : width;
  const labels = bars.map(({ depth, label, detail }) => {
    const text = `${'  '.repeat(depth)}${printable(label)}${detail === '' ? '' : ` ${printable(detail)}`}`;
    return cut(text, LONGEST_LABEL);
  });
  const labelWidth = Math.max(...labels.map((label) => label.length));
  const times = bars.map((bar) => millis(bar.durMs));
  const timeWidth = Math.max(...times.map((time) => time.length));
  const barWidth = Math.max(NARROWEST_BAR, columns - labelWidth - timeWidth - 4);
  const totalMs = Math.max(0.001, ...bars.map((bar) => bar.startMs + bar.durMs));
  return bars.map((bar, index) => {
    const from = Math.min(barWidth - 1, Math.floor((bar.startMs / totalMs) * barWidth));
    const length = Math.max(1, Math.min(barWidth - from, Math.round((bar.durMs / totalMs) * barWidth)));
    const drawn = ' '.repeat(from) + paint((bar.durMs === 0 ? '·' : '█').repeat(length), COLOURS[bar.at]);
    return `${labels[index]!.padEnd(labelWidth)}  ${times[index]!.padStart(timeWidth)}  ${drawn}`;
  });
}

function millis(ms: number): string {
  return ms >= 9999.5 ? `${(ms / 1000).toFixed(2)} s ` : `${ms.toFixed(ms < 100 ? 2 : 0)} ms`;
}
