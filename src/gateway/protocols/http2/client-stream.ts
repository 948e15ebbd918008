import { createHash } from 'node:crypto';
import type { Duplex } from 'node:stream';
import type { RequestHead } from '../../../http1/request-head.ts';
import type { RequestParser } from '../../../http1/request-parser.ts';
import { ErrorCode } from '../../../http2/constants.ts';
import type { HpackEncoder } from '../../../http2/hpack-encoder.ts';
import { Http2Stream } from '../../../http2/stream.ts';
import type { ClientSide } from '../../client-side.ts';
import type { ConnectionInfo } from '../../connection-info.ts';
import { Exchange } from '../../exchange.ts';
import type { ForwardingContext } from '../../forwarding/forwarded.ts';
import type { GatewayListener } from '../../listener.ts';
import { READ_AHEAD_BYTES } from '../../upstream/request-body.ts';
import type { ClientSession } from './client-session.ts';
import { grpcErrorLines, grpcTimeoutMs, isGrpc } from './grpc.ts';
import { StreamDuplex } from './stream-duplex.ts';
import type { DuplexCarrier } from './stream-duplex.ts';

const WEBSOCKET_GUID = '258EAFA5-E914-47DA-95CA-C5AB0DC85B11';

/** One request of an HTTP/2 client: a stream, with its exchange. */
export class ClientStream extends Http2Stream implements ClientSide, DuplexCarrier {
  readonly listener: GatewayListener;
  readonly info: ConnectionInfo;
  readonly peer: string;
  readonly trusted: boolean;
  readonly forwarding: ForwardingContext;
  readonly requestStartedMs: number;
  readonly acceptedMs: number;
  readonly silent = false;
  readonly isHttp2 = true;
  readonly exchange: Exchange;
  private readonly encoder: HpackEncoder;
  private readonly windowBytes: number;
  /** The exchange waits for the rest of the request's body. */
  private pending = false;
  /** Content-Length of the request; -1: not known. */
  private length = -1;
  private received = 0;
  /** The exchange is over, or was told that the client is gone. */
  private over = false;
  private wantsClose = false;
  /** Monotonic ms at which the next part of the body has to be there. */
  private bodyDeadlineMs = Number.POSITIVE_INFINITY;
  private grpc = false;
  private grpcTimer: NodeJS.Timeout | null = null;
  /** Sec-WebSocket-Key that the endpoint was sent for this extended CONNECT; '': it is an ordinary request. */
  private readonly webSocketKey: string;
  private duplex: StreamDuplex | null = null;
  private kept: RequestParser | null = null;

  constructor(
    session: ClientSession,
    id: number,
    windows: { send: number; receive: number },
    startedMs: number,
    acceptedMs: number,
    webSocketKey: string,
  ) {
    super(session, id, windows.send, windows.receive);
    this.listener = session.listener;
    this.info = session.info;
    this.peer = session.info.peer;
    this.trusted = session.info.trusted;
    this.forwarding = session.forwarding;
    this.encoder = session.headEncoder;
    this.windowBytes = session.listener.config.http2.windowBytes;
    this.requestStartedMs = startedMs;
    this.acceptedMs = acceptedMs;
    this.webSocketKey = webSocketKey;
    this.exchange = new Exchange(this);
  }

  /** The head of the request, good during the call. */
  begin(head: RequestHead, endStream: boolean): void {
    if (!endStream && this.webSocketKey === '' && head.method !== 'CONNECT') {
      this.pending = true;
      this.length = head.contentLength;
      // The exchange only keeps the body until somebody takes it: what the first window allows (decisions, 4).
      this.withhold();
      this.bodyDeadlineMs = this.requestStartedMs + this.listener.config.timeouts.bodyMs;
    }
    // What comes before the switch waits in the stream.
    if (this.webSocketKey !== '') this.pause();
    if (isGrpc(head)) this.beginGrpc(head);
    this.exchange.begin(head);
  }

  private beginGrpc(head: RequestHead): void {
    this.grpc = true;
    const timeoutMs = grpcTimeoutMs(head);
    if (timeoutMs > MAX_TIMER_MS) return;
    // It goes on while the request is held (decisions, 4).
    this.grpcTimer = setTimeout(() => {
      this.grpcTimer = null;
      if (!this.over) this.exchange.onClientDeadline();
    }, timeoutMs);
  }

  // ---- Request body

  get bodyPending(): boolean {
    return this.pending;
  }

  get bodyMissing(): number {
    if (!this.pending) return 0;
    return this.length < 0 ? -1 : this.length - this.received;
  }

  get bodyPaused(): boolean {
    return this.pending && this.paused;
  }

  pauseBody(): void {
    this.pause();
  }

  resumeBody(): void {
    if (!this.pending) return;
    this.widen(0);
    if (!this.paused) return;
    this.restartBodyTime();
    this.resume();
  }

  expectBody(): void {
    this.restartBodyTime();
    this.widen(this.windowBytes);
  }

  private restartBodyTime(): void {
    if (this.pending) this.bodyDeadlineMs = this.listener.nowMs() + this.listener.config.timeouts.bodyMs;
  }

  keepHead(): void {
    this.kept ??= this.listener.detachParser();
  }

  releaseHead(): void {
    if (this.kept === null) return;
    this.listener.giveParser(this.kept);
    this.kept = null;
  }

  protected onData(part: Buffer): void {
    if (this.duplex !== null) {
      this.duplex.receive(part);
      return;
    }
    if (!this.pending) return;
    this.received += part.length;
    // RFC 9113 8.1.1.
    if (this.length >= 0 && this.received > this.length) {
      this.malformed();
      return;
    }
    this.restartBodyTime();
    this.exchange.onBody(part, 0, part.length);
  }

  protected onRemoteEnd(trailers: string): void {
    if (this.duplex !== null) {
      this.duplex.receiveEnd();
      return;
    }
    if (!this.pending) return;
    if (this.length >= 0 && this.received !== this.length) {
      this.malformed();
      return;
    }
    this.pending = false;
    this.bodyDeadlineMs = Number.POSITIVE_INFINITY;
    this.exchange.onRequestEnd(trailers);
  }

  private malformed(): void {
    // Both sides have ended already when the last of a body shows that its length was wrong: the session knows the stream no more.
    if (this.closed) this.gone();
    else this.session.failStream(this.id, ErrorCode.PROTOCOL_ERROR);
  }

  // ---- Response

  sendInterim(status: number, _reason: string, lines: string): void {
    if (!this.closed) this.writeHead(status, lines, false);
  }

  sendWhole(status: number, _reason: string, lines: string, body: Buffer, start: number, end: number): void {
    if (this.closed) return;
    const { outcome } = this.exchange;
    if (this.grpc && outcome !== '') {
      // An answer of the gateway: gRPC reads the trailers, whatever the HTTP status is.
      this.writeHead(200, grpcErrorLines(status, outcome, lines, body.toString('utf8', start, end)), true);
      this.endedByHead();
      return;
    }
    this.writeHead(status, lines, start === end);
    if (start === end) this.endedByHead();
    else this.endWith(body, start, end);
  }

  sendHead(status: number, _reason: string, lines: string, _lengthKnown: boolean): void {
    if (!this.closed) this.writeHead(status, lines, false);
  }

  private writeHead(status: number, lines: string, endStream: boolean): void {
    const { encoder } = this;
    encoder.begin();
    encoder.status(status);
    encoder.lines(lines);
    this.session.writeBlock(this.id, endStream);
  }

  sendBody(part: Buffer): boolean {
    return this.write(part);
  }

  sendEnd(trailers: string): void {
    this.end(null, trailers);
  }

  protected onDrain(): void {
    if (this.duplex !== null) this.duplex.drained();
    else if (!this.over) this.exchange.onClientDrain();
  }

  get unsentBytes(): number {
    return this.queuedBytes + this.session.unsentBytes;
  }

  // ---- Tunnel

  sendSwitch(lines: string, _protocol: string): { stream: Duplex; stash: Buffer | null } {
    const duplex = new StreamDuplex(this);
    this.duplex = duplex;
    const { attempt } = this.exchange;
    duplex.on('data', (chunk: Buffer) => attempt.tunnel?.fromClient(chunk));
    duplex.on('end', () => attempt.tunnel?.onClientEnd());
    duplex.on('drain', () => this.exchange.onClientDrain());
    duplex.on('error', () => {});
    const accept = /^sec-websocket-accept:[ \t]*(\S*)[ \t]*\r$/im.exec(lines)?.[1];
    if (accept === acceptFor(this.webSocketKey)) {
      this.writeHead(200, lines.replace(/^sec-websocket-accept:.*\r\n/im, ''), false);
    } else {
      // It doesn't speak WebSocket, or answers somebody else (RFC 6455 4.1).
      this.writeHead(502, '', true);
      this.endedByHead();
      setImmediate(() => duplex.destroy());
    }
    return { stream: duplex, stash: null };
  }

  endTunnel(): void {
    const { duplex } = this;
    if (duplex === null) return;
    duplex.end();
    this.over = true;
    // Nobody reads what the client still sends.
    this.endReading();
  }

  onDuplexClosed(): void {
    if (!this.closed) {
      if (this.hasEnded) this.endReading();
      else this.reset(ErrorCode.CANCEL);
    }
    this.leaveTunnel();
  }

  private leaveTunnel(): void {
    if (this.over) return;
    this.over = true;
    this.exchange.attempt.onClientTunnelClosed();
  }

  // ---- End

  /** An answer that comes while much of the body is missing ends the stream, instead of reading all of it only to throw it away. */
  get closing(): boolean {
    if (this.wantsClose) return true;
    const missing = this.bodyMissing;
    return missing < 0 || missing > READ_AHEAD_BYTES;
  }

  set closing(wanted: boolean) {
    this.wantsClose = wanted;
  }

  get halfClosed(): boolean {
    return false;
  }

  get destroyed(): boolean {
    return this.closed;
  }

  exchangeDone(): void {
    this.finish();
  }

  finish(): void {
    this.leave();
    if (!this.remoteEnded || this.pending) this.endReading();
  }

  abort(): void {
    this.reset(ErrorCode.INTERNAL_ERROR);
    this.gone();
  }

  destroy(): void {
    this.reset(ErrorCode.CANCEL);
    this.gone();
  }

  onReset(_code: number, _reason: string): void {
    if (this.duplex === null) this.gone();
    else {
      this.leaveTunnel();
      this.duplex.destroy();
    }
  }

  /** The exchange ends without its client. */
  private gone(): void {
    if (this.over) return;
    this.leave();
    this.exchange.onClientGone();
  }

  private leave(): void {
    this.over = true;
    this.pending = false;
    this.bodyDeadlineMs = Number.POSITIVE_INFINITY;
    if (this.grpcTimer === null) return;
    clearTimeout(this.grpcTimer);
    this.grpcTimer = null;
  }

  /** Called a few times a second: ends what makes no progress. */
  sweep(nowMs: number): void {
    const { timeouts } = this.listener.config;
    if (this.stalledForMs(nowMs) >= timeouts.idleMs) {
      this.reset(ErrorCode.CANCEL);
      this.onReset(ErrorCode.CANCEL, 'the client takes nothing');
    } else if (this.over) return;
    else if (this.exchange.attempt.stalledForMs(nowMs) >= timeouts.bodyMs) this.exchange.onUpstreamStalled();
    else if (this.bodyDeadlineMs <= nowMs) {
      // We don't read, or nobody has asked for the body yet.
      if (this.paused || this.exchange.isWaiting) this.restartBodyTime();
      else this.exchange.onBodyTimeout();
    } else this.exchange.tick(nowMs);
  }
}

/** Longest time of a timer of Node, ms. */
const MAX_TIMER_MS = 0x7fff_ffff;

function acceptFor(key: string): string {
  return createHash('sha1').update(`${key}${WEBSOCKET_GUID}`).digest('base64');
}
