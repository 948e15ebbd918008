/** Closed loop: each connection sends its next request when it has the answer to the last. */
import { join } from 'node:path';
import { writeFileSync } from 'node:fs';
import { runProgram } from '../processes.ts';

export interface WrkResult {
  requests: number;
  requestsPerSecond: number;
}

export interface WrkJob {
  url: string;
  seconds: number;
  connections: number;
  core: number | null;
  /** A POST with a body of that many bytes; without it: GET. */
  postBytes?: number;
  headers?: Readonly<Record<string, string>>;
  /** For the script of a POST. */
  dir: string;
}

export async function runWrk(job: WrkJob): Promise<WrkResult> {
  const script = join(job.dir, 'post.lua');
  if (job.postBytes !== undefined) {
    writeFileSync(
      script,
      `wrk.method = "POST"\nwrk.headers["content-type"] = "application/octet-stream"\nwrk.body = string.rep("x", ${job.postBytes})\n`,
    );
  }
  const text = await runProgram(
    [
      'wrk',
      '-t1',
      `-c${job.connections}`,
      `-d${job.seconds}s`,
      ...(job.postBytes === undefined ? [] : ['-s', script]),
      ...Object.entries(job.headers ?? {}).flatMap(([name, value]) => ['-H', `${name}: ${value}`]),
      job.url,
    ],
    { core: job.core },
    (job.seconds + 20) * 1000,
  );
  return parseWrk(text);
}

/** Throws when anything but a full answer with 2xx or 3xx was seen: a rate of errors is no rate. */
export function parseWrk(text: string): WrkResult {
  const errors = /Non-2xx or 3xx responses: \d+|Socket errors: .*/.exec(text)?.[0];
  const requests = /(\d+) requests in/.exec(text)?.[1];
  const rate = /Requests\/sec:\s+([\d.]+)/.exec(text)?.[1];
  if (errors !== undefined || requests === undefined || rate === undefined)
    throw new Error(`wrk: ${errors ?? ''}\n${text}`);
  return { requests: Number(requests), requestsPerSecond: Number(rate) };
}
