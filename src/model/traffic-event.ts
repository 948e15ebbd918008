/**
 * What the traffic of backends did, as it is told to anybody who asks: JSON, documented in docs/events.md. Fields are added within a version; one that changes its meaning, or goes, makes
 * a new version. Times are wall clock ms since the epoch.
 */
export const TRAFFIC_EVENT_VERSION = 1;

interface Common {
  v: typeof TRAFFIC_EVENT_VERSION;
  /** Unique; an event that is published again after a fault of the bus has the same. At most 96 characters. */
  id: string;
  /** Who saw it: the machine's name, or that of the gateway's pod. */
  gateway: string;
  backend: string;
}

/** The first request that found its backend asleep. Published at once, before the request is forwarded; one a gateway and wake. */
export interface WakeEvent extends Common {
  type: 'wake';
  atMs: number;
  route: string;
  requestId: string;
  /** `method` is '' for a raw connection. `host`: at most 255 characters; `path`: without query, at most 200. */
  by: { method: string; host: string; path: string };
}

/** About a second of one backend, sent while there was anything to say, and with zeros once when it became quiet. */
export interface WindowEvent extends Common {
  type: 'window';
  fromMs: number;
  toMs: number;
  /** That arrived. */
  requests: number;
  /** Integral over the window of requests in flight or held, in request-milliseconds. */
  concurrencyMs: number;
  /** Requests that ended with 5xx or a broken transfer. */
  errors: number;
  /** Bodies of the requests that ended in the window, and of their responses; those of tunnels when they end. */
  bytesIn: number;
  bytesOut: number;
  /** At its end. Held ones are not in flight; tunnels (WebSocket, raw TCP) are neither. */
  inFlight: number;
  held: number;
  tunnels: number;
}

/** One request that ended (`events.each`). */
export interface RequestEvent extends Common {
  type: 'request';
  /** Of its arrival. */
  atMs: number;
  route: string;
  /** 0: the client got none. */
  status: number;
  /** Holds included, in steps of 0.01 ms. */
  durationMs: number;
  bytesIn: number;
  bytesOut: number;
  /** It had to wait for a wake. */
  cold: boolean;
}

export type TrafficEvent = WakeEvent | WindowEvent | RequestEvent;

const NUMBERS = {
  wake: ['atMs'],
  window: [
    'fromMs',
    'toMs',
    'requests',
    'concurrencyMs',
    'errors',
    'bytesIn',
    'bytesOut',
    'inFlight',
    'held',
    'tunnels',
  ],
  request: ['atMs', 'status', 'durationMs', 'bytesIn', 'bytesOut'],
} as const;

/** Reads what a stream held; null when it is no event of this version: streams are shared with others, and outlive programs. */
export function readTrafficEvent(text: string): TrafficEvent | null {
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch {
    return null;
  }
  if (typeof value !== 'object' || value === null) return null;
  const event = value as Record<string, unknown>;
  if (event.v !== TRAFFIC_EVENT_VERSION || typeof event.type !== 'string' || !Object.hasOwn(NUMBERS, event.type))
    return null;
  for (const key of ['id', 'gateway', 'backend']) if (typeof event[key] !== 'string') return null;
  for (const key of NUMBERS[event.type as keyof typeof NUMBERS]) if (typeof event[key] !== 'number') return null;
  return value as TrafficEvent;
}
