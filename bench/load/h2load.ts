/** Open loop: requests are sent at a fixed rate, whether or not earlier ones were answered. */
import { readFileSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { runProgram } from '../processes.ts';

export interface OpenLoopJob {
  url: string;
  /** Over all connections. */
  requestsPerSecond: number;
  connections: number;
  seconds: number;
  warmUpSeconds: number;
  core: number | null;
  dir: string;
}

/** Time of each request in µs; h2load itself leaves the warm-up out. Throws when one failed or when less than 90 % of the wanted rate was reached. */
export async function runOpenLoop(job: OpenLoopJob): Promise<number[]> {
  const log = join(job.dir, `h2load-${process.pid}.log`);
  rmSync(log, { force: true });
  await runProgram(
    [
      'h2load',
      '--h1',
      `-c${job.connections}`,
      `--rps=${Math.max(1, Math.round(job.requestsPerSecond / job.connections))}`,
      `-D${job.seconds}`,
      `--warm-up-time=${job.warmUpSeconds}`,
      `--log-file=${log}`,
      job.url,
    ],
    { core: job.core },
    (job.seconds + job.warmUpSeconds + 20) * 1000,
  );
  const durations = parseLog(readFileSync(log, 'utf8'));
  rmSync(log, { force: true });
  const reached = durations.length / job.seconds;
  if (reached < job.requestsPerSecond * 0.9) {
    throw new Error(
      `h2load reached ${reached.toFixed(0)} of ${job.requestsPerSecond.toFixed(0)} requests/s at ${job.url}`,
    );
  }
  return durations;
}

/** Columns: start in µs since the epoch, status, µs until the response's end. */
export function parseLog(text: string): number[] {
  const rows = text
    .split('\n')
    .filter((line) => line !== '')
    .map((line) => line.split('\t').map(Number));
  const failed = rows.filter((row) => row[1] !== 200);
  if (failed.length > 0)
    throw new Error(`${failed.length} of ${rows.length} requests failed, the first with status ${failed[0]?.[1]}`);
  return rows.map((row) => row[2] ?? NaN);
}

export interface ClosedLoopJob {
  url: string;
  requests: number;
  connections: number;
  /** At once on each connection. */
  streams: number;
  core: number | null;
}

/** HTTP/2, closed loop: a stream is begun when another one has its answer. Throws when not every request was answered with 2xx. */
export async function runClosedLoop(job: ClosedLoopJob): Promise<void> {
  const text = await runProgram(
    ['h2load', `-n${job.requests}`, `-c${job.connections}`, `-m${job.streams}`, job.url],
    { core: job.core },
    300_000,
  );
  checkSummary(text, job.requests);
}

/** h2load's last lines have to say that all went well. */
export function checkSummary(text: string, requests: number): void {
  const good = /^status codes: (\d+) 2xx/m.exec(text)?.[1];
  if (Number(good) !== requests || !/^Application protocol: h2c?$/m.test(text)) throw new Error(`h2load: ${text}`);
}
