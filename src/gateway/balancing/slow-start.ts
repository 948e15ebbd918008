/** Share of its weight that an endpoint begins with. */
const FIRST_SHARE = 0.1;

/**
 * Share of its weight that an endpoint has `sinceMs` after it became ready, rising evenly to 1 over `slowStartMs`. Never less than a tenth: with less an
 * endpoint would get its first request late on a quiet backend, and would still be cold when its share is full.
 */
export function slowStartShare(sinceMs: number, slowStartMs: number): number {
  return sinceMs >= slowStartMs ? 1 : Math.max(FIRST_SHARE, sinceMs / slowStartMs);
}
