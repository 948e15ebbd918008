// A queue in a Redis list, first in first out, with acknowledgement: nothing is lost when a worker dies.
//
// KEY                    what it is
// queue                  the list: producers append at the right (RPUSH), workers take from the left
// queue:processing       the list of what is in flight: "worker|message". A message is in one of the two lists at any moment, never in none
// queue:worker:NAME      there as long as this worker lives: it expires when the worker hasn't renewed it for the length of a lease
// queue:counts           a hash of numbers: taken, done, returned, repeated, late
// queue:ids              which ids are done, the last 100,000: whether one was done twice
//
// Each step that touches two keys is one script, which Redis runs as a whole or not at all.
import { createClient } from 'redis';
import { readMessage } from './message.js';

const MAX_IDS = 100_000;
const WAIT_SECONDS = 5;
const PUSHED_AT_ONCE = 500;

const TAKE = `
  redis.call('SET', KEYS[4], '1', 'PX', ARGV[2])
  local message = redis.call('LPOP', KEYS[1])
  if not message then return nil end
  redis.call('RPUSH', KEYS[2], ARGV[1] .. '|' .. message)
  redis.call('HINCRBY', KEYS[3], 'taken', 1)
  return message`;

// Whoever comes late, because it was taken for dead and its message given to another, is told so by 0.
const DONE = `
  if redis.call('LREM', KEYS[1], 1, ARGV[1]) == 0 then
    redis.call('HINCRBY', KEYS[2], 'late', 1)
    return 0
  end
  local done = redis.call('HINCRBY', KEYS[2], 'done', 1)
  if redis.call('ZADD', KEYS[3], 'NX', done, ARGV[2]) == 0 then redis.call('HINCRBY', KEYS[2], 'repeated', 1) end
  redis.call('ZREMRANGEBYRANK', KEYS[3], 0, -1 - tonumber(ARGV[3]))
  return 1`;

// What dead workers had goes back to the front, in the order in which it was taken.
const REAP = `
  local flying = redis.call('LRANGE', KEYS[2], 0, -1)
  local alive = {}
  local returned = 0
  for index = #flying, 1, -1 do
    local worker, message = string.match(flying[index], '^([^|]*)|(.*)$')
    if worker then
      if alive[worker] == nil then alive[worker] = redis.call('EXISTS', ARGV[1] .. worker) == 1 end
      if not alive[worker] then
        redis.call('LREM', KEYS[2], -1, flying[index])
        redis.call('LPUSH', KEYS[1], message)
        returned = returned + 1
      end
    end
  end
  if returned > 0 then redis.call('HINCRBY', KEYS[3], 'returned', returned) end
  return returned`;

export class ListSource {
  #client;
  /** A blocking command keeps its connection busy, so it has one of its own. */
  #waiting = null;
  #keys;
  #worker;
  #leaseMs;
  #beat = null;

  static async open(connection, queue, { worker = null, leaseMs = 10_000, stays = true, log = () => {} } = {}) {
    // A worker goes on when Redis is back; whoever does one thing says that it can't be done, once there was time for a Service to lead to a pod that has just begun.
    const reconnectStrategy = (attempt, cause) => (stays ? Math.min(attempt * 100, 2000) : attempt < 25 ? 200 : cause);
    const client = createClient({ url: connection, socket: { reconnectStrategy } });
    let told = '';
    client.on('error', (error) => {
      // Once for each kind of trouble, not for each attempt.
      const text = error.message || error.code || String(error);
      if (text !== told) log(`Redis: ${text}`);
      told = text;
    });
    client.on('ready', () => (told = ''));
    await client.connect();
    return new ListSource(client, queue, worker, leaseMs);
  }

  constructor(client, queue, worker, leaseMs) {
    this.#client = client;
    this.#worker = worker;
    this.#leaseMs = leaseMs;
    this.#keys = {
      queue,
      processing: `${queue}:processing`,
      counts: `${queue}:counts`,
      ids: `${queue}:ids`,
      worker: `${queue}:worker:`,
    };
    if (worker === null) return;
    this.#beat = setInterval(() => void this.#renew().catch(() => {}), leaseMs / 3);
  }

  async push(messages) {
    for (let index = 0; index < messages.length; index += PUSHED_AT_ONCE) {
      const texts = messages.slice(index, index + PUSHED_AT_ONCE).map((message) => JSON.stringify(message));
      await this.#client.rPush(this.#keys.queue, texts);
    }
  }

  async take(signal) {
    const { queue, processing, counts, worker } = this.#keys;
    do {
      const text = await this.#client.eval(TAKE, {
        keys: [queue, processing, counts, worker + this.#worker],
        arguments: [this.#worker, String(this.#leaseMs)],
      });
      if (text !== null) return { ...readMessage(text), done: () => this.#done(text) };
      await this.#untilThereIsSomething(signal);
    } while (!signal.aborted);
    return null;
  }

  async #done(text) {
    const { processing, counts, ids } = this.#keys;
    const { id } = readMessage(text);
    const accepted = await this.#client.eval(DONE, {
      keys: [processing, counts, ids],
      arguments: [`${this.#worker}|${text}`, id, String(MAX_IDS)],
    });
    return accepted === 1;
  }

  async stats() {
    const { queue, processing, counts } = this.#keys;
    const [depth, inFlight, numbers] = await Promise.all([
      this.#client.lLen(queue),
      this.#client.lLen(processing),
      this.#client.hGetAll(counts),
    ]);
    const count = (name) => Number(numbers[name] ?? 0);
    return {
      depth,
      inFlight,
      taken: count('taken'),
      done: count('done'),
      returned: count('returned'),
      repeated: count('repeated'),
      late: count('late'),
    };
  }

  /** Everything of this queue. */
  async remove() {
    const { queue, processing, counts, ids } = this.#keys;
    await this.#client.del([queue, processing, counts, ids]);
  }

  async close() {
    clearInterval(this.#beat);
    this.#waiting?.destroy();
    if (this.#worker !== null) await this.#client.del(this.#keys.worker + this.#worker).catch(() => {});
    this.#client.destroy();
  }

  /** Says that this worker lives, and gives back what dead ones had. */
  async #renew() {
    const { queue, processing, counts, worker } = this.#keys;
    await this.#client.set(worker + this.#worker, '1', { expiration: { type: 'PX', value: this.#leaseMs } });
    await this.#client.eval(REAP, { keys: [queue, processing, counts], arguments: [worker] });
  }

  /** Moving the first message to where it is changes nothing, and waits until there is one. */
  async #untilThereIsSomething(signal) {
    await this.#renew();
    if (this.#waiting === null) {
      this.#waiting = this.#client.duplicate();
      this.#waiting.on('error', () => {});
      await this.#waiting.connect();
    }
    const { queue } = this.#keys;
    const aborted = Promise.withResolvers();
    const onAbort = () => aborted.resolve();
    signal.addEventListener('abort', onAbort, { once: true });
    if (signal.aborted) onAbort();
    try {
      const something = this.#waiting.blMove(queue, queue, 'LEFT', 'LEFT', WAIT_SECONDS);
      something.catch(() => {});
      await Promise.race([something, aborted.promise]);
    } finally {
      signal.removeEventListener('abort', onAbort);
    }
  }
}
