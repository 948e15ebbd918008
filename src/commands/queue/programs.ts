/** Runs the programs of examples/queue-demo: what speaks to a queue is theirs alone, on a machine and in a cluster. */
import { spawn, type ChildProcess } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import { DormouseError } from '../../model/errors.ts';
import type { CommandOptions } from '../command.ts';

export const QUEUE_DEMO = fileURLToPath(new URL('../../../examples/queue-demo/', import.meta.url));

/** What the queue holds, and what became of its messages: docs/queue-demo.md has the words. */
export interface QueueStats {
  atMs: number;
  queue: string;
  /** Waiting. */
  depth: number;
  inFlight: number;
  taken: number;
  done: number;
  returned: number;
  /** null: the source doesn't say. */
  repeated: number | null;
  late: number | null;
}

const ERROR_CHARS = 2000;

/** Flags of a program: `--connection URL`. */
export function flagsOf(flags: Readonly<Record<string, string>>): string[] {
  return Object.entries(flags).flatMap(([name, value]) => [`--${name}`, value]);
}

/** What it printed. Throws DORMOUSE_QUEUE with what it said when it failed; ended by `signal`. */
export async function runProgram(
  program: 'producer.js' | 'stats.js',
  args: readonly string[],
  signal: AbortSignal,
): Promise<string> {
  const child = start(program, args);
  const stop = (): void => void child.kill('SIGTERM');
  signal.addEventListener('abort', stop, { once: true });
  let output = '';
  let errors = '';
  child.stdout!.setEncoding('utf8').on('data', (text: string) => (output += text));
  child.stderr!.setEncoding('utf8').on('data', (text: string) => (errors = (errors + text).slice(-ERROR_CHARS)));
  const code = await ended(child);
  signal.removeEventListener('abort', stop);
  if (code === 0) return output;
  const said = errors.trim().split('\n').at(-1) ?? '';
  throw new DormouseError('DORMOUSE_QUEUE', said === '' ? `${program} ended with ${code}` : said, { userFault: true });
}

/** The figures again and again until `signal` aborts. Ends early when the queue can't be reached. */
export async function* followStats(
  args: readonly string[],
  everyMs: number,
  signal: AbortSignal,
): AsyncGenerator<QueueStats> {
  const child = start('stats.js', [...args, '--every', String(everyMs)]);
  const stop = (): void => void child.kill('SIGTERM');
  signal.addEventListener('abort', stop, { once: true });
  const over = ended(child);
  try {
    let rest = '';
    for await (const chunk of child.stdout!.setEncoding('utf8')) {
      const lines = (rest + (chunk as string)).split('\n');
      rest = lines.pop() ?? '';
      for (const line of lines) yield JSON.parse(line) as QueueStats;
    }
  } finally {
    signal.removeEventListener('abort', stop);
    stop();
    await over;
  }
}

export async function readStats(args: readonly string[], signal: AbortSignal): Promise<QueueStats> {
  return JSON.parse(await runProgram('stats.js', args, signal)) as QueueStats;
}

function start(program: string, args: readonly string[]): ChildProcess {
  return spawn(process.execPath, [QUEUE_DEMO + program, ...args], { stdio: ['ignore', 'pipe', 'pipe'] });
}

function ended(child: ChildProcess): Promise<number> {
  return new Promise((resolve) => {
    child.once('error', () => resolve(1));
    child.once('close', (code) => resolve(code ?? 1));
  });
}

/** `--work` and `--per-worker` of `demo queue up`; '' and null where they are left out. Throws DORMOUSE_USAGE. */
export function loadOf({ work, perWorker }: CommandOptions): { work: string; perWorker: number | null } {
  if (typeof work === 'string' && !/^\d{1,8}(-\d{1,8})?$/.test(work)) {
    const text = `--work has to be milliseconds (200) or a range of them (500-1500), not "${work}"`;
    throw new DormouseError('DORMOUSE_USAGE', text, { userFault: true });
  }
  return {
    work: typeof work === 'string' ? work : '',
    perWorker: typeof perWorker === 'string' ? wholeNumber(perWorker, '--per-worker', 1, 1_000_000) : null,
  };
}

/** A whole number that somebody typed. Throws DORMOUSE_USAGE. */
export function wholeNumber(text: string, what: string, least: number, most: number): number {
  const number = Number(text);
  if (/^\d+$/.test(text) && number >= least && number <= most) return number;
  throw new DormouseError(
    'DORMOUSE_USAGE',
    `${what} has to be a whole number from ${least} to ${most}, not "${text}"`,
    {
      userFault: true,
    },
  );
}
