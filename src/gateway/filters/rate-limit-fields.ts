/**
 * What a client is told about its limit: `RateLimit` and `RateLimit-Policy` (draft-ietf-httpapi-ratelimit-headers-10), and the three fields of the drafts
 * before (up to -06), which most clients that look at any know.
 */
import type { BucketTerms } from '../../model/token-bucket.ts';
import type { LimitDecision } from '../limits/shared-limits.ts';
import type { RequestEdit } from './edits.ts';

export type RateFieldsKind = 'both' | 'standard' | 'legacy' | 'off';

const LEGACY = /RateLimit-Limit: \d+\r\nRateLimit-Remaining: (\d+)\r\nRateLimit-Reset: \d+\r\n/;

/** `policy`: the limit's name, a token. */
export function rateFields(
  kind: RateFieldsKind,
  policy: string,
  { limit, windowMs, burst }: BucketTerms,
): (edit: RequestEdit, decision: LimitDecision) => void {
  if (kind === 'off') return () => {};
  // The quota is the whole bucket, the window the time in which it fills.
  const windowSeconds = (burst * windowMs) / limit / 1000;
  const window = Number.isInteger(windowSeconds) ? `;w=${windowSeconds}` : '';
  const policyLine = `RateLimit-Policy: "${policy}";q=${burst}${window}\r\n`;
  return (edit, { allowed, remaining, resetMs }) => {
    const reset = Math.ceil(resetMs / 1000);
    if (kind !== 'legacy')
      // Lists: several limits add a line each.
      edit.responseLines += `${policyLine}RateLimit: "${policy}";r=${remaining};t=${reset}\r\n`;
    if (kind === 'standard') return;
    const lines = `RateLimit-Limit: ${burst}\r\nRateLimit-Remaining: ${remaining}\r\nRateLimit-Reset: ${reset}\r\n`;
    const before = edit.responseLines === '' ? null : LEGACY.exec(edit.responseLines);
    if (before === null) edit.responseLines += lines;
    // One value each: the limit that leaves least is told.
    else if (!allowed || remaining < Number(before[1])) edit.responseLines = edit.responseLines.replace(LEGACY, lines);
  };
}
