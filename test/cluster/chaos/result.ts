/** What a scenario gave: a line of the table. */
import type { Witness } from '../fixtures/witness.ts';
import type { Line } from './ledger.ts';

export interface Result {
  name: string;
  requests: number;
  /** What counts: everything not answered that is in none of the other columns. */
  lost: Line[];
  /** On connections that a client had made straight to a pod before the redirect: nobody but the program can answer for them. */
  pinned: Line[];
  /** Under way at a gateway that was killed, or refused before its address was taken out of the Service. */
  ofKilled: Line[];
  /** POSTs that reached a program more than once. */
  duplicates: string[];
  /** Answered after a GET was sent once more (see Line.retried). */
  retried: number;
  /** Longest time that an answered request took, ms. */
  slowestMs: number;
  /** What is not as it should be in the end. */
  end: string[];
  seconds: number;
}

/** A killed gateway's address is listed until the kubelet, the operator and kube-proxy have looked. */
const LISTED_MS = 10_000;

export function judge(
  name: string,
  lines: readonly Line[],
  witness: Witness,
  { end, startedAtMs, killedAtMs }: { end: string[]; startedAtMs: number; killedAtMs?: number | undefined },
): Result {
  const result: Result = {
    name,
    requests: lines.length,
    lost: [],
    pinned: [],
    ofKilled: [],
    duplicates: [],
    retried: 0,
    slowestMs: 0,
    end,
    seconds: (Date.now() - startedAtMs) / 1000,
  };
  for (const line of lines) {
    if (line.retried) result.retried++;
    if (line.method === 'POST' && witness.pods(line.id).length > 1) result.duplicates.push(line.id);
    if (line.lost === null) result.slowestMs = Math.max(result.slowestMs, line.tookMs);
    else if (killedAtMs !== undefined && isOfKilled(line, killedAtMs)) result.ofKilled.push(line);
    else if (line.pinned) result.pinned.push(line);
    else result.lost.push(line);
  }
  return result;
}

function isOfKilled({ atMs, tookMs, lost }: Line, killedAtMs: number): boolean {
  const endedAtMs = atMs + tookMs;
  if (atMs <= killedAtMs && endedAtMs >= killedAtMs - 50) return true;
  return (
    /ECONNREFUSED|ECONNRESET|socket hang up/.test(lost ?? '') && atMs - killedAtMs < LISTED_MS && atMs > killedAtMs
  );
}

export function isClean({ lost, duplicates, end }: Result): boolean {
  return lost.length === 0 && duplicates.length === 0 && end.length === 0;
}

/** As a table in Markdown, one line for each result. */
export function table(results: readonly Result[]): string {
  const rows = [
    ['scenario', 'requests', 'lost', 'pinned', 'of killed gateway', 'POST twice', 'GET again', 'slowest s', 'end', 's'],
    ['---', '---:', '---:', '---:', '---:', '---:', '---:', '---:', '---', '---:'],
    ...results.map((one) => [
      one.name,
      String(one.requests),
      String(one.lost.length),
      String(one.pinned.length),
      String(one.ofKilled.length),
      String(one.duplicates.length),
      String(one.retried),
      (one.slowestMs / 1000).toFixed(1),
      one.end.join('; ') || 'as it should be',
      one.seconds.toFixed(0),
    ]),
  ];
  return rows.map((cells) => `| ${cells.join(' | ')} |`).join('\n');
}

/** Each loss with what is known of it, for whoever looks for its cause. */
export function details({ name, lost, pinned, ofKilled, duplicates }: Result): string[] {
  const one = (what: string) => (line: Line) =>
    `${name}: ${what} ${line.kind} ${line.method} ${line.id} at ${new Date(line.atMs).toISOString()} after ${line.tookMs} ms: ${line.lost ?? 'no end'}`;
  return [
    ...lost.map(one('lost')),
    ...pinned.map(one('pinned')),
    ...ofKilled.map(one('of killed gateway')),
    ...duplicates.map((id) => `${name}: POST ${id} reached programs more than once`),
  ];
}
