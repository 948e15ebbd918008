import { randomBytes } from 'node:crypto';
import type { Socket } from 'node:net';
import { ErrorCode, MAX_STREAM_ID, MAX_WINDOW, PREFACE, Setting, DEFAULT_WINDOW } from '../../../http2/constants.ts';
import type { HpackEncoder } from '../../../http2/hpack-encoder.ts';
import type { Http2Memory } from '../../../http2/memory.ts';
import { Session } from '../../../http2/session.ts';
import type { Http2Stream } from '../../../http2/stream.ts';
import type { ConnectionInfo } from '../../connection-info.ts';
import type { ForwardingContext } from '../../forwarding/forwarded.ts';
import type { GatewayListener } from '../../listener.ts';
import type { OpenConnection } from '../../open-connection.ts';
import { WriteProgress } from '../../write-progress.ts';
import { ClientStream } from './client-stream.ts';

/** Windows of streams that the window of a connection holds: so much may come for endpoints that don't take it. */
const WINDOWS_PER_CONNECTION = 4;
/** After this long, ms, the second GOAWAY of a drain is sent though the client has not answered the first one's PING. */
const DRAIN_ANSWER_MS = 1000;
const NO_BYTES = Buffer.alloc(8);

/** An HTTP/2 client's connection. */
export class ClientSession extends Session implements OpenConnection {
  readonly listener: GatewayListener;
  readonly info: ConnectionInfo;
  readonly forwarding: ForwardingContext;
  private readonly openedMs: number;
  private readonly progress = new WriteProgress();
  /** What of the preface has come; null: all of it. */
  private preface: Buffer | null = Buffer.alloc(0);
  private draining = false;
  private drainBeganMs = 0;
  /** The last GOAWAY is out: new streams are refused. */
  private refusing = false;
  private closed = false;

  constructor(socket: Socket, memory: Http2Memory, listener: GatewayListener, info: ConnectionInfo) {
    const { http2, limits } = listener.config;
    super(
      socket,
      memory,
      {
        // More is allowed when an endpoint takes the body (ClientStream.expectBody).
        streamWindowBytes: Math.min(http2.windowBytes, DEFAULT_WINDOW),
        connectionWindowBytes: Math.min(
          MAX_WINDOW,
          Math.max(DEFAULT_WINDOW, http2.windowBytes * WINDOWS_PER_CONNECTION),
        ),
        maxHeaderListBytes: limits.headerBytes,
        maxStreams: http2.maxStreams,
      },
      () => listener.nowMs(),
    );
    this.listener = listener;
    this.info = info;
    this.forwarding = listener.forwardingFor(info, true);
    this.openedMs = listener.nowMs();
    const { counters } = listener.runtime;
    counters.http2Connections++;
    counters.http2ConnectionsOpened++;
    socket.on('data', (chunk: Buffer) => this.onData(chunk));
    socket.on('end', () => this.onEnd());
    socket.on('error', () => {});
    socket.on('drain', () => this.onSocketDrain());
    socket.on('close', () => this.onClose());
    this.begin([
      [Setting.MAX_CONCURRENT_STREAMS, http2.maxStreams],
      [Setting.ENABLE_CONNECT_PROTOCOL, 1],
    ]);
    if (listener.draining) this.beginDrain();
    socket.resume();
  }

  get headEncoder(): HpackEncoder {
    return this.encoder;
  }

  private onData(chunk: Buffer): void {
    if (this.preface === null) {
      this.receive(chunk);
      return;
    }
    if (this.stopped) return;
    const wanted = PREFACE.length - this.preface.length;
    this.preface = Buffer.concat([this.preface, chunk.subarray(0, wanted)]);
    if (!PREFACE.startsWith(this.preface.toString('latin1'))) {
      this.fail(ErrorCode.PROTOCOL_ERROR, 'this is not the preface of HTTP/2');
      return;
    }
    if (this.preface.length < PREFACE.length) return;
    this.preface = null;
    if (chunk.length > wanted) this.receive(chunk, wanted);
  }

  // ---- Streams

  protected isIdle(id: number): boolean {
    // Even ones would be pushes of ours, and we push nothing.
    return id > this.lastStreamId || id % 2 === 0;
  }

  protected override get lastPeerStreamId(): number {
    return this.lastStreamId;
  }

  protected onStreamBlock(stream: Http2Stream, endStream: boolean, block: Buffer, start: number, end: number): void {
    this.takeTrailers(stream, endStream, block, start, end);
  }

  protected onOtherBlock(id: number, endStream: boolean, block: Buffer, start: number, end: number): void {
    if (id % 2 === 0) {
      this.fail(ErrorCode.PROTOCOL_ERROR, 'a client began a stream with an even number');
      return;
    }
    if (id <= this.lastStreamId) {
      if (!this.skip(block, start, end) || this.closedStreams.wasResetByUs(id)) return;
      if (this.closedStreams.has(id)) this.fail(ErrorCode.STREAM_CLOSED, 'HEADERS on a closed stream');
      else this.fail(ErrorCode.PROTOCOL_ERROR, 'streams are not begun in order');
      return;
    }
    if (!this.refusing) this.lastStreamId = id;
    if (this.refusing || this.streams.size >= this.settings.maxStreams) {
      if (!this.skip(block, start, end)) return;
      this.writeReset(id, ErrorCode.REFUSED_STREAM);
      this.closedStreams.add(id, true);
      // It knows the limit.
      if (this.settled && !this.refusing) this.countReset();
      return;
    }
    if (id > MAX_STREAM_ID - 1000) this.beginDrain();
    this.open(id, endStream, block, start, end);
  }

  private open(id: number, endStream: boolean, block: Buffer, start: number, end: number): void {
    const { listener } = this;
    const text = this.memory.request;
    text.begin(this.settings.maxHeaderListBytes);
    if (!this.decode(block, start, end, text)) return;
    const protocol = text.malformed ? '' : text.protocol;
    const key = protocol === 'websocket' ? randomBytes(16).toString('base64') : '';
    text.finish(
      endStream,
      key === '' ? '' : `connection: upgrade\r\nupgrade: websocket\r\nsec-websocket-key: ${key}\r\n`,
    );
    if (text.malformed) {
      this.refuseMalformed(id);
      return;
    }
    const nowMs = listener.nowMs();
    const receive = this.settled ? this.settings.streamWindowBytes : DEFAULT_WINDOW;
    const stream = new ClientStream(
      this,
      id,
      { send: this.peerStreamWindow, receive },
      nowMs,
      id === 1 ? this.openedMs : -1,
      key,
    );
    const { parser } = listener;
    const after = text.tooLarge ? 0 : parser.execute(text.bytes, 0, text.length);
    if (after > 0 && endStream && parser.head.contentLength > 0) {
      this.refuseMalformed(id);
      return;
    }
    this.add(stream);
    if (endStream) stream.remoteEnded = true;
    if (after > 0 && (protocol === '' || key !== '')) {
      stream.begin(parser.head, endStream);
      return;
    }
    let status = 431;
    let detail = 'The head is longer than limits.headerBytes.';
    if (after > 0) {
      // RFC 8441 knows WebSocket; others may follow.
      status = 501;
      detail = 'CONNECT is offered for WebSocket only.';
    } else if (!text.tooLarge) {
      status = parser.error?.status ?? 400;
      detail = parser.error?.message ?? 'The head of the request is not valid.';
      parser.reset();
    }
    stream.exchange.answerBroken(status, detail);
  }

  /** RFC 9113 8.1.1. */
  private refuseMalformed(id: number): void {
    this.listener.runtime.counters.refuse(400);
    this.writeReset(id, ErrorCode.PROTOCOL_ERROR);
    this.closedStreams.add(id, true);
    this.countReset();
  }

  // ---- Bounds

  protected override onPeerReset(): void {
    this.listener.runtime.counters.http2Resets.client++;
    this.countReset();
  }

  override writeReset(id: number, code: number): void {
    if (code !== ErrorCode.NO_ERROR) this.listener.runtime.counters.http2Resets.gateway++;
    super.writeReset(id, code);
  }

  override failStream(id: number, code: number): void {
    super.failStream(id, code);
    this.countReset();
  }

  /** Streams that are begun and dropped cost us work and the client none (CVE-2023-44487). */
  private countReset(): void {
    if (this.budget.reset() > this.listener.config.http2.maxResetsPerSecond)
      this.fail(ErrorCode.ENHANCE_YOUR_CALM, 'too many streams are reset');
  }

  override fail(code: number, reason: string): void {
    if (this.stopped) return;
    const { runtime, config } = this.listener;
    runtime.counters.http2Failed(code);
    runtime.logger.debug('an HTTP/2 connection is ended', {
      listener: config.name,
      peer: this.info.peer,
      code,
      reason,
    });
    super.fail(code, reason);
  }

  // ---- Its listener

  get idle(): boolean {
    return this.streams.size === 0 && this.preface === null;
  }

  get deadlineMs(): number {
    if (this.stopped) return this.lingerUntilMs;
    const { timeouts } = this.listener.config;
    if (this.preface !== null) return this.openedMs + timeouts.headerMs;
    const head = this.blockBegunMs + timeouts.headerMs;
    if (this.streams.size > 0) return Math.min(head, this.frameBegunMs + timeouts.bodyMs);
    return Math.min(head, this.frameBegunMs + timeouts.headerMs, this.idleSinceMs + timeouts.idleMs);
  }

  onDeadline(): void {
    if (this.stopped) this.socket.destroy();
    else if (this.preface !== null) this.fail(ErrorCode.PROTOCOL_ERROR, 'the preface did not come in time');
    else if (
      this.idle &&
      this.blockBegunMs === Number.POSITIVE_INFINITY &&
      this.frameBegunMs === Number.POSITIVE_INFINITY
    )
      this.finish();
    else {
      this.listener.runtime.counters.refuse(408);
      this.fail(ErrorCode.ENHANCE_YOUR_CALM, 'a frame or a header block did not arrive in time');
    }
  }

  checkProgress(nowMs: number): void {
    const { idleMs } = this.listener.config.timeouts;
    if (this.progress.stalledForMs(this.socket, nowMs) >= idleMs) {
      this.socket.destroy();
      return;
    }
    for (const stream of this.streams.values()) (stream as ClientStream).sweep(nowMs);
    if (this.streams.size === 0) this.rest();
    if (this.draining && !this.refusing && nowMs - this.drainBeganMs >= DRAIN_ANSWER_MS) this.refuseStreams();
  }

  /** Two GOAWAYs (RFC 9113 6.8): the first lets requests through that are already on their way, the second names the last one. */
  beginDrain(): void {
    if (this.draining || this.stopped) return;
    this.draining = true;
    this.drainBeganMs = this.listener.nowMs();
    this.output.goaway(MAX_STREAM_ID, ErrorCode.NO_ERROR);
    this.output.ping(NO_BYTES, 0, false);
    this.schedule();
  }

  protected override onPingAck(): void {
    if (this.draining && !this.refusing) this.refuseStreams();
  }

  private refuseStreams(): void {
    this.refusing = true;
    this.output.goaway(this.lastStreamId, ErrorCode.NO_ERROR);
    this.schedule();
    if (this.streams.size === 0) this.finish();
  }

  protected override onStreamClosed(): void {
    if (this.refusing && this.streams.size === 0 && !this.stopped) setImmediate(() => this.finish());
  }

  /** The client says that it is going: what it has asked for is answered. */
  protected onGoaway(): void {}

  finish(): void {
    this.end(ErrorCode.NO_ERROR, 'closed');
  }

  destroy(): void {
    this.socket.destroy();
  }

  /** The client has closed its side: it can't open windows any more, and nobody who waits for an answer does that. */
  private onEnd(): void {
    if (this.stopped) this.socket.destroySoon();
    else this.end(ErrorCode.NO_ERROR, 'the client closed the connection');
  }

  private onClose(): void {
    if (this.closed) return;
    this.closed = true;
    this.onSocketClosed('the connection is gone');
    this.listener.runtime.counters.http2Connections--;
    this.listener.onConnectionClosed(this);
  }
}
