/**
 * A Redis stream: its length, or of a consumer group what is delivered and not acknowledged (pending) or what was not delivered yet (lag), as KEDA decides by
 * the keys that are given. Pending entries are in work: while there are any, the backend stays awake. Entries that wait wake it in both modes of a group.
 *
 * While there is nothing, a connection of its own waits in `XREAD BLOCK` behind the stream's last entry.
 */
import { measured, poll, some, NoLook, type Source } from './polling.ts';
import { REDIS_BOUND_MS, RedisClient, redisSentence, type RedisServerOptions } from './redis-client.ts';
import type { TriggerContext, TriggerDefinition, TriggerReport } from './trigger.ts';

export interface RedisStreamsOptions {
  server: RedisServerOptions;
  stream: string;
  /** null: the stream as a whole. */
  group: string | null;
  mode: 'length' | 'pending' | 'lag';
  /** Of one instance. */
  target: number;
  activation: number;
  pollingMs: number;
}

const LOOK_MS = 20_000;
const FIRST_ID = '0-0';

export const redisStreams: TriggerDefinition = {
  start(options: RedisStreamsOptions, signal, report, context) {
    // Over all connections: what was there and is gone has vanished, what never was has not begun.
    const seen = { stream: false, group: false };
    return poll({
      pollingMs: options.pollingMs,
      boundMs: REDIS_BOUND_MS,
      open: async (bound) =>
        new RedisStream(options, await RedisClient.open(options.server, context, bound), context, seen),
      signal,
      report,
      context,
    });
  },
};

interface Seen {
  stream: boolean;
  group: boolean;
}

class RedisStream implements Source {
  readonly #options: RedisStreamsOptions;
  readonly #client: RedisClient;
  readonly #context: TriggerContext;
  readonly #seen: Seen;
  #looking: RedisClient | null = null;
  #lastId = FIRST_ID;
  #closed = false;

  constructor(options: RedisStreamsOptions, client: RedisClient, context: TriggerContext, seen: Seen) {
    this.#options = options;
    this.#client = client;
    this.#context = context;
    this.#seen = seen;
  }

  async read(signal: AbortSignal): Promise<TriggerReport> {
    const { stream, group } = this.#options;
    const ask = (command: string): Promise<unknown> => this.#client.command(['XINFO', command, stream], signal);
    let about: Record<string, unknown>;
    let groups: unknown = [];
    try {
      // In this order: what comes after the last id that was told is in the numbers, or is seen by the look.
      const answers = await Promise.all([ask('STREAM'), group === null ? [] : ask('GROUPS')]);
      about = record(answers[0]);
      groups = answers[1];
    } catch (error) {
      if (!/no such key/i.test((error as Error).message)) throw this.#sentence(error);
      return this.#absent();
    }
    this.#seen.stream = true;
    this.#lastId = String(about['last-generated-id'] ?? FIRST_ID);
    const length = Number(about['length']);
    return group === null ? this.#ofLength(length) : this.#ofGroup(group, groups, length);
  }

  #absent(): TriggerReport {
    const { stream } = this.#options;
    if (this.#seen.stream)
      throw new Error(
        `the stream ${stream} in Redis ${this.#client.address} was there and is gone: see who deletes it; it is taken up again when it is back`,
      );
    this.#lastId = FIRST_ID;
    return this.#measured(0, 0, 0, `there is no stream ${stream} yet`);
  }

  #ofLength(length: number): TriggerReport {
    return this.#measured(length, 0, length, `${some(length, 'entry')} in ${this.#options.stream}`);
  }

  #ofGroup(group: string, groups: unknown, length: number): TriggerReport {
    const { stream, mode } = this.#options;
    const found = (Array.isArray(groups) ? groups : []).map(record).find((one) => one['name'] === group);
    if (found === undefined) {
      if (this.#seen.group)
        throw new Error(
          `the group ${group} of ${stream} in Redis ${this.#client.address} was there and is gone: make it with XGROUP CREATE ${stream} ${group} 0`,
        );
      const reason = `${some(length, 'entry', 'wait')} in ${stream}, whose group ${group} nobody has made yet`;
      return this.#measured(mode === 'lag' ? length : 0, 0, length, reason);
    }
    this.#seen.group = true;
    const pending = Number(found['pending']);
    const { lag, exact } = lagOf(found, this.#lastId, length);
    const reason = `${exact ? '' : 'at most '}${some(lag, 'entry', 'wait')} in ${stream} for ${group}, ${pending} in work`;
    return this.#measured(mode === 'lag' ? lag : pending, pending, lag, reason);
  }

  #measured(value: number, inFlight: number, waiting: number, reason: string): TriggerReport {
    const { target, activation } = this.#options;
    const report = measured({ value, target, activation, inFlight, reason });
    // Entries that nobody has read are not pending: without this nobody would ever wake to read them.
    return waiting > activation && this.#options.group !== null ? { ...report, active: true } : report;
  }

  async arrival(signal: AbortSignal): Promise<void> {
    const { server, stream } = this.#options;
    this.#looking ??= await RedisClient.open(server, this.#context, signal);
    const looking = this.#looking;
    if (this.#closed) return looking.close();
    const command = ['XREAD', 'COUNT', '1', 'BLOCK', String(LOOK_MS), 'STREAMS', stream, this.#lastId];
    try {
      await looking.command(command, signal, LOOK_MS + REDIS_BOUND_MS);
    } catch (error) {
      looking.close();
      if (this.#looking === looking) this.#looking = null;
      const said = error instanceof Error ? error.message : '';
      if (said.startsWith('NOPERM')) throw new NoLook(`a look that waits needs the right to XREAD ${stream}`);
      throw error;
    }
  }

  close(): void {
    this.#closed = true;
    this.#client.close();
    this.#looking?.close();
  }

  #sentence(error: unknown): Error {
    const key = { name: this.#options.stream, type: 'stream', option: 'stream' };
    return new Error(redisSentence(error, this.#client.address, key), { cause: error });
  }
}

/** Redis does not know the lag of a group that was set to some entry by hand, or of a stream in which entries were deleted. */
function lagOf(group: Record<string, unknown>, lastId: string, length: number): { lag: number; exact: boolean } {
  const { lag } = group;
  if (lag !== null && lag !== undefined) return { lag: Number(lag), exact: true };
  return group['last-delivered-id'] === lastId ? { lag: 0, exact: true } : { lag: length, exact: false };
}

/** Names and values in turn. */
function record(reply: unknown): Record<string, unknown> {
  if (!Array.isArray(reply)) return (reply ?? {}) as Record<string, unknown>;
  const named: Record<string, unknown> = {};
  for (let at = 0; at + 1 < reply.length; at += 2) named[String(reply[at])] = reply[at + 1];
  return named;
}
