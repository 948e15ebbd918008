// A queue in a stream of NATS JetStream: the server keeps each message until a worker has acknowledged it, and gives it to another one when that takes
// longer than a lease. The stream and its consumer ("workers") are made when they are not there.
import { connect } from '@nats-io/transport-node';
import { readMessage } from './message.js';

const CONSUMER = 'workers';
const NO_SUCH = 404;
const WAIT_MS = 5000;
const REQUEST_MS = 5000;
const PUSHED_AT_ONCE = 500;

export class StreamSource {
  #connection;
  #stream;
  #leaseMs;

  static async open(connection, queue, { leaseMs = 10_000, stays = true } = {}) {
    const url = new URL(connection);
    const options = { servers: url.host, reconnect: stays, maxReconnectAttempts: -1, timeout: REQUEST_MS };
    if (url.username !== '') Object.assign(options, { user: decodeURIComponent(url.username) });
    if (url.password !== '') Object.assign(options, { pass: decodeURIComponent(url.password) });
    const source = new StreamSource(await connect(options), queue, leaseMs);
    try {
      await source.#make();
    } catch (error) {
      await source.close();
      throw error;
    }
    return source;
  }

  constructor(connection, stream, leaseMs) {
    this.#connection = connection;
    this.#stream = stream;
    this.#leaseMs = leaseMs;
  }

  async push(messages) {
    for (let index = 0; index < messages.length; index += PUSHED_AT_ONCE) {
      // The server's answer says that the stream has it.
      await Promise.all(
        messages.slice(index, index + PUSHED_AT_ONCE).map(async (message) => {
          const answer = await this.#connection.request(this.#stream, JSON.stringify(message), { timeout: REQUEST_MS });
          const { error } = answer.json();
          if (error !== undefined) throw new Error(error.description);
        }),
      );
    }
  }

  async take(signal) {
    do {
      const message = await this.#next(signal);
      if (message !== null) return message;
    } while (!signal.aborted);
    return null;
  }

  /** One attempt to get one message, WAIT_MS at most; null: there was none. */
  async #next(signal) {
    const inbox = this.#connection.subscribe(`_INBOX.${crypto.randomUUID()}`, { max: 1 });
    const stop = () => inbox.unsubscribe();
    signal.addEventListener('abort', stop, { once: true });
    try {
      const request = { batch: 1, expires: WAIT_MS * 1_000_000 };
      this.#connection.publish(`$JS.API.CONSUMER.MSG.NEXT.${this.#stream}.${CONSUMER}`, JSON.stringify(request), {
        reply: inbox.getSubject(),
      });
      const bound = setTimeout(stop, WAIT_MS + 1000);
      for await (const message of inbox) {
        clearTimeout(bound);
        // A status instead of a message: nothing came within that time.
        if (message.headers?.code) return null;
        return this.#inHand(message);
      }
      clearTimeout(bound);
      return null;
    } finally {
      signal.removeEventListener('abort', stop);
    }
  }

  #inHand(message) {
    // As long as it is being worked on the server is told so, and waits.
    const beat = setInterval(() => message.respond('+WPI'), this.#leaseMs / 3);
    const { id, text } = readMessage(message.string());
    return {
      id,
      text,
      done: async () => {
        clearInterval(beat);
        await this.#connection.request(message.reply, '+ACK', { timeout: REQUEST_MS });
        return true;
      },
    };
  }

  async stats() {
    const [{ state }, consumer] = await Promise.all([
      this.#ask(`STREAM.INFO.${this.#stream}`),
      this.#ask(`CONSUMER.INFO.${this.#stream}.${CONSUMER}`),
    ]);
    const { num_pending: depth, num_ack_pending: inFlight, delivered } = consumer;
    const taken = delivered.consumer_seq;
    // What is acknowledged leaves the stream.
    const done = state.last_seq - state.messages;
    // JetStream doesn't say what was acknowledged twice.
    return { depth, inFlight, taken, done, returned: taken - delivered.stream_seq, repeated: null, late: null };
  }

  async remove() {
    await this.#ask(`STREAM.DELETE.${this.#stream}`);
  }

  async close() {
    await this.#connection.close();
  }

  async #make() {
    const known = await this.#ask(`STREAM.INFO.${this.#stream}`, undefined, NO_SUCH);
    if (known === null) {
      const settings = { name: this.#stream, subjects: [this.#stream], retention: 'workqueue', storage: 'file' };
      await this.#ask(`STREAM.CREATE.${this.#stream}`, settings);
    }
    if ((await this.#ask(`CONSUMER.INFO.${this.#stream}.${CONSUMER}`, undefined, NO_SUCH)) !== null) return;
    const config = {
      durable_name: CONSUMER,
      ack_policy: 'explicit',
      ack_wait: this.#leaseMs * 1_000_000,
      max_ack_pending: 10_000,
    };
    await this.#ask(`CONSUMER.DURABLE.CREATE.${this.#stream}.${CONSUMER}`, { stream_name: this.#stream, config });
  }

  /** Of JetStream's own API; `allowed`: an error's code for which null is the answer. */
  async #ask(what, body, allowed = 0) {
    const answer = await this.#connection.request(`$JS.API.${what}`, body === undefined ? '' : JSON.stringify(body), {
      timeout: REQUEST_MS,
    });
    const { error, ...result } = answer.json();
    if (error === undefined) return result;
    if (error.code === allowed) return null;
    throw new Error(error.description);
  }
}
