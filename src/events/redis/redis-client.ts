/** One connection to a Redis, by the client library, with bounds of our own: it is there within a time, or not at all, and never comes back by itself. */
import { addressOf, readSecrets, type RemoteBus } from '../bus-address.ts';
import { BusFault } from '../transport.ts';

/** TCP, TLS and password, ms. */
const CONNECT_MS = 3000;

/** What is used of the library's client. */
export interface RedisClient {
  sendCommand(args: readonly string[]): Promise<unknown>;
  destroy(): void;
}

interface LibraryClient extends RedisClient {
  connect(): Promise<unknown>;
  on(event: 'connect' | 'error' | 'end', listener: (error?: unknown) => void): unknown;
}

/** Rejects with a BusFault. `onLost` is called at most once, after it has resolved. `node`: of a Redis Cluster, in place of the URL's host. */
export async function openRedis(
  bus: RemoteBus,
  name: string,
  onLost: (fault: BusFault) => void,
  node: RedisNode | null = null,
): Promise<RedisClient> {
  const { password, tls } = await readSecrets(bus);
  const { createClient } = await import('redis');
  const url = new URL(bus.url);
  if (node !== null) {
    url.hostname = node.host;
    url.port = String(node.port);
  }
  const client = createClient({
    url: url.href,
    RESP: 2,
    ...(password === null ? {} : { password }),
    disableOfflineQueue: true,
    disableClientInfo: true,
    socket: {
      connectTimeout: CONNECT_MS,
      reconnectStrategy: false,
      ...(tls === null ? {} : { ...tls, tls: true as const }),
    },
  } as Parameters<typeof createClient>[0]) as unknown as LibraryClient;
  let state: 'opening' | 'open' | 'over' = 'opening';
  const lost = (reason: string): void => {
    if (state !== 'open') return;
    state = 'over';
    onLost(faultOf(reason, bus));
  };
  client.on('error', (error) => lost(error instanceof Error ? error.message : 'the connection was lost'));
  client.on('end', () => lost('the connection was closed'));
  // What is destroyed before it has a socket connects all the same, and would stay.
  client.on('connect', () => {
    if (state === 'over') destroy(client);
  });
  let timer: NodeJS.Timeout | undefined;
  try {
    const late = new Promise<never>((_, reject) => {
      timer = setTimeout(() => reject(new Error(`no connection within ${CONNECT_MS} ms`)), CONNECT_MS);
    });
    await Promise.race([client.connect(), late]);
    // Only a name in CLIENT LIST: nothing depends on the right to set it.
    client.sendCommand(['CLIENT', 'SETNAME', name.replaceAll(/[^!-~]/g, '_')]).catch(() => {});
    state = 'open';
    return client;
  } catch (error) {
    state = 'over';
    destroy(client);
    throw faultOf(error instanceof Error ? error.message : String(error), bus, error);
  } finally {
    clearTimeout(timer);
  }
}

export function destroy(client: RedisClient | null): void {
  try {
    client?.destroy();
  } catch {
    // It was closed already.
  }
}

export interface RedisNode {
  host: string;
  port: number;
}

/** `MOVED 1234 10.0.0.7:6379`: who of a Redis Cluster has the key; null: that is not what it says. */
export function movedTo(reason: string, bus: RemoteBus): RedisNode | null {
  const moved = /^MOVED \d+ (.*):(\d{1,5})$/.exec(reason);
  if (moved === null) return null;
  const host = moved[1] === '' ? new URL(bus.url).hostname : moved[1]!;
  return { host: host.includes(':') && !host.startsWith('[') ? `[${host}]` : host, port: Number(moved[2]) };
}

/** What to do about it, by how Redis's errors begin. */
const HINTS: readonly (readonly [RegExp, string])[] = [
  [/^NOAUTH/, 'it wants a password: write it into events.bus from a variable, or name events.passwordFile'],
  [
    /^WRONGPASS|invalid username-password|AUTH <password> called without/i,
    'correct user and password in events.bus or events.passwordFile',
  ],
  [/^NOPERM/, 'give the user the rights that docs/events.md lists, for keys that begin with events.stream'],
  [/^WRONGTYPE/, 'something else is stored under this key: name another events.stream, or delete the key'],
  [/^CROSSSLOT/, "it is a Redis Cluster: put a hash tag into the name, as in stream: '{dormouse}.traffic'"],
  [/^(?:MOVED|ASK)\b/, 'it is a Redis Cluster that is being changed: this ends by itself'],
  [/^CLUSTERDOWN/, 'see CLUSTER INFO of the Redis Cluster'],
  [/^READONLY/, 'it is a replica: name the primary in events.bus'],
  [/^OOM/, 'it has no memory left: raise its maxmemory, or lower events.maxLength'],
  [/^MISCONF/, 'it can not save to its disk: see its log'],
  [/^LOADING/, 'it reads its data: this ends by itself'],
  [/^ERR unknown command/, 'it lacks a command that docs/events.md lists: Redis 6.2 or newer is needed'],
  [/^ERR DB index/, 'it has no such database: correct the number at the end of events.bus'],
  [/ECONNREFUSED|EHOSTUNREACH|ENETUNREACH|ENOTFOUND|EAI_AGAIN/, 'start it, or correct the address in events.bus'],
  [/certificate|SSL|TLS/i, 'see events.tls: the authority that signed its certificate, and its name'],
];

export function faultOf(reason: string, bus: RemoteBus, cause?: unknown): BusFault {
  const hint =
    HINTS.find(([pattern]) => pattern.test(reason))?.[1] ??
    `see whether Redis at ${addressOf(bus.url)} runs and answers`;
  return new BusFault(reason, hint, cause);
}
