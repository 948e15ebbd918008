/** What the samples of a spike say: figures as text, and depth and workers over time as an SVG. */

export interface SpikeSample {
  atMs: number;
  depth: number;
  inFlight: number;
  done: number;
  taken: number;
  returned: number;
  /** null: the source doesn't say. */
  repeated: number | null;
  workers: number;
  desired: number;
}

export interface Spike {
  samples: readonly SpikeSample[];
  messages: number;
  /** scale.max. */
  most: number;
  /** When the first message was appended, wall clock ms. */
  beganMs: number;
}

const WITHIN_MS = 30_000;

/** `faults`: what must not be, one sentence each. */
export function spikeFigures(spike: Spike & { appendedMs: number }): { lines: string[]; faults: string[] } {
  const { samples, messages, most, beganMs, appendedMs } = spike;
  const last = samples.at(-1);
  const peak = samples.findIndex(({ workers }) => workers >= most);
  const seconds = (sample: SpikeSample | undefined): string =>
    sample === undefined ? 'never' : `${((sample.atMs - beganMs) / 1000).toFixed(1)} s`;
  const first = samples.find(({ workers }) => workers > 0);
  const full = samples[peak];
  const drained = samples.find(({ done }) => done >= messages);
  const after = samples.slice(Math.max(0, peak)).filter(({ workers }) => workers > 0);
  const steps = new Set(after.map(({ workers }) => workers));
  const lines = [
    `messages               ${messages} appended in ${((appendedMs - beganMs) / 1000).toFixed(1)} s`,
    `first worker           after ${seconds(first)}`,
    `${String(most).padEnd(3)} workers            after ${seconds(full)}`,
    `all messages done      after ${seconds(drained)}`,
    `way back               over ${steps.size} numbers of workers: ${[...steps].join(', ')}`,
    `no worker any more     after ${seconds(last)}`,
    `done                   ${last?.done ?? 0}, taken ${last?.taken ?? 0}, done twice ${last?.repeated ?? '–'}, given back for dead workers ${last?.returned ?? 0}`,
  ];
  const faults: string[] = [];
  if (last === undefined || last.done !== messages || last.depth + last.inFlight !== 0)
    faults.push(`lost: ${messages - (last?.done ?? 0)} of ${messages}`);
  if (last !== undefined && last.taken !== last.done)
    faults.push(`worked on more than once: ${last.taken - last.done} messages`);
  if ((last?.repeated ?? 0) > 0) faults.push(`done twice: ${last?.repeated}`);
  if (full === undefined || full.atMs - beganMs > WITHIN_MS)
    faults.push(`${most} workers not within ${WITHIN_MS / 1000} s: ${seconds(full)}`);
  if (steps.size < 3) faults.push(`not gradually back: ${[...steps].join(', ')}`);
  return { lines, faults };
}

const WIDTH = 760;
const HEIGHT = 320;
const LEFT = 64;
const RIGHT = 56;
const TOP = 40;
const BOTTOM = 44;
const DEPTH = '#2563eb';
const WORKERS = '#d97706';

/** Depth at the left scale, workers at the right one, seconds below. Reads on light and on dark pages. */
export function spikePlot({ samples, most, beganMs }: Spike): string {
  const shown = samples.filter(({ atMs }) => atMs >= beganMs - 1000);
  const endSeconds = Math.max(1, ...shown.map(({ atMs }) => (atMs - beganMs) / 1000));
  const deepest = Math.max(1, ...shown.map(({ depth }) => depth));
  const x = (atMs: number): number =>
    LEFT + (Math.max(0, (atMs - beganMs) / 1000) / endSeconds) * (WIDTH - LEFT - RIGHT);
  const y = (share: number): number => HEIGHT - BOTTOM - share * (HEIGHT - TOP - BOTTOM);
  const depth = shown.map((sample) => `${x(sample.atMs).toFixed(1)},${y(sample.depth / deepest).toFixed(1)}`).join(' ');
  // The number of workers stands until it is another one.
  const workers = shown
    .flatMap((sample, index) => {
      const at = y(sample.workers / most).toFixed(1);
      const next = shown[index + 1];
      const from = `${x(sample.atMs).toFixed(1)},${at}`;
      return next === undefined ? [from] : [from, `${x(next.atMs).toFixed(1)},${at}`];
    })
    .join(' ');
  const everySeconds = endSeconds > 60 ? 20 : endSeconds > 20 ? 5 : 2;
  const ticks = Array.from({ length: Math.floor(endSeconds / everySeconds) + 1 }, (_, index) => index * everySeconds);
  const text = (at: number, height: number, words: string, more = ''): string =>
    `  <text x="${at.toFixed(1)}" y="${height.toFixed(1)}" ${more}>${words}</text>`;
  const line = (height: number): string =>
    `  <line x1="${LEFT}" x2="${WIDTH - RIGHT}" y1="${height.toFixed(1)}" y2="${height.toFixed(1)}" stroke="#888" stroke-opacity="0.35"/>`;
  const quarters = [0, 0.25, 0.5, 0.75, 1];
  return [
    `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 ${WIDTH} ${HEIGHT}" font-family="sans-serif" font-size="12" fill="#777" role="img">`,
    `  <title>A spike of ${deepest} messages: depth of the queue and workers over time</title>`,
    text(LEFT, 20, 'messages that wait', `fill="${DEPTH}" font-weight="bold"`),
    text(WIDTH - RIGHT, 20, 'workers that are ready', `fill="${WORKERS}" font-weight="bold" text-anchor="end"`),
    ...quarters.flatMap((share) => [
      line(y(share)),
      text(
        LEFT - 8,
        y(share) + 4,
        Math.round(share * deepest).toLocaleString('en-US'),
        `fill="${DEPTH}" text-anchor="end"`,
      ),
      text(WIDTH - RIGHT + 8, y(share) + 4, String(Number((share * most).toFixed(1))), `fill="${WORKERS}"`),
    ]),
    ...ticks.map((second) =>
      text(x(beganMs + second * 1000), HEIGHT - BOTTOM + 18, String(second), 'text-anchor="middle"'),
    ),
    text((LEFT + WIDTH - RIGHT) / 2, HEIGHT - 8, 'seconds', 'text-anchor="middle"'),
    `  <polyline points="${depth}" fill="none" stroke="${DEPTH}" stroke-width="2"/>`,
    `  <polyline points="${workers}" fill="none" stroke="${WORKERS}" stroke-width="2"/>`,
    '</svg>',
    '',
  ].join('\n');
}
