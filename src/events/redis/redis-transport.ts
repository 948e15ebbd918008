import { createHash } from 'node:crypto';
import type { EventsConfig } from '../../model/config.ts';
import type { TrafficEvent } from '../../model/traffic-event.ts';
import type { RemoteBus } from '../bus-address.ts';
import { MOST_BACKEND_STREAMS, backendToken } from '../stream-names.ts';
import type { BusFault, Transport } from '../transport.ts';
import { PUBLISH_SCRIPT } from './publish-script.ts';
import { destroy, faultOf, movedTo, openRedis, type RedisClient, type RedisNode } from './redis-client.ts';

const SHA = createHash('sha1').update(PUBLISH_SCRIPT).digest('hex');

/** Publishes to Redis Streams: each event to `<stream>` and to `<stream>.<backend>`. */
export class RedisTransport implements Transport {
  onLost: (fault: BusFault) => void = () => {};
  readonly #bus: RemoteBus;
  readonly #stream: string;
  readonly #maxLength: string;
  readonly #name: string;
  /** Told when a backend's stream can't be appended to. */
  readonly #onRefused: (what: string, hint: string) => void;
  /** Backends whose streams are written, and their keys. */
  readonly #keys = new Map<string, string>();
  #client: RedisClient | null = null;
  /** Of a Redis Cluster: who has the keys. */
  #node: RedisNode | null = null;

  constructor(config: EventsConfig, bus: RemoteBus, name: string, onRefused: (what: string, hint: string) => void) {
    this.#bus = bus;
    this.#stream = config.stream;
    this.#maxLength = String(config.maxLength);
    this.#name = name;
    this.#onRefused = onRefused;
  }

  async connect(): Promise<void> {
    const node = this.#node;
    try {
      this.#client = await openRedis(this.#bus, this.#name, (fault) => this.onLost(fault), node);
    } catch (error) {
      // Whoever had the keys may be gone: the address of the configuration knows who has them now.
      this.#node = null;
      throw error;
    }
  }

  async send(events: readonly TrafficEvent[]): Promise<{ refused: number }> {
    const client = this.#client;
    if (client === null) throw faultOf('there is no connection', this.#bus);
    const keys = [this.#stream];
    const places = new Map<string, number>();
    const values: string[] = [this.#maxLength];
    for (const event of events) {
      let place = places.get(event.backend);
      if (place === undefined) {
        const key = this.#keyOf(event.backend);
        place = key === null ? 1 : keys.push(key);
        places.set(event.backend, place);
      }
      values.push(String(place), event.type, JSON.stringify(event));
    }
    const rest = [String(keys.length), ...keys, ...values];
    try {
      const answer = await this.#evaluate(client, rest);
      if (!isAnswer(answer)) throw new Error('its answer is not that of Redis to a script');
      const [refused, why] = answer;
      if (refused > 0) this.#onRefused(why, faultOf(why.slice(why.indexOf(': ') + 2), this.#bus).hint);
      return { refused };
    } catch (error) {
      const reason = error instanceof Error ? error.message : String(error);
      // The next connection goes there.
      this.#node = movedTo(reason, this.#bus) ?? this.#node;
      throw faultOf(reason, this.#bus, error);
    }
  }

  async #evaluate(client: RedisClient, rest: readonly string[]): Promise<unknown> {
    try {
      return await client.sendCommand(['EVALSHA', SHA, ...rest]);
    } catch (error) {
      // Redis forgets its scripts when it restarts.
      if (!String((error as Error).message).startsWith('NOSCRIPT')) throw error;
      return client.sendCommand(['EVAL', PUBLISH_SCRIPT, ...rest]);
    }
  }

  /** null: there are too many. */
  #keyOf(backend: string): string | null {
    let key = this.#keys.get(backend);
    if (key === undefined) {
      if (this.#keys.size >= MOST_BACKEND_STREAMS) return null;
      key = `${this.#stream}.${backendToken(backend)}`;
      this.#keys.set(backend, key);
    }
    return key;
  }

  disconnect(): void {
    destroy(this.#client);
    this.#client = null;
  }
}

function isAnswer(answer: unknown): answer is [refused: number, why: string] {
  return Array.isArray(answer) && answer.length === 2 && typeof answer[0] === 'number' && typeof answer[1] === 'string';
}
