import type { Socket } from 'node:net';
import { BodyDecoder } from '../http1/body-decoder.ts';
import { BodyKind } from '../http1/body-kind.ts';
import type { ProtocolError } from '../http1/protocol-error.ts';
import type { RequestHead } from '../http1/request-head.ts';
import type { RequestParser } from '../http1/request-parser.ts';
import { lastChunk } from '../http1/writer.ts';
import type { ClientSide } from './client-side.ts';
import type { ConnectionInfo } from './connection-info.ts';
import { Exchange } from './exchange.ts';
import type { ForwardingContext } from './forwarding/forwarded.ts';
import type { GatewayListener } from './listener.ts';
import { READ_AHEAD_BYTES } from './upstream/request-body.ts';
import { writeChunk } from './write-chunk.ts';
import { WriteProgress } from './write-progress.ts';

/** What the connection reads next. */
type Reading =
  /** A request head, or nothing yet. */
  | 'head'
  /** The body of the present exchange. */
  | 'body'
  /** Nothing: the present exchange is being answered. What comes is the next request, kept in `stash`. */
  | 'answer'
  | 'tunnel'
  /** The answer is out, the rest of what the client still sends is thrown away, so that a reset doesn't destroy the answer (RFC 9112 9.6). */
  | 'linger'
  | 'closed';

/** How long, ms, and how much, bytes, a connection that is being closed still reads. */
const LINGER_MS = 2000;
const LINGER_BYTES = 1_048_576;
/** Pipelined bytes that are kept while an answer is under way; beyond it the socket is left unread. */
const STASH_BYTES = 65_536;

/** One client's connection: reads requests one after the other and hands each to its exchange. */
export class ClientConnection implements ClientSide {
  readonly socket: Socket;
  readonly listener: GatewayListener;
  readonly info: ConnectionInfo;
  readonly peer: string;
  readonly trusted: boolean;
  readonly forwarding: ForwardingContext;
  /** Nothing more will be read as a request: the next answer says `Connection: close`. */
  closing = false;
  /** The client has closed its sending side. */
  halfClosed = false;
  reading: Reading = 'head';
  /** Monotonic ms at which `onDeadline` is due; Infinity: never. Looked at by the listener's sweep. */
  deadlineMs: number;
  /** True between the first byte of a request and the end of its head. */
  headBegun = false;
  /** Monotonic ms of the first byte of the present request. */
  requestStartedMs = 0;
  readonly exchange: Exchange;
  readonly silent = false;
  readonly isHttp2 = false;
  private readonly openedMs: number;
  private busy = false;
  private parser: RequestParser | null = null;
  private decoder: BodyDecoder | null = null;
  private stash: Buffer | null = null;
  private readonly clientProgress = new WriteProgress();
  private consuming = false;
  /** Content-Length of the present request; -1: chunked. */
  private bodyLength = 0;
  private lingered = 0;
  private requests = 0;
  /** HTTP/1.x of the present request. */
  private minor: 0 | 1 = 1;
  /** The present response is sent chunked. */
  private chunked = false;
  /** The parser whose head a waiting filter still reads. */
  private kept: RequestParser | null = null;
  private readonly dataListener = (chunk: Buffer): void => this.onData(chunk);

  constructor(socket: Socket, listener: GatewayListener, info: ConnectionInfo, nowMs: number) {
    this.socket = socket;
    this.listener = listener;
    this.info = info;
    this.peer = info.peer;
    this.trusted = info.trusted;
    this.forwarding = listener.forwardingFor(info);
    this.openedMs = nowMs;
    this.deadlineMs = nowMs + listener.config.timeouts.headerMs;
    this.exchange = new Exchange(this);
    socket.on('data', this.dataListener);
    socket.on('end', () => this.onEnd());
    socket.on('error', () => {});
    socket.on('close', () => this.onClose());
    socket.on('drain', () => this.onDrain());
    // From here on the client has the whole answer before it: what it still sends matters for a moment only.
    socket.on('finish', () => {
      if (this.reading === 'linger') this.deadlineMs = listener.nowMs() + LINGER_MS;
    });
  }

  get acceptedMs(): number {
    return this.requests === 1 ? this.openedMs : -1;
  }

  /** Idle: no request has begun and none is being answered. */
  get idle(): boolean {
    return this.reading === 'head' && !this.headBegun && !this.busy;
  }

  get destroyed(): boolean {
    return this.socket.destroyed;
  }

  private onData(chunk: Buffer): void {
    switch (this.reading) {
      case 'tunnel':
        this.exchange.attempt.tunnel?.fromClient(chunk);
        return;
      case 'linger':
        this.lingered += chunk.length;
        if (this.lingered <= LINGER_BYTES) return;
        if (this.socket.writableFinished) this.socket.destroy();
        else this.socket.pause();
        return;
      case 'closed':
        return;
      case 'answer':
        this.keep(chunk);
        return;
      default:
        if (this.requests === 0 && !this.headBegun && (chunk[0] === 0x50 || this.stash !== null))
          this.begunWithP(chunk);
        else this.consume(chunk);
    }
  }

  /** HTTP/2 with prior knowledge begins with PRI, which is no method of HTTP/1.1 (RFC 9113 section 3.4). */
  private begunWithP(chunk: Buffer): void {
    const bytes = this.stash === null ? chunk : Buffer.concat([this.stash, chunk]);
    this.stash = null;
    const start = bytes.toString('latin1', 0, 3);
    if (start !== 'PRI' && 'PRI'.startsWith(start)) {
      this.stash = bytes;
      return;
    }
    if (start !== 'PRI' || !this.listener.offersHttp2) {
      this.consume(bytes);
      return;
    }
    const { socket, listener } = this;
    this.reading = 'closed';
    listener.onHandedOver(this);
    socket.off('data', this.dataListener);
    socket.pause();
    socket.unshift(bytes);
    listener.openHttp2(socket, this.info);
  }

  /** What was written has gone out. Requests that waited for it are looked at now. */
  private onDrain(): void {
    this.exchange.onClientDrain();
    if (this.reading === 'head' && this.stash !== null) this.takeUpStash();
  }

  /** The client doesn't take its answers: until it does, its next request waits (unread answers of pipelined requests would pile up without a bound). */
  private get mustWait(): boolean {
    return this.socket.writableNeedDrain;
  }

  /** Bytes of the next request, which is not looked at before this one is answered. */
  private keep(chunk: Buffer): void {
    this.stash = this.stash === null ? chunk : Buffer.concat([this.stash, chunk]);
    if (this.stash.length >= STASH_BYTES) this.socket.pause();
  }

  private consume(chunk: Buffer): void {
    this.consuming = true;
    const end = chunk.length;
    let position = 0;
    while (position < end) {
      if (this.reading === 'head') {
        if (this.mustWait) {
          this.keep(position === 0 ? chunk : chunk.subarray(position));
          this.socket.pause();
          break;
        }
        const shared = this.listener.parser;
        const parser = this.parser ?? shared;
        if (!this.headBegun) {
          this.headBegun = true;
          this.requestStartedMs = this.listener.nowMs();
          if (this.requests > 0) this.deadlineMs = this.requestStartedMs + this.listener.config.timeouts.headerMs;
        }
        const next = parser.execute(chunk, position, end);
        if (next === -1) {
          // The parser has kept the bytes: it belongs to this connection until the head is complete.
          this.parser ??= this.listener.detachParser();
          break;
        }
        if (next === -2) {
          const error = parser.error!;
          if (this.parser === null) shared.reset();
          this.refuse(error);
          break;
        }
        position = next;
        this.headBegun = false;
        this.deadlineMs = Number.POSITIVE_INFINITY;
        this.begin(parser.head);
        // Not when a filter kept it.
        if (this.parser !== null) {
          this.listener.giveParser(this.parser);
          this.parser = null;
        }
      } else if (this.reading === 'body') {
        const decoder = this.decoder!;
        const next = decoder.execute(chunk, position, end, this.exchange);
        // Refused for what was in it: the answer is out, and nothing of the rest is looked at.
        if (!this.bodyPending) break;
        if (next === -2) {
          this.exchange.onRequestBroken(decoder.error!);
          break;
        }
        position = next;
        if (decoder.done) this.bodyDone(decoder.trailers);
        else if (this.reading === 'body')
          this.deadlineMs = this.listener.nowMs() + this.listener.config.timeouts.bodyMs;
      } else if (this.reading === 'answer') {
        this.keep(position === 0 ? chunk : chunk.subarray(position));
        break;
      } else if (this.reading === 'tunnel') {
        this.exchange.attempt.tunnel?.fromClient(position === 0 ? chunk : chunk.subarray(position));
        break;
      } else break;
    }
    this.consuming = false;
    if (this.halfClosed && this.reading === 'head' && this.stash === null) this.finish();
  }

  private begin(head: RequestHead): void {
    this.busy = true;
    this.requests++;
    this.minor = head.minor;
    this.chunked = false;
    if (head.chunked || head.contentLength > 0) {
      this.decoder ??= new BodyDecoder(this.listener.config.limits);
      this.bodyLength = head.chunked ? -1 : head.contentLength;
      this.decoder.reset(head.chunked ? BodyKind.CHUNKED : BodyKind.LENGTH, head.contentLength);
      this.reading = 'body';
      this.deadlineMs = this.listener.nowMs() + this.listener.config.timeouts.bodyMs;
    } else this.reading = 'answer';
    if (!head.keepAlive || this.listener.closesConnections) this.closing = true;
    this.exchange.begin(head);
  }

  private bodyDone(trailers: string): void {
    this.deadlineMs = Number.POSITIVE_INFINITY;
    if (this.reading === 'body') this.reading = 'answer';
    this.exchange.onRequestEnd(trailers);
  }

  /** Bytes of the present request's body that are still to come: -1 unknown, 0 none. */
  get bodyMissing(): number {
    if (this.reading !== 'body') return 0;
    return this.bodyLength < 0 ? -1 : this.bodyLength - this.decoder!.received;
  }

  /** A request that is no request: answered, and the connection is closed, for nobody knows where the next one begins. */
  private refuse(error: ProtocolError): void {
    this.closing = true;
    this.deadlineMs = Number.POSITIVE_INFINITY;
    this.exchange.answerBroken(error.status, error.message);
  }

  /** The exchange is over: the next request, or the end. */
  exchangeDone(): void {
    this.busy = false;
    if (this.reading === 'closed') return;
    if (this.closing) {
      this.finish();
      return;
    }
    this.reading = 'head';
    this.deadlineMs = this.listener.nowMs() + this.listener.config.timeouts.idleMs;
    if (this.listener.closesConnections) this.closing = true;
    if (this.consuming) return;
    if (this.stash === null) {
      // Whatever stopped the reading (a body that nobody took yet): the next request has to be read.
      this.resumeBody();
      if (this.halfClosed) this.finish();
    } else if (!this.mustWait) this.takeUpStash();
  }

  private takeUpStash(): void {
    const stash = this.stash!;
    this.stash = null;
    this.resumeBody();
    this.consume(stash);
  }

  // ---- What the exchange asks of its client

  keepHead(): void {
    if (this.kept !== null) return;
    if (this.parser === null) this.kept = this.listener.detachParser();
    else {
      this.kept = this.parser;
      this.parser = null;
    }
  }

  releaseHead(): void {
    if (this.kept === null) return;
    this.listener.giveParser(this.kept);
    this.kept = null;
  }

  get bodyPending(): boolean {
    return this.reading === 'body';
  }

  get bodyPaused(): boolean {
    return this.socket.isPaused();
  }

  pauseBody(): void {
    this.socket.pause();
  }

  /** Reads on after the gateway paused. That pause was not the client's: its time for the next part of a body begins anew. */
  resumeBody(): void {
    if (!this.socket.isPaused()) return;
    this.expectBody();
    this.socket.resume();
  }

  get unsentBytes(): number {
    return this.socket.writableLength;
  }

  sendInterim(status: number, reason: string, lines: string): void {
    this.socket.write(`HTTP/1.1 ${status} ${reason}\r\n${lines}\r\n`, 'latin1');
  }

  sendWhole(status: number, reason: string, lines: string, body: Buffer, start: number, end: number): void {
    const text = `HTTP/1.1 ${status} ${reason}\r\n${lines}${this.persistenceLine()}\r\n`;
    this.socket.write(start === end ? text : text + body.toString('latin1', start, end), 'latin1');
  }

  sendHead(status: number, reason: string, lines: string, lengthKnown: boolean): void {
    const { socket } = this;
    let framing = '';
    if (!lengthKnown) {
      // An HTTP/1.0 client knows the end by the end of the connection.
      if (this.minor === 0) this.closing = true;
      else {
        this.chunked = true;
        framing = 'Transfer-Encoding: chunked\r\n';
      }
    }
    socket.cork();
    socket.write(`HTTP/1.1 ${status} ${reason}\r\n${lines}${framing}${this.persistenceLine()}\r\n`, 'latin1');
    // In one write with the bytes of the body that came with it.
    queueMicrotask(() => socket.uncork());
  }

  private persistenceLine(): string {
    // An answer that comes while much of the body is still to come: what follows is thrown away, and the connection ends with it.
    if (this.reading === 'body' && this.muchIsMissing()) this.closing = true;
    if (this.listener.closesConnections) this.closing = true;
    if (this.closing) return 'Connection: close\r\n';
    return this.minor === 0 ? 'Connection: keep-alive\r\n' : '';
  }

  /** More of the request's body is to come than is worth reading only to throw it away. */
  private muchIsMissing(): boolean {
    const missing = this.bodyMissing;
    return missing < 0 || missing > READ_AHEAD_BYTES;
  }

  sendBody(part: Buffer): boolean {
    return this.chunked ? writeChunk(this.socket, part) : this.socket.write(part);
  }

  sendEnd(trailers: string): void {
    if (this.chunked) this.socket.write(lastChunk(trailers), 'latin1');
  }

  /** The stash can't be taken up inside `consume`: the loop there goes on by itself. */
  sendSwitch(lines: string, protocol: string): { stream: Socket; stash: Buffer | null } {
    this.socket.write(
      `HTTP/1.1 101 Switching Protocols\r\n${lines}Connection: Upgrade\r\nUpgrade: ${protocol}\r\n\r\n`,
      'latin1',
    );
    this.reading = 'tunnel';
    this.deadlineMs = Number.POSITIVE_INFINITY;
    const stash = this.stash;
    this.stash = null;
    this.resumeBody();
    return { stream: this.socket, stash };
  }

  endTunnel(): void {
    this.socket.destroySoon();
  }

  abort(): void {
    // A body without length ends with a FIN: only a reset says that it isn't complete. (Below TLS too: many clients don't miss its close_notify.)
    this.socket.resetAndDestroy();
  }

  /** The next part of the body has its whole time from now on. */
  expectBody(): void {
    if (this.reading === 'body') this.deadlineMs = this.listener.nowMs() + this.listener.config.timeouts.bodyMs;
  }

  /**
   * Ends a transfer in which nothing moved for too long: an answer that the client doesn't take (`timeouts.idle`), a body that the endpoint doesn't take
   * (`timeouts.body`). Called by the sweep.
   */
  checkProgress(nowMs: number): void {
    const { timeouts } = this.listener.config;
    if (this.clientProgress.stalledForMs(this.socket, nowMs) >= timeouts.idleMs) this.abort();
    else if (this.exchange.attempt.stalledForMs(nowMs) >= timeouts.bodyMs) this.exchange.onUpstreamStalled();
    else if (this.busy) this.exchange.tick(nowMs);
  }

  /** Sends what is written and closes, reading on for a moment if the client may still be sending. */
  finish(): void {
    this.busy = false;
    if (this.reading === 'closed') return;
    this.socket.end();
    this.reading = 'linger';
    this.stash = null;
    // Set when the answer is out; a client that doesn't take it is ended by `checkProgress`.
    this.deadlineMs = Number.POSITIVE_INFINITY;
    this.resumeBody();
  }

  destroy(): void {
    this.socket.destroy();
  }

  /** The client closed its sending side: after a complete request a half-close, inside one a departure (RFC 9112 9.6). */
  private onEnd(): void {
    if (this.reading === 'closed') return;
    this.halfClosed = true;
    if (this.reading === 'tunnel') {
      this.exchange.attempt.tunnel?.onClientEnd();
      return;
    }
    if (this.reading === 'body') {
      this.leave();
      return;
    }
    // Nobody half-closes and then listens to a stream without end: this is how a client leaves it.
    if (this.reading === 'answer' && this.exchange.lasting) {
      this.leave();
      return;
    }
    // Requests that came whole before it are answered, the one in hand and those in the stash.
    if (this.reading === 'answer' || this.stash !== null) return;
    if (this.headBegun) this.socket.destroy();
    else this.finish();
  }

  /** The client is gone, and its exchange hears of it once: `onClose` comes after this. */
  private leave(): void {
    this.busy = false;
    this.exchange.onClientGone();
    this.socket.destroy();
  }

  private onClose(): void {
    const before = this.reading;
    this.reading = 'closed';
    this.listener.onConnectionClosed(this);
    if (this.parser !== null) {
      this.listener.giveParser(this.parser);
      this.parser = null;
    }
    this.stash = null;
    if (before === 'tunnel') this.exchange.attempt.onClientTunnelClosed();
    else if (this.busy) this.exchange.onClientGone();
  }

  /** The sweep found the deadline passed. */
  onDeadline(): void {
    this.deadlineMs = Number.POSITIVE_INFINITY;
    if (this.reading === 'linger') this.socket.destroy();
    else if (this.reading === 'body') {
      // We don't read (held, or the endpoint is slow), or nobody has asked for the body yet (100-continue while held).
      if (this.socket.isPaused() || this.exchange.isWaiting) {
        this.expectBody();
        return;
      }
      this.closing = true;
      this.exchange.onBodyTimeout();
    } else if (this.reading === 'head') {
      if (!this.headBegun && this.requests > 0) {
        this.finish();
        return;
      }
      if (!this.headBegun) {
        this.socket.destroy();
        return;
      }
      this.closing = true;
      this.exchange.answerBroken(408, 'The request head did not arrive in time.');
    }
  }
}
