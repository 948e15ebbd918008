// As much of a NATS client as the demo needs: requests, and JetStream's pulls and acknowledgements. A program of yours would use @nats-io/transport-node.
import { connect } from 'node:net';
import { once } from 'node:events';

const CONNECT_MS = 5000;
const GIVE_UP_MS = 1000;
/** Until the first connection there may be nobody there yet: a Service takes a moment to lead to a pod that has just begun. */
const FIRST_WITHIN_MS = 5000;
const AGAIN_MS = 200;

export class Nats {
  #url;
  #stays;
  #socket = null;
  #received = Buffer.alloc(0);
  #closed = false;
  #log;
  #number = 0;
  /** Number of a subscription -> what takes its messages. */
  #takers = new Map();
  /** Who waits for the answers to PING, in their order. */
  #pongs = [];
  /** Resolves when there is a connection. */
  #open;
  #inbox = `_INBOX.${crypto.randomUUID()}`;

  /** Rejects when nobody answers within 5 s; later on it comes back by itself when `stays`. */
  static async connect(url, { stays, log }) {
    const beganMs = performance.now();
    for (;;) {
      const nats = new Nats(new URL(url), stays, log);
      try {
        await nats.#open;
        return nats;
      } catch (error) {
        // The system says that nobody is there; what the server itself says is final.
        if (error.code === undefined || performance.now() - beganMs > FIRST_WITHIN_MS) throw error;
        await new Promise((resolve) => setTimeout(resolve, AGAIN_MS));
      }
    }
  }

  constructor(url, stays, log) {
    this.#url = url;
    this.#stays = stays;
    this.#log = log;
    this.#open = this.#connect();
    this.#open.catch(() => {});
  }

  async #connect() {
    const socket = connect({ host: this.#url.hostname, port: Number(this.#url.port || 4222), noDelay: true });
    const bound = setTimeout(() => socket.destroy(new Error('no answer')), CONNECT_MS);
    try {
      // The server speaks first: INFO.
      const [info] = await once(socket, 'data');
      if (!info.toString().startsWith('INFO ')) throw new Error('this is no NATS server');
      const { username, password } = this.#url;
      const login = username === '' ? {} : { user: decodeURIComponent(username), pass: decodeURIComponent(password) };
      const options = { verbose: false, pedantic: false, headers: true, no_responders: true, lang: 'node', ...login };
      socket.write(`CONNECT ${JSON.stringify(options)}\r\nPING\r\n`);
      const [answer] = await once(socket, 'data');
      if (!answer.toString().startsWith('PONG')) throw new Error(answer.toString().trim());
    } finally {
      clearTimeout(bound);
    }
    this.#socket = socket;
    this.#received = Buffer.alloc(0);
    socket.on('data', (chunk) => this.#take(chunk));
    socket.on('error', (error) => this.#log(`NATS: ${error.message}`));
    socket.once('close', () => this.#lost());
  }

  /** Whoever waited for an answer asks again. */
  #lost() {
    for (const take of this.#takers.values()) take(null);
    this.#takers.clear();
    for (const pong of this.#pongs.splice(0)) pong();
    if (this.#closed || !this.#stays) return;
    this.#open = this.#again();
  }

  async #again() {
    while (!this.#closed) {
      try {
        return await this.#connect();
      } catch {
        await new Promise((resolve) => setTimeout(resolve, 500));
      }
    }
  }

  async publish(subject, body, reply = '') {
    await this.#open;
    const bytes = Buffer.byteLength(body);
    this.#socket.write(`PUB ${subject} ${reply === '' ? '' : `${reply} `}${bytes}\r\n${body}\r\n`);
  }

  /**
   * The next message that comes back: { reply, status, text }; null: none within this time, or the signal aborted, or the connection was lost. A message
   * that was on its way when the waiting ended is still given: nobody else would get it before its lease is over.
   */
  async ask(subject, body, waitMs, signal = null) {
    await this.#open;
    // What comes has the subject that it was published under: it is known by the number of the subscription.
    const number = String(++this.#number);
    const inbox = `${this.#inbox}.${number}`;
    const { promise, resolve } = Promise.withResolvers();
    const none = () => resolve(null);
    const bound = setTimeout(none, waitMs);
    signal?.addEventListener('abort', none, { once: true });
    this.#takers.set(number, resolve);
    this.#socket.write(`SUB ${inbox} ${number}\r\nUNSUB ${number} 1\r\n`);
    try {
      await this.publish(subject, body, inbox);
      return (await promise) ?? (await this.#giveUp(number));
    } finally {
      clearTimeout(bound);
      signal?.removeEventListener('abort', none);
      this.#takers.delete(number);
    }
  }

  /** Nothing comes any more when the server has answered what was said after UNSUB. */
  #giveUp(number) {
    // Answered, or lost.
    if (!this.#takers.has(number)) return null;
    const { promise, resolve } = Promise.withResolvers();
    this.#takers.set(number, resolve);
    const none = () => resolve(null);
    this.#pongs.push(none);
    this.#socket.write(`UNSUB ${number}\r\nPING\r\n`);
    const bound = setTimeout(none, GIVE_UP_MS);
    return promise.finally(() => clearTimeout(bound));
  }

  close() {
    this.#closed = true;
    this.#socket?.destroy();
  }

  #take(chunk) {
    this.#received = Buffer.concat([this.#received, chunk]);
    for (;;) {
      const end = this.#received.indexOf('\r\n');
      if (end < 0) return;
      const line = this.#received.toString('latin1', 0, end);
      const [verb, ...words] = line.split(' ');
      if (verb !== 'MSG' && verb !== 'HMSG') {
        this.#received = this.#received.subarray(end + 2);
        if (verb === 'PING') this.#socket.write('PONG\r\n');
        if (verb === 'PONG') this.#pongs.shift()?.();
        if (verb === '-ERR') this.#log(`NATS: ${line}`);
        continue;
      }
      // MSG subject sid [reply] bytes; HMSG subject sid [reply] bytes of headers, bytes of both.
      const total = Number(words.at(-1));
      if (this.#received.length < end + 2 + total + 2) return;
      const headerBytes = verb === 'HMSG' ? Number(words.at(-2)) : 0;
      const reply = words.length === (verb === 'HMSG' ? 5 : 4) ? words[2] : '';
      const headers = this.#received.toString('latin1', end + 2, end + 2 + headerBytes);
      const text = this.#received.toString('utf8', end + 2 + headerBytes, end + 2 + total);
      this.#received = this.#received.subarray(end + 2 + total + 2);
      const status = Number(/^NATS\/1\.0 (\d+)/.exec(headers)?.[1] ?? 0);
      this.#takers.get(words[1])?.({ reply, status, text });
      this.#takers.delete(words[1]);
    }
  }
}
