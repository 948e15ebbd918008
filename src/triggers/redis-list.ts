/**
 * The length of a Redis list, and of the list in which workers keep what they are at, when they have one.
 *
 * While there is nothing, a connection of its own waits in `BLMOVE list list LEFT LEFT`: it returns at the first message, and moves that message to where it
 * is, so that nothing is taken and the order stays. It needs Redis 6.2 and the right to write the list; without them there is only asking.
 */
import { NoLook, measured, poll, some, type Source } from './polling.ts';
import { REDIS_BOUND_MS, RedisClient, redisSentence, type RedisServerOptions } from './redis-client.ts';
import type { TriggerContext, TriggerDefinition, TriggerReport } from './trigger.ts';

export interface RedisListOptions {
  server: RedisServerOptions;
  list: string;
  /** Where workers move what they are at: `BLMOVE list processing LEFT RIGHT`. null: it is not known what they are at. */
  processingList: string | null;
  /** Messages that one instance is meant to have. */
  target: number;
  activation: number;
  pollingMs: number;
}

/** How long one look waits, seconds: a connection that broke without a word is not believed for longer. */
const LOOK_SECONDS = 20;

export const redisList: TriggerDefinition = {
  start(options: RedisListOptions, signal, report, context) {
    return poll({
      pollingMs: options.pollingMs,
      boundMs: REDIS_BOUND_MS,
      open: async (bound) => new RedisList(options, await RedisClient.open(options.server, context, bound), context),
      signal,
      report,
      context,
    });
  },
};

class RedisList implements Source {
  readonly #options: RedisListOptions;
  readonly #client: RedisClient;
  readonly #context: TriggerContext;
  #looking: RedisClient | null = null;
  #waiting = 0;
  #closed = false;

  constructor(options: RedisListOptions, client: RedisClient, context: TriggerContext) {
    this.#options = options;
    this.#client = client;
    this.#context = context;
  }

  async read(signal: AbortSignal): Promise<TriggerReport> {
    const { list, processingList, target, activation } = this.#options;
    const length = async (name: string, option: string): Promise<number> => {
      try {
        return Number(await this.#client.command(['LLEN', name], signal));
      } catch (error) {
        throw new Error(redisSentence(error, this.#client.address, { name, type: 'list', option }), { cause: error });
      }
    };
    const [waiting, inFlight] = await Promise.all([
      length(list, 'listName'),
      processingList === null ? 0 : length(processingList, 'processingListName'),
    ]);
    this.#waiting = waiting;
    const busy = inFlight === 0 ? '' : `, ${inFlight} in ${String(processingList)} in work`;
    const reason = `${some(waiting, 'message', 'wait')} in ${list}${busy}`;
    return measured({ value: waiting + inFlight, target, activation, inFlight, reason });
  }

  arrival(signal: AbortSignal): Promise<void> | null {
    // It would come back at once for what is known already.
    return this.#waiting > 0 ? null : this.#look(signal);
  }

  async #look(signal: AbortSignal): Promise<void> {
    const { list, server } = this.#options;
    this.#looking ??= await RedisClient.open(server, this.#context, signal);
    const looking = this.#looking;
    if (this.#closed) return looking.close();
    try {
      await looking.command(
        ['BLMOVE', list, list, 'LEFT', 'LEFT', String(LOOK_SECONDS)],
        signal,
        LOOK_SECONDS * 1000 + REDIS_BOUND_MS,
      );
    } catch (error) {
      looking.close();
      if (this.#looking === looking) this.#looking = null;
      const said = error instanceof Error ? error.message : '';
      if (/^(NOPERM|READONLY)|unknown command/i.test(said))
        throw new NoLook(`a look that waits needs Redis 6.2 and the right to BLMOVE ${list}: ${said.slice(0, 120)}`);
      throw error;
    }
  }

  close(): void {
    this.#closed = true;
    this.#client.close();
    this.#looking?.close();
  }
}
