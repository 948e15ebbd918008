import type { Hops } from './server-timing.ts';
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
  const waitMs = seen.firstByteMs - seen.securedMs;
  bar(1, 'client', 'wait', seen.securedMs, waitMs);

  /** What is inside of a wait: the next gateway, or the application. */
  const inside = (index: number, depth: number, waitStartMs: number, waitedMs: number): void => {
    const hop = hops.gateways[index];
    if (hop === undefined) {
      let atMs = waitStartMs;
      for (const entry of hops.application) {
        bar(depth, 'application', entry.name, atMs, entry.durMs, entry.desc);
        atMs += entry.durMs;
      }
      return;
    }
    const startMs = waitStartMs + Math.max(0, waitedMs - hop.durMs) / 2;
    const name = ['gateway', hop.listener].filter((part) => part !== '').join(' ');
    const place = [hop.route === '' ? '' : `route ${hop.route}`, hop.backend === '' ? '' : `backend ${hop.backend}`];
    bar(depth, 'gateway', name, startMs, hop.durMs, place.filter((part) => part !== '').join(', '));
    let asked = false;
    for (const span of hop.spans) {
      // The connection was accepted before the request's first byte, which is where the hop's clock begins.
      if (span.name === 'accept') continue;
      const isWait = span.name === 'first-byte' && span.desc !== 'failed';
      const isFilter = span.name === 'filter' || span.name === 'response-filter';
      const label = isWait ? 'wait for' : span.name.replace('-', ' ');
      const spanStartMs = startMs + span.startMs!;
      bar(
        depth + 1,
        'gateway',
        isFilter ? `${label} ${span.desc}` : label,
        spanStartMs,
        span.durMs,
        isFilter ? '' : span.desc,
      );
      if (isWait) inside(index + 1, depth + 2, spanStartMs, span.durMs);
      asked ||= isWait;
    }
    // One that answered by itself has nothing inside of it; what was reported all the same is told beside it.
    if (!asked) inside(index + 1, depth + 1, startMs + hop.durMs, 0);
  };
  inside(0, 2, seen.securedMs, waitMs);
  if (seen.totalMs > seen.firstByteMs)
    bar(1, 'client', 'body', seen.firstByteMs, seen.totalMs - seen.firstByteMs, `${seen.bodyBytes} bytes`);
  return bars;
}

function round(ms: number): number {
  return Math.round(Math.max(0, ms) * 1000) / 1000;
}
