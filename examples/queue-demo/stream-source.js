// A queue in a stream of NATS JetStream: the server keeps each message until a worker has acknowledged it, and gives it to another one when that takes
// longer than a lease. The stream and its consumer ("workers") are made when they are not there.
import { readMessage } from './message.js';
import { Nats } from './nats.js';

const CONSUMER = 'workers';
const NO_SUCH = 404;
const NO_RESPONDERS = 503;
const WAIT_MS = 5000;
const REQUEST_MS = 5000;
const PUSHED_AT_ONCE = 500;

export class StreamSource {
  #nats;
  #stream;
  #leaseMs;

  static async open(connection, queue, { leaseMs = 10_000, stays = true, log = () => {} } = {}) {
    const source = new StreamSource(await Nats.connect(connection, { stays, log }), queue, leaseMs);
    try {
      await source.#make();
    } catch (error) {
      await source.close();
      throw error;
    }
    return source;
  }

  constructor(nats, stream, leaseMs) {
    this.#nats = nats;
    this.#stream = stream;
    this.#leaseMs = leaseMs;
  }

  async push(messages) {
    for (let index = 0; index < messages.length; index += PUSHED_AT_ONCE) {
      // The server's answer says that the stream has it.
      await Promise.all(
        messages.slice(index, index + PUSHED_AT_ONCE).map(async (message) => {
          answerOf(await this.#nats.ask(this.#stream, JSON.stringify(message), REQUEST_MS));
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
    const request = { batch: 1, expires: WAIT_MS * 1_000_000 };
    const subject = `$JS.API.CONSUMER.MSG.NEXT.${this.#stream}.${CONSUMER}`;
    const message = await this.#nats.ask(subject, JSON.stringify(request), WAIT_MS + 1000, signal);
    // A status instead of a message: nothing came within that time.
    return message === null || message.status > 0 ? null : this.#inHand(message);
  }

  #inHand(message) {
    // As long as it is being worked on the server is told so, and waits.
    const beat = setInterval(() => void this.#nats.publish(message.reply, '+WPI'), this.#leaseMs / 3);
    const { id, text } = readMessage(message.text);
    return {
      id,
      text,
      done: async () => {
        clearInterval(beat);
        // The server says that it knows; without its word it is told again.
        while ((await this.#nats.ask(message.reply, '+ACK', REQUEST_MS)) === null);
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
    this.#nats.close();
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
    const asked = body === undefined ? '' : JSON.stringify(body);
    const answer = await this.#nats.ask(`$JS.API.${what}`, asked, REQUEST_MS);
    if (answer?.status === NO_RESPONDERS) throw new Error('this NATS server has no JetStream');
    if (answer === null) throw new Error(`no answer within ${REQUEST_MS / 1000} s`);
    const { error, ...result } = JSON.parse(answer.text);
    if (error === undefined) return result;
    if (error.code === allowed) return null;
    throw new Error(error.description);
  }
}

/** The stream's word that it has a message. */
function answerOf(answer) {
  if (answer === null) throw new Error(`no answer within ${REQUEST_MS / 1000} s`);
  if (answer.status > 0) throw new Error('no stream takes it');
  const { error } = JSON.parse(answer.text);
  if (error !== undefined) throw new Error(error.description);
}
