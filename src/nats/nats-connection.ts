/**
 * One connection to a NATS server. Small and our own: the usual library leaves sockets behind when a server hangs while it connects, writes to standard output, and costs several times as much
 * for each message. It never comes back by itself; who wants another one opens it.
 */
import { createConnection, type Socket } from 'node:net';
import { connect as connectTls, type ConnectionOptions } from 'node:tls';
import { connectFields, type NatsLogin } from './nats-credentials.ts';
import { NatsParser, type NatsMessage } from './nats-parser.ts';

export interface NatsOptions {
  host: string;
  /** 4222 is usual. */
  port: number;
  /** null: only when the server wants it, with the authorities that the system knows. */
  tls: ConnectionOptions | null;
  login: NatsLogin;
  /** For the server's list of connections. */
  name: string;
  /** TCP, TLS and login together, ms. */
  connectMs: number;
  /** The connection has ended by itself, or the server has refused something (rights that are missing): it is closed. Called once at most, after `open` has resolved. */
  onLost(reason: Error): void;
}

/** How often it is asked whether the peer is still there, ms. */
const KEEP_ALIVE_MS = 15_000;

export class NatsConnection {
  readonly #options: NatsOptions;
  #socket: Socket;
  #state: 'opening' | 'open' | 'over' = 'opening';
  #output = '';
  readonly #subscriptions = new Map<number, (message: NatsMessage) => void>();
  #sid = 0;
  #pongs: { resolve: () => void; reject: (reason: Error) => void }[] = [];
  readonly #opened = Promise.withResolvers<void>();
  readonly #inbox = `_INBOX.${Math.random().toString(36).slice(2)}${Math.random().toString(36).slice(2)}`;
  #inboxes = 0;
  /** Unanswered requests. */
  readonly #asked = new Set<(reason: Error) => void>();

  private constructor(options: NatsOptions) {
    this.#options = options;
    this.#socket = createConnection({ host: options.host, port: options.port, noDelay: true });
    this.#socket.setKeepAlive(true, KEEP_ALIVE_MS);
    this.#listen(this.#socket);
  }

  /** Rejects within `connectMs`; nothing is left open then. */
  static async open(options: NatsOptions): Promise<NatsConnection> {
    const connection = new NatsConnection(options);
    const { connectMs } = options;
    const timer = setTimeout(() => connection.#end(new Error(`no connection within ${connectMs} ms`)), connectMs);
    try {
      await connection.#opened.promise;
      return connection;
    } finally {
      clearTimeout(timer);
    }
  }

  get isOpen(): boolean {
    return this.#state === 'open';
  }

  /** Goes to the socket at the end of this turn, with whatever else is published in it. `headers`: lines that end with CR LF; '' for none. */
  publish(subject: string, payload: string, reply = '', headers = ''): void {
    const to = reply === '' ? subject : `${subject} ${reply}`;
    const bytes = Buffer.byteLength(payload);
    if (headers === '') this.#write(`PUB ${to} ${bytes}\r\n${payload}\r\n`);
    else {
      const head = `NATS/1.0\r\n${headers}\r\n`;
      const headBytes = Buffer.byteLength(head);
      this.#write(`HPUB ${to} ${headBytes} ${headBytes + bytes}\r\n${head}${payload}\r\n`);
    }
  }

  /** Returns how to end it. */
  subscribe(subject: string, handler: (message: NatsMessage) => void): () => void {
    const sid = ++this.#sid;
    this.#subscriptions.set(sid, handler);
    this.#write(`SUB ${subject} ${sid}\r\n`);
    return () => {
      if (this.#subscriptions.delete(sid)) this.#write(`UNSUB ${sid}\r\n`);
    };
  }

  /** A subject that nobody else has. */
  newInbox(): string {
    return `${this.#inbox}.${++this.#inboxes}`;
  }

  /** The first answer. Rejects when there is none in time, nobody listens there, or the connection ends. */
  async request(subject: string, payload: string, withinMs: number): Promise<NatsMessage> {
    const { promise, resolve, reject } = Promise.withResolvers<NatsMessage>();
    const inbox = this.newInbox();
    const end = this.subscribe(inbox, (message) =>
      message.status === 503 ? reject(new Error(`no responders to ${subject}`)) : resolve(message),
    );
    const timer = setTimeout(() => reject(new Error(`no answer from ${subject} within ${withinMs} ms`)), withinMs);
    this.#asked.add(reject);
    try {
      if (this.#state === 'over') throw new Error('the connection has ended');
      this.publish(subject, payload, inbox);
      return await promise;
    } finally {
      clearTimeout(timer);
      this.#asked.delete(reject);
      end();
    }
  }

  /** Resolves when the server has read all that was published before. */
  flush(): Promise<void> {
    if (this.#state === 'over') return Promise.reject(new Error('the connection has ended'));
    const { promise, resolve, reject } = Promise.withResolvers<void>();
    this.#pongs.push({ resolve, reject });
    this.#write('PING\r\n');
    return promise;
  }

  /** At once; what was published in this turn is lost. */
  close(): void {
    this.#end(new Error('the connection was closed'), false);
  }

  #write(text: string): void {
    if (this.#state === 'over') return;
    if (this.#output === '') queueMicrotask(() => this.#send());
    this.#output += text;
  }

  #send(): void {
    const output = this.#output;
    this.#output = '';
    if (this.#state !== 'over' && output !== '') this.#socket.write(output);
  }

  #listen(socket: Socket): void {
    const parser = new NatsParser({
      onInfo: (info) => {
        if (this.#state === 'opening') this.#login(info);
      },
      onMessage: (sid, message) => this.#subscriptions.get(sid)?.(message),
      onPing: () => this.#write('PONG\r\n'),
      onPong: () => {
        if (this.#state === 'opening') {
          this.#state = 'open';
          this.#opened.resolve();
        } else this.#pongs.shift()?.resolve();
      },
      onError: (reason) => this.#end(new Error(reason)),
    });
    socket.on('data', (chunk: Buffer) => {
      if (this.#state === 'over') return;
      try {
        parser.execute(chunk);
      } catch (error) {
        this.#end(error instanceof Error ? error : new Error(String(error)));
      }
    });
    socket.on('error', (error) => this.#end(error));
    socket.on('close', () => this.#end(new Error('the server closed the connection')));
  }

  #login(info: Record<string, unknown>): void {
    const { host, tls, login, name } = this.#options;
    const nonce = typeof info.nonce === 'string' ? info.nonce : '';
    const plain = this.#socket;
    const begin = (secure: boolean): void => {
      let fields: Record<string, string>;
      try {
        fields = connectFields(login, nonce);
      } catch (error) {
        return this.#end(error as Error);
      }
      const more = { lang: 'node', version: '1.0.0', protocol: 0, headers: true, no_responders: true, echo: true };
      const connect = { verbose: false, pedantic: false, tls_required: secure, name, ...more, ...fields };
      this.#write(`CONNECT ${JSON.stringify(connect)}\r\nPING\r\n`);
    };
    const offered = info.tls_required === true || info.tls_available === true;
    if (tls !== null && !offered) return this.#end(new Error('the server offers no TLS'));
    if (info.tls_required !== true && tls === null) return begin(false);
    plain.removeAllListeners();
    plain.on('error', (error) => this.#end(error));
    const secured = connectTls({ socket: plain, host, servername: /^[\d.]+$|:/.test(host) ? '' : host, ...tls });
    this.#socket = secured;
    this.#listen(secured);
    secured.once('secureConnect', () => begin(true));
  }

  #end(reason: Error, tell = true): void {
    if (this.#state === 'over') return;
    const wasOpen = this.#state === 'open';
    this.#state = 'over';
    this.#socket.destroy();
    this.#subscriptions.clear();
    for (const { reject } of this.#pongs.splice(0)) reject(reason);
    for (const reject of [...this.#asked]) reject(reason);
    if (!wasOpen) this.#opened.reject(reason);
    else if (tell) this.#options.onLost(reason);
  }
}
