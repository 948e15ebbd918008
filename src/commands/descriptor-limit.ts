/** How many connections fit into this process's file descriptors. */
import { readFileSync } from 'node:fs';

/** Descriptors that are neither a client's nor an endpoint's: Node's own, channels, listening sockets, logs. */
const OWN_DESCRIPTORS = 32;
/** Where the limit can't be read. */
const USUAL_DESCRIPTORS = 1024;
/** Descriptors that are left for connections to endpoints, at most: requests that find none wait for one. */
const UPSTREAM_DESCRIPTORS = 1500;

/** Clients get 60 % of the descriptors; of many, all but 1,500. Each request may need one more towards an endpoint, most find a kept connection. */
export function connectionsFor(descriptors: number): number {
  const free = descriptors - OWN_DESCRIPTORS;
  return Math.max(4, free - Math.min(Math.ceil(free * 0.4), UPSTREAM_DESCRIPTORS));
}

/** The soft limit of open files (Node raises it to the hard one at start). */
export function descriptorLimit(): number {
  try {
    const limit = /^Max open files\s+(\d+|unlimited)/m.exec(readFileSync('/proc/self/limits', 'utf8'))?.[1];
    if (limit === 'unlimited') return 1_000_000;
    return limit === undefined ? USUAL_DESCRIPTORS : Number(limit);
  } catch {
    return USUAL_DESCRIPTORS;
  }
}
