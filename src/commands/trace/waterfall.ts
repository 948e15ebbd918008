import type { Hops, TimingEntry } from './server-timing.ts';
import type { TimedResponse } from './timed-request.ts';

/** One bar: times are ms after the start. */
export interface Bar {
  /** Nesting, 0 for the client. */
  depth: number;
  label: string;
  startMs: number;
  durMs: number;
  /** Where it is. */
  at: 'client' | 'gateway' | 'application';
  detail: string;
}

/**
 * The hops as bars on one scale. Each hop tells times by its own clock, so that a hop is put in the middle of the wait of the one before it: the rest of that
 * wait is the way there and back. What an application reports has no beginning: its entries stand one after the other.
 */
export function waterfall(seen: TimedResponse, hops: Hops): Bar[] {
  const bars: Bar[] = [];
  const bar = (depth: number, at: Bar['at'], label: string, startMs: number, durMs: number, detail = ''): void => {
    bars.push({ depth, label, startMs: round(startMs), durMs: round(durMs), at, detail });
  };
  bar(0, 'client', 'client', 0, seen.totalMs, seen.address);
  if (seen.lookedUpMs > 0) bar(1, 'client', 'look-up', 0, seen.lookedUpMs);
  bar(1, 'client', 'connect', seen.lookedUpMs, seen.connectedMs - seen.lookedUpMs);
  if (seen.securedMs > seen.connectedMs) bar(1, 'client', 'TLS', seen.connectedMs, seen.securedMs - seen.connectedMs);
  let depth = 1;
  let waitStartMs = seen.securedMs;
  let waitMs = seen.firstByteMs - seen.securedMs;
  bar(depth, 'client', 'wait', waitStartMs, waitMs);
  for (const hop of hops.gateways) {
    depth++;
    const startMs = waitStartMs + Math.max(0, waitMs - hop.durMs) / 2;
    const name = ['gateway', hop.listener].filter((part) => part !== '').join(' ');
    const place = [hop.route === '' ? '' : `route ${hop.route}`, hop.backend === '' ? '' : `backend ${hop.backend}`];
    bar(depth, 'gateway', name, startMs, hop.durMs, place.filter((part) => part !== '').join(', '));
    let wait: TimingEntry | null = null;
    for (const span of hop.spans) {
      // The connection was accepted before the request's first byte, which is where the hop's clock begins.
      if (span.name === 'accept') continue;
      const isWait = span.name === 'first-byte' && span.desc !== 'failed';
      if (isWait) wait = span;
      const label = span.name === 'filter' ? `filter ${span.desc}` : isWait ? 'wait for' : span.name;
      const detail = span.name === 'filter' ? '' : span.desc;
      bar(depth + 1, 'gateway', label, startMs + span.startMs!, span.durMs, detail);
    }
    if (wait === null) {
      // It answered by itself: nothing is inside of it.
      waitMs = 0;
      waitStartMs = startMs + hop.durMs;
      continue;
    }
    depth++;
    waitStartMs = startMs + wait.startMs!;
    waitMs = wait.durMs;
  }
  let atMs = waitStartMs;
  for (const entry of hops.application) {
    bar(depth + 1, 'application', entry.name, atMs, entry.durMs, entry.desc);
    atMs += entry.durMs;
  }
  if (seen.totalMs > seen.firstByteMs)
    bar(1, 'client', 'body', seen.firstByteMs, seen.totalMs - seen.firstByteMs, `${seen.bodyBytes} bytes`);
  return bars;
}

function round(ms: number): number {
  return Math.round(Math.max(0, ms) * 1000) / 1000;
}
