/** The keys of a backend that say when an endpoint, or all of them, get no requests: health, ejection, breaker. */
import { z } from 'zod';
import {
  Rejected,
  duration,
  number,
  percent,
  requestPath,
  responseHeaders,
  scalar,
  section,
  statusRange,
  text,
  TIMER_MS,
} from './scalars.ts';

/** Longest body that stands in the file itself or that a file may have, bytes. */
export const MAX_ANSWER_BYTES = 1_048_576;

export function healthSection() {
  return section({
    http: requestPath().optional(),
    interval: duration({ minMs: 100, maxMs: 86_400_000 }).prefault('5s'),
    timeout: duration({ minMs: 1, maxMs: TIMER_MS }).prefault('2s'),
    status: statusRange().prefault('200-399'),
    rise: number({ min: 1, max: 1000 }).prefault(2),
    fall: number({ min: 1, max: 1000 }).prefault(3),
  }).optional();
}

/** A mapping, or off: on is the default. */
export function ejectionSection() {
  const off = scalar<null>({ enum: ['off', false] }, (value) =>
    value === 'off' || value === false ? null : new Rejected('expected a mapping or off'),
  );
  const mapping = section({
    consecutiveErrors: number({ min: 0, max: 1_000_000 }).prefault(5),
    failurePercent: percent({ min: 0, max: 100 }).prefault(85),
    minimumRequests: number({ min: 1, max: 1_000_000 }).prefault(20),
    window: duration({ minMs: 1000, maxMs: 3_600_000 }).prefault('10s'),
    base: duration({ minMs: 1, maxMs: 86_400_000 }).prefault('30s'),
    maxEjectedPercent: percent({ min: 0, max: 100 }).prefault(50),
  });
  return z.union([mapping, off]).prefault({});
}

export function breakerSection() {
  return section({
    failurePercent: number({ min: 0, max: 100, whole: false, above: true }).prefault(50),
    window: duration({ minMs: 1000, maxMs: 3_600_000 }).prefault('10s'),
    minimumRequests: number({ min: 1, max: 1_000_000 }).prefault(20),
    openFor: duration({ minMs: 1, maxMs: 86_400_000 }).prefault('30s'),
    trials: number({ min: 1, max: 1000 }).prefault(5),
    fallback: section({
      status: number({ min: 200, max: 599 }).prefault(503),
      headers: responseHeaders().prefault({}),
      body: text({ max: MAX_ANSWER_BYTES, empty: true, lines: true }).optional(),
      file: text().optional(),
    }).prefault({}),
  }).optional();
}
