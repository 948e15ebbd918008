/** What a scenario gave: a line of the table. */
import type { Witness } from '../fixtures/witness.ts';
import type { Line } from './ledger.ts';

export interface Result {
  name: string;
  /** Whether its programs drain. */
  drains: boolean;
  requests: number;
  /** What counts: everything not answered that is in none of the other columns. */
  lost: Line[];
  /** On connections that a client had made straight to a pod before the redirect: nobody but the program can answer for them. */
  pinned: Line[];
  /** Under way at a gateway as it was killed. */
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

/** How long a client may take to see that its connection has ended. */
const ENDS_MS = 2000;

export function judge(
  name: string,
  lines: readonly Line[],
  witness: Witness,
  {
    end,
    startedAtMs,
    killedAtMs,
    drains = true,
  }: { end: string[]; startedAtMs: number; killedAtMs?: number | undefined; drains?: boolean },
): Result {
  const result: Result = {
    name,
    drains,
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

/** Under way at that moment, on a connection that ended with it. One that is made afterwards, and refused as the gateway is listed still, is lost like any other. */
function isOfKilled({ atMs, tookMs, lost }: Line, killedAtMs: number): boolean {
  const endedAtMs = atMs + tookMs;
  if (/ECONNREFUSED/.test(lost ?? '')) return false;
  return atMs <= killedAtMs && endedAtMs >= killedAtMs - 50 && endedAtMs <= killedAtMs + ENDS_MS;
}

/** A program that ends at once may take with it what is on connections of its own; one that drains may lose nothing. */
export function isClean({ lost, pinned, drains, duplicates, end }: Result): boolean {
  return lost.length + (drains ? pinned.length : 0) + duplicates.length + end.length === 0;
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

/** Of one kind: those after them are the same again. */
const SHOWN = 5;

/** Losses with what is known of them, for whoever looks for their cause; the first of each kind. */
export function details({ name, lost, pinned, ofKilled, duplicates }: Result): string[] {
  const told: string[] = [];
  const kinds = new Map<string, number>();
  const tell = (what: string, lines: readonly Line[]): void => {
    for (const line of lines) {
      const kind = `${what} ${line.kind} ${(line.lost ?? '').slice(0, 30)}`;
      const seen = (kinds.get(kind) ?? 0) + 1;
      kinds.set(kind, seen);
      const at = new Date(line.atMs).toISOString();
      if (seen <= SHOWN)
        told.push(
          `${name}: ${what} ${line.kind} ${line.method} ${line.id} at ${at} after ${line.tookMs} ms: ${line.lost ?? 'no end'}`,
        );
    }
  };
  tell('lost', lost);
  tell('pinned', pinned);
  tell('of killed gateway', ofKilled);
  for (const [kind, seen] of kinds) if (seen > SHOWN) told.push(`${name}: ${seen} of ${kind}`);
  for (const id of duplicates) told.push(`${name}: POST ${id} reached programs more than once`);
  return told;
}
