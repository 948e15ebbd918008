/** What both ends of a link over gRPC do with their stream of frames; grpc-server.ts and grpc-client.ts open it. */
import { DormouseError } from '../model/errors.ts';
import type { Logger } from '../model/ports.ts';
import { encodeFrames, FrameReader } from './frames.ts';
import { Inbox } from './inbox.ts';
import type { Link } from './link.ts';
import type { Checked } from './shapes.ts';

/** Written and not yet taken by the connection, bytes. Beyond it the other end is taken for dead: the link closes. Room for two of the longest messages. */
const MAX_UNSENT_BYTES = 64 * 1024 * 1024;
/** The same in frames: each costs memory beside its bytes. */
const MAX_UNSENT_FRAMES = 50_000;
/** After `close`, what was sent before may go out for so long, ms. */
const CLOSING_MS = 1000;

/** How the service and its call are named on the wire: /dormouse.link.v1.Link/Attach. */
export const LINK_SERVICE = {
  Attach: {
    path: '/dormouse.link.v1.Link/Attach',
    requestStream: true,
    responseStream: true,
    requestSerialize: (frame: Buffer): Buffer => frame,
    requestDeserialize: (frame: Buffer): Buffer => frame,
    responseSerialize: (frame: Buffer): Buffer => frame,
    responseDeserialize: (frame: Buffer): Buffer => frame,
  },
} as const;

/** Metadata keys of the call. */
export const GATEWAY_KEY = 'dormouse-gateway';
export const VERSION_KEY = 'dormouse-link-version';

/** Who never says anything is noticed by pings, also between messages. */
export interface KeepAlive {
  /** A ping after this long without one, ms. */
  pingMs: number;
  /** A ping that is not answered for so long closes the connection, ms. */
  timeoutMs: number;
}

export const usualKeepAlive: KeepAlive = Object.freeze({ pingMs: 5000, timeoutMs: 10_000 });

/** PEM, of both kinds of ends. Never logged. */
export interface LinkCredentials {
  /** Who may have signed the other end's certificate: one or more certificates. */
  ca: string | Buffer;
  /** Own certificate and key. */
  cert: string | Buffer;
  key: string | Buffer;
}

/** What OpenSSL says of a key may quote it: only its code is told. */
export function credentialsError(error: NodeJS.ErrnoException): DormouseError {
  return new DormouseError(
    'DORMOUSE_LINK_CREDENTIALS',
    `the certificates of the link cannot be used (${error.code ?? 'unreadable'}): ca.crt, tls.crt and tls.key must be PEM, and tls.key the key of tls.crt`,
    { userFault: true },
  );
}

/** What is used of a call of either side. */
export interface FrameStream {
  on(event: 'data', listener: (frame: Buffer) => void): unknown;
  on(event: 'end' | 'close', listener: () => void): unknown;
  on(event: 'error', listener: (error: Error) => void): unknown;
  write(frame: Buffer, written: () => void): boolean;
  end(): unknown;
}

export interface GrpcLinkOptions<In> {
  stream: FrameStream;
  check(value: unknown): Checked<In>;
  logger: Logger;
  /** Ends the call at once, whatever was not sent yet. */
  abort(): void;
  /** Called once, when the stream is over. */
  ended?: () => void;
}

export class GrpcLink<Out extends object, In> implements Link<Out, In> {
  readonly #options: GrpcLinkOptions<In>;
  readonly #stream: FrameStream;
  readonly #reader = new FrameReader();
  readonly #inbox = new Inbox<In>(() => this.#giveUp('10,000 messages wait for a handler'));
  #unsentBytes = 0;
  #unsentFrames = 0;
  /** Nothing is sent any more. */
  #closed = false;
  #over = false;
  #closing: NodeJS.Timeout | null = null;

  constructor(options: GrpcLinkOptions<In>) {
    this.#options = options;
    this.#stream = options.stream;
    this.#stream.on('data', (frame: Buffer) => this.#received(frame));
    this.#stream.on('end', () => {
      // What was sent before goes out, then our side ends too.
      if (!this.#closed) this.#finish();
      this.#gone();
    });
    this.#stream.on('error', (error: Error) => {
      options.logger.debug('the link broke', { reason: error.message });
      // What has been read already is delivered first.
      setImmediate(() => this.#gone());
    });
    this.#stream.on('close', () => setImmediate(() => this.#gone()));
  }

  send(message: Out): void {
    if (this.#closed) return;
    if (this.#unsentFrames >= MAX_UNSENT_FRAMES)
      return this.#giveUp(`${MAX_UNSENT_FRAMES} messages wait to be read by the other end`);
    let frames: Buffer[];
    try {
      frames = encodeFrames(message);
    } catch (error) {
      // Too long, or no JSON: a fault of ours that must not end the process.
      this.#options.logger.error('a message could not be sent', { reason: (error as Error).message });
      return;
    }
    for (const frame of frames) {
      this.#unsentBytes += frame.length;
      this.#unsentFrames++;
      this.#stream.write(frame, () => {
        this.#unsentBytes -= frame.length;
        this.#unsentFrames--;
      });
    }
    if (this.#unsentBytes > MAX_UNSENT_BYTES) this.#giveUp('more than 64 MiB wait to be read by the other end');
  }

  onMessage(handler: (message: In) => void): void {
    this.#inbox.onMessage(handler);
  }

  onClose(handler: () => void): void {
    this.#inbox.onClose(handler);
  }

  close(): void {
    if (this.#closed) return;
    this.#inbox.drop();
    this.#finish();
  }

  #finish(): void {
    this.#closed = true;
    if (this.#over) return;
    this.#closing = setTimeout(() => {
      this.#options.abort();
      this.#gone();
    }, CLOSING_MS);
    this.#stream.end();
  }

  #received(frame: Buffer): void {
    let value: unknown;
    try {
      value = this.#reader.read(frame);
    } catch (error) {
      return this.#giveUp((error as Error).message);
    }
    if (value === undefined) return;
    const checked = this.#options.check(value);
    if (checked.ok) this.#inbox.deliver(checked.message);
    else this.#options.logger.warn('ignored a message of the other end', { reason: checked.reason });
  }

  #giveUp(reason: string): void {
    if (this.#over) return;
    this.#options.logger.error('closing the link', { reason });
    this.#closed = true;
    this.#inbox.drop();
    this.#options.abort();
    queueMicrotask(() => this.#gone());
  }

  #gone(): void {
    if (this.#over) return;
    this.#over = true;
    this.#closed = true;
    if (this.#closing !== null) clearTimeout(this.#closing);
    this.#options.ended?.();
    this.#inbox.close();
  }
}
