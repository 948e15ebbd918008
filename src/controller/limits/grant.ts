/** Beyond what it needs now a gateway gets at most this part of its fair share of what is free: the less there is, the smaller the batches, at last single ones. */
const PART = 4;

/**
 * How many of `free` a gateway gets that needs `need` and could use `more` besides, when `gateways` share them. With fewer than
 * `PART x gateways` free nobody gets more than it needs, so that small limits are exact. A gateway that is alone takes from nobody.
 */
export function granted(free: number, need: number, more: number, gateways: number): number {
  if (free <= need) return free;
  const spare = free - need;
  return need + Math.min(more, gateways <= 1 ? spare : Math.floor(spare / (PART * gateways)));
}

/** What came over the link, as a count. */
export function whole(value: unknown): number {
  return typeof value === 'number' && Number.isFinite(value) ? Math.max(0, Math.floor(value)) : 0;
}
