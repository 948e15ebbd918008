import type { Socket } from 'node:net';
import type { TLSSocket } from 'node:tls';
import { ResponseParser } from '../../http1/response-parser.ts';
import { ErrorCode, MAX_STREAM_ID, PREFACE, Setting } from '../../http2/constants.ts';
import type { HpackEncoder } from '../../http2/hpack-encoder.ts';
import type { Http2Memory } from '../../http2/memory.ts';
import { Session } from '../../http2/session.ts';
import type { Http2Stream } from '../../http2/stream.ts';
import type { UpstreamOptions } from './connection.ts';
import type { Http2Carrier, Http2Request } from './http2-request.ts';
import { EndpointStream } from './http2-request.ts';

/** Window of a stream: so much may wait of a response whose client is slow, bytes. All streams at once fit into the connection's. */
const STREAM_WINDOW = 262_144;
/** Requests on one connection at once, whatever more the endpoint allows; another connection takes those beyond it. */
export const MAX_STREAMS = 128;
/** Nothing has come for this long though something is under way, ms: the endpoint is asked. Not more often, since gRPC servers take that for an attack. */
const PING_AFTER_MS = 310_000;
const PING_ANSWER_MS = 20_000;
const NO_BYTES = Buffer.alloc(8);

export interface EndpointSessionOwner {
  /** Room may have become free. */
  onRoom(): void;
}

/** One HTTP/2 connection to an endpoint, open and ready. */
export class EndpointSession extends Session implements Http2Carrier {
  served = 0;
  readonly isTls: boolean;
  /** No new requests: the endpoint said that it is going, or we do. */
  going = false;
  private readonly owner: EndpointSessionOwner;
  private readonly parser: ResponseParser;
  private peerMaxStreams = MAX_STREAMS;
  private lastReceivedMs: number;
  private pingedMs = 0;

  constructor(socket: Socket, memory: Http2Memory, options: UpstreamOptions, owner: EndpointSessionOwner) {
    super(
      socket,
      memory,
      {
        streamWindowBytes: STREAM_WINDOW,
        connectionWindowBytes: STREAM_WINDOW * MAX_STREAMS,
        maxHeaderListBytes: options.limits.headerBytes,
        maxStreams: MAX_STREAMS,
      },
      options.nowMs,
    );
    this.owner = owner;
    this.parser = new ResponseParser(options.limits);
    this.isTls = (socket as TLSSocket).encrypted === true;
    this.lastReceivedMs = options.nowMs();
    this.output.raw(PREFACE);
    this.begin([[Setting.ENABLE_PUSH, 0]]);
  }

  get session(): Session {
    return this;
  }

  get headEncoder(): HpackEncoder {
    return this.encoder;
  }

  get hasRoom(): boolean {
    return !this.going && !this.stopped && this.streams.size < this.peerMaxStreams;
  }

  openStream(request: Http2Request): EndpointStream {
    const id = this.lastStreamId === 0 ? 1 : this.lastStreamId + 2;
    this.lastStreamId = id;
    if (id > MAX_STREAM_ID - 1000) this.going = true;
    const stream = new EndpointStream(
      this,
      id,
      { send: this.peerStreamWindow, receive: this.settings.streamWindowBytes },
      request,
    );
    this.add(stream);
    return stream;
  }

  onRequestOver(): void {
    this.served++;
  }

  override receive(chunk: Buffer, start = 0): void {
    this.lastReceivedMs = this.nowMs();
    this.pingedMs = 0;
    super.receive(chunk, start);
  }

  protected isIdle(id: number): boolean {
    return id > this.lastStreamId || id % 2 === 0;
  }

  protected onStreamBlock(stream: Http2Stream, endStream: boolean, block: Buffer, start: number, end: number): void {
    const { request } = stream as EndpointStream;
    if (request.headSeen) {
      this.takeTrailers(stream, endStream, block, start, end);
      return;
    }
    const text = this.memory.response;
    text.begin(this.settings.maxHeaderListBytes);
    if (!this.decode(block, start, end, text)) return;
    text.finish(endStream, request.method === 'HEAD');
    const isReadable = !text.malformed && !text.tooLarge;
    const after = isReadable ? this.parser.execute(text.bytes, 0, text.length) : -2;
    if (after !== text.length) {
      const why = text.malformed ? 'malformed' : text.tooLarge ? 'its head is too large' : this.parser.error?.message;
      this.parser.reset();
      request.invalid(why ?? '');
      return;
    }
    if (endStream) stream.endedByPeerHead();
    if (!request.onHead(this.parser.head, endStream)) request.invalid('malformed');
  }

  protected onOtherBlock(id: number, _endStream: boolean, block: Buffer, start: number, end: number): void {
    if (this.isIdle(id)) this.fail(ErrorCode.PROTOCOL_ERROR, 'HEADERS on an idle stream');
    else if (this.skip(block, start, end) && !this.closedStreams.wasResetByUs(id))
      this.failStream(id, ErrorCode.STREAM_CLOSED);
  }

  protected override onSettings(id: number, value: number): void {
    if (id !== Setting.MAX_CONCURRENT_STREAMS) return;
    this.peerMaxStreams = Math.min(value, MAX_STREAMS);
    this.owner.onRoom();
  }

  /** Streams above `lastId` were not looked at (RFC 9113 6.8): they go elsewhere. */
  protected onGoaway(lastId: number, code: number): void {
    this.going = true;
    const refused = [...this.streams.values()].filter((stream) => stream.id > lastId) as EndpointStream[];
    for (const stream of refused) {
      stream.refused = true;
      stream.close(false);
    }
    for (const stream of refused) stream.onReset(code, 'the endpoint is going');
    this.owner.onRoom();
    this.endIfOver();
  }

  protected override onStreamClosed(): void {
    this.endIfOver();
    if (!this.stopped) this.owner.onRoom();
  }

  private endIfOver(): void {
    if (this.going && this.streams.size === 0 && !this.stopped) this.end(ErrorCode.NO_ERROR, 'going');
  }

  /** Takes no new requests and ends with the last one. */
  retire(): void {
    this.going = true;
    this.endIfOver();
  }

  tick(nowMs: number, idleTimeoutMs: number): void {
    if (this.stopped) {
      if (nowMs >= this.lingerUntilMs) this.socket.destroy();
      return;
    }
    if (this.streams.size === 0) {
      this.rest();
      if (nowMs - this.idleSinceMs >= idleTimeoutMs) this.retire();
      return;
    }
    if (this.pingedMs > 0) {
      if (nowMs - this.pingedMs >= PING_ANSWER_MS) this.socket.destroy();
    } else if (nowMs - this.lastReceivedMs >= PING_AFTER_MS) {
      this.pingedMs = nowMs;
      this.output.ping(NO_BYTES, 0, false);
      this.schedule();
    }
  }
}
