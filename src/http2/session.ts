import type { Socket } from 'node:net';
import { ClosedStreams } from './closed-streams.ts';
import { DEFAULT_WINDOW, errorName, ErrorCode, Flag, FrameType, MAX_WINDOW, Setting } from './constants.ts';
import { COPIED_BYTES, FrameOutput } from './frame-output.ts';
import { FrameBudget } from './frame-budget.ts';
import { FrameReader } from './frame-reader.ts';
import { HeaderBlock } from './header-block.ts';
import type { FrameSink } from './frame-reader.ts';
import { HpackDecoder } from './hpack-decoder.ts';
import type { FieldSink } from './hpack-decoder.ts';
import { HpackEncoder } from './hpack-encoder.ts';
import type { Http2Memory } from './memory.ts';
import type { Http2Stream } from './stream.ts';

export interface SessionSettings {
  /** Window of a stream while nobody takes its body, bytes (SETTINGS_INITIAL_WINDOW_SIZE). */
  streamWindowBytes: number;
  /** Window of the connection, bytes, at least 65,535. */
  connectionWindowBytes: number;
  /** SETTINGS_MAX_HEADER_LIST_SIZE, bytes. A block, as it comes over the wire, may be twice as large. */
  maxHeaderListBytes: number;
  /** SETTINGS_MAX_CONCURRENT_STREAMS, which the peer may open. */
  maxStreams: number;
}

/** Bytes that wait in a socket above which nothing more is written or read. */
const CONGESTED_BYTES = 131_072;
/** Bytes that wait for the end of the turn above which they are written at once. */
const EAGER_BYTES = 65_536;
/** A larger WINDOW_UPDATE counts as work. */
const SMALL_INCREMENT = 256;
/** Streams whose end is remembered. */
const REMEMBERED_STREAMS = 512;
/** How long a connection that was ended by an error still takes what comes, so that the peer gets to see the GOAWAY, ms. */
const LINGER_MS = 1000;

const NOWHERE: FieldSink = { onField() {} };

/**
 * One HTTP/2 connection, from either end (RFC 9113): frames in and out, settings, flow control of the connection, header blocks, errors. What its streams
 * mean is for the classes that extend it.
 */
export abstract class Session implements FrameSink {
  readonly socket: Socket;
  /** Open streams by id. */
  readonly streams = new Map<number, Http2Stream>();
  /** Streams that wait for a window or for the socket, the next one first. */
  readonly waiting = new Set<Http2Stream>();
  /** Bytes that may be sent to the peer over all streams. */
  sendWindow = DEFAULT_WINDOW;
  /** The connection takes nothing more: it was ended, by us or the peer. */
  stopped = false;
  /** Monotonic ms until which an ended connection still takes what comes; Infinity: not ended. */
  lingerUntilMs = Number.POSITIVE_INFINITY;
  /** Monotonic ms since which it has had no stream. */
  idleSinceMs: number;
  /** Why it ended, for logs; '' while it is open. */
  failure = '';
  protected readonly memory: Http2Memory;
  protected readonly output = new FrameOutput();
  protected readonly encoder: HpackEncoder;
  protected readonly settings: SessionSettings;
  /** The peer has acknowledged our settings. */
  protected settled = false;
  /** The highest id of a stream that was begun by the peer (server) or by us (client). */
  protected lastStreamId = 0;
  protected readonly nowMs: () => number;
  /** Window that the peer gives each new stream. */
  protected peerStreamWindow = DEFAULT_WINDOW;
  protected readonly closedStreams = new ClosedStreams(REMEMBERED_STREAMS);
  private readonly decoder: HpackDecoder;
  private readonly reader: FrameReader;
  private receiveWindow = DEFAULT_WINDOW;
  private uncredited = 0;
  private peerSettingsSeen = false;
  /** The one whose CONTINUATION is awaited. */
  private readonly block: HeaderBlock;
  /** Frames that came, and since when one has been incomplete. */
  private frames = 0;
  private partialSinceMs = Number.POSITIVE_INFINITY;
  protected readonly budget: FrameBudget;
  private flushScheduled = false;
  private readonly flushLater = (): void => {
    this.flushScheduled = false;
    this.flush();
  };

  constructor(socket: Socket, memory: Http2Memory, settings: SessionSettings, nowMs: () => number) {
    this.socket = socket;
    this.memory = memory;
    this.settings = settings;
    this.nowMs = nowMs;
    this.idleSinceMs = nowMs();
    this.encoder = new HpackEncoder(memory.encoder);
    this.decoder = new HpackDecoder(memory.decoder);
    this.reader = new FrameReader(this);
    this.block = new HeaderBlock(2 * settings.maxHeaderListBytes);
    this.budget = new FrameBudget(nowMs);
  }

  // ---- For those that extend it

  /** A whole header block of an open stream whose peer has not ended it: trailers, or a response. Has to be decoded, now. */
  protected abstract onStreamBlock(
    stream: Http2Stream,
    endStream: boolean,
    block: Buffer,
    start: number,
    end: number,
  ): void;
  /** A header block for a stream that is not open. Has to be decoded, now, or the connection failed. */
  protected abstract onOtherBlock(id: number, endStream: boolean, block: Buffer, start: number, end: number): void;
  /** Whether a stream of this id was never begun. */
  protected abstract isIdle(id: number): boolean;
  /** The peer reset one of its streams. */
  protected onPeerReset(_stream: Http2Stream, _code: number): void {}
  /** The peer will answer no stream above `lastId`. */
  protected abstract onGoaway(lastId: number, code: number): void;
  protected onPingAck(): void {}
  protected onSettings(_id: number, _value: number): void {}
  /** The number of open streams has become less. */
  protected onStreamClosed(_stream: Http2Stream): void {}

  // ---- Reading

  protected begin(more: readonly (readonly [id: number, value: number])[]): void {
    const { settings, output } = this;
    output.settings([
      [Setting.INITIAL_WINDOW_SIZE, settings.streamWindowBytes],
      [Setting.MAX_HEADER_LIST_SIZE, settings.maxHeaderListBytes],
      ...more,
    ]);
    const increment = settings.connectionWindowBytes - DEFAULT_WINDOW;
    if (increment > 0) {
      this.receiveWindow += increment;
      output.windowUpdate(0, increment);
    }
    this.schedule();
  }

  /** Bytes from the socket; parts of the chunk may be kept. */
  receive(chunk: Buffer, start = 0): void {
    if (this.stopped) return;
    const before = this.frames;
    this.reader.execute(chunk, start);
    if (!this.reader.partial) this.partialSinceMs = Number.POSITIVE_INFINITY;
    else if (before !== this.frames || this.partialSinceMs === Number.POSITIVE_INFINITY)
      this.partialSinceMs = this.nowMs();
    // Answers to what a peer sends faster than it reads would pile up.
    if (this.congested && !this.socket.isPaused()) this.socket.pause();
  }

  onFrameTooLarge(): void {
    this.fail(ErrorCode.FRAME_SIZE_ERROR, 'a frame is larger than 16,384 bytes');
  }

  onFrame(type: number, flags: number, id: number, bytes: Buffer, start: number, end: number): void {
    this.frames++;
    const { streamId } = this.block;
    if (streamId !== 0 && (type !== FrameType.CONTINUATION || id !== streamId)) {
      this.fail(ErrorCode.PROTOCOL_ERROR, 'a header block was interrupted');
      return;
    }
    if (!this.peerSettingsSeen) {
      // RFC 9113 3.4: the first frame of either side.
      if (type !== FrameType.SETTINGS || (flags & Flag.ACK) !== 0) {
        this.fail(ErrorCode.PROTOCOL_ERROR, 'the first frame is not SETTINGS');
        return;
      }
      this.peerSettingsSeen = true;
    }
    switch (type) {
      case FrameType.DATA:
        this.onDataFrame(flags, id, bytes, start, end);
        return;
      case FrameType.HEADERS:
        this.onHeadersFrame(flags, id, bytes, start, end);
        return;
      case FrameType.PRIORITY:
        this.countIdleFrame();
        if (id === 0) this.fail(ErrorCode.PROTOCOL_ERROR, 'PRIORITY on stream 0');
        else if (end - start !== 5) this.failStream(id, ErrorCode.FRAME_SIZE_ERROR);
        else if (dependsOn(bytes, start) === id) this.failStream(id, ErrorCode.PROTOCOL_ERROR);
        return;
      case FrameType.RST_STREAM:
        this.onRstFrame(id, bytes, start, end);
        return;
      case FrameType.SETTINGS:
        this.onSettingsFrame(flags, id, bytes, start, end);
        return;
      case FrameType.PUSH_PROMISE:
        this.fail(ErrorCode.PROTOCOL_ERROR, 'PUSH_PROMISE is not accepted');
        return;
      case FrameType.PING:
        if (id !== 0) this.fail(ErrorCode.PROTOCOL_ERROR, 'PING on a stream');
        else if (end - start !== 8) this.fail(ErrorCode.FRAME_SIZE_ERROR, 'PING of a wrong size');
        else if ((flags & Flag.ACK) !== 0) this.onPingAck();
        else {
          this.countIdleFrame();
          this.output.ping(bytes, start, true);
          this.schedule();
        }
        return;
      case FrameType.GOAWAY:
        if (id !== 0) this.fail(ErrorCode.PROTOCOL_ERROR, 'GOAWAY on a stream');
        else if (end - start < 8) this.fail(ErrorCode.FRAME_SIZE_ERROR, 'GOAWAY of a wrong size');
        else this.onGoaway(bytes.readUInt32BE(start) & 0x7fff_ffff, bytes.readUInt32BE(start + 4));
        return;
      case FrameType.WINDOW_UPDATE:
        this.onWindowFrame(id, bytes, start, end);
        return;
      case FrameType.CONTINUATION:
        this.onContinuation(flags, bytes, start, end);
        return;
      default:
        // RFC 9113 5.5: unknown types are ignored.
        this.countIdleFrame();
    }
  }

  private onDataFrame(flags: number, id: number, bytes: Buffer, start: number, end: number): void {
    const size = end - start;
    if (id === 0) {
      this.fail(ErrorCode.PROTOCOL_ERROR, 'DATA on stream 0');
      return;
    }
    let from = start;
    let to = end;
    if ((flags & Flag.PADDED) !== 0) {
      const padding = size === 0 ? 0 : bytes[start]!;
      if (padding + 1 > size) {
        this.fail(ErrorCode.PROTOCOL_ERROR, 'padding is longer than its frame');
        return;
      }
      from++;
      to -= padding;
    }
    this.receiveWindow -= size;
    if (this.receiveWindow < 0) {
      this.fail(ErrorCode.FLOW_CONTROL_ERROR, 'DATA beyond the window of the connection');
      return;
    }
    if (from === to && (flags & Flag.END_STREAM) === 0) this.countIdleFrame();
    const stream = this.streams.get(id);
    if (stream === undefined || stream.remoteEnded) {
      this.credit(size);
      if (stream !== undefined || this.closedStreams.has(id)) {
        // What was sent before our reset was known is thrown away.
        if (!this.closedStreams.wasResetByUs(id)) this.failStream(id, ErrorCode.STREAM_CLOSED);
      } else if (this.isIdle(id)) this.fail(ErrorCode.PROTOCOL_ERROR, 'DATA on an idle stream');
      else this.failStream(id, ErrorCode.STREAM_CLOSED);
      return;
    }
    if (!stream.receive(bytes.subarray(from, to), size)) {
      this.credit(size);
      this.failStream(id, ErrorCode.FLOW_CONTROL_ERROR);
    } else if ((flags & Flag.END_STREAM) !== 0 && !stream.closed) stream.receiveEnd('');
  }

  private onHeadersFrame(flags: number, id: number, bytes: Buffer, start: number, end: number): void {
    if (id === 0) {
      this.fail(ErrorCode.PROTOCOL_ERROR, 'HEADERS on stream 0');
      return;
    }
    let from = start;
    let to = end;
    let padding = 0;
    if ((flags & Flag.PADDED) !== 0) padding = from < to ? bytes[from++]! : 256;
    if ((flags & Flag.PRIORITY) !== 0) {
      if (to - from >= 5 && dependsOn(bytes, from) === id) {
        this.fail(ErrorCode.PROTOCOL_ERROR, 'a stream depends on itself');
        return;
      }
      from += 5;
    }
    to -= padding;
    if (from > to) {
      this.fail(ErrorCode.PROTOCOL_ERROR, 'padding is longer than its frame');
      return;
    }
    const endStream = (flags & Flag.END_STREAM) !== 0;
    if ((flags & Flag.END_HEADERS) !== 0) {
      this.takeBlock(id, endStream, bytes, from, to);
      return;
    }
    this.block.begin(id, endStream, bytes.subarray(from, to), this.nowMs());
  }

  private onContinuation(flags: number, bytes: Buffer, start: number, end: number): void {
    const { block } = this;
    const { streamId, endsStream } = block;
    if (streamId === 0) this.fail(ErrorCode.PROTOCOL_ERROR, 'CONTINUATION without HEADERS');
    else if (!block.add(bytes.subarray(start, end)))
      this.fail(ErrorCode.ENHANCE_YOUR_CALM, 'a header block is too long');
    else if ((flags & Flag.END_HEADERS) !== 0) {
      const whole = block.take();
      this.takeBlock(streamId, endsStream, whole, 0, whole.length);
    }
  }

  private takeBlock(id: number, endStream: boolean, block: Buffer, start: number, end: number): void {
    const stream = this.streams.get(id);
    if (stream === undefined) this.onOtherBlock(id, endStream, block, start, end);
    else if (stream.remoteEnded) {
      if (this.decode(block, start, end, NOWHERE)) this.failStream(id, ErrorCode.STREAM_CLOSED);
    } else this.onStreamBlock(stream, endStream, block, start, end);
  }

  /** False: the connection has failed. */
  protected decode(block: Buffer, start: number, end: number, sink: FieldSink): boolean {
    if (this.decoder.decode(block, start, end, sink)) return true;
    this.fail(ErrorCode.COMPRESSION_ERROR, 'a header block can not be decoded');
    return false;
  }

  /** Decodes a block that nobody wants, for what it does to the table. */
  protected skip(block: Buffer, start: number, end: number): boolean {
    return this.decode(block, start, end, NOWHERE);
  }

  /** Trailers of an open stream. */
  protected takeTrailers(stream: Http2Stream, endStream: boolean, block: Buffer, start: number, end: number): void {
    const { trailers } = this.memory;
    trailers.begin(this.settings.maxHeaderListBytes);
    if (!this.decode(block, start, end, trailers)) return;
    // RFC 9113 8.1: they end the stream.
    if (!endStream || trailers.malformed) this.failStream(stream.id, ErrorCode.PROTOCOL_ERROR);
    else if (trailers.tooLarge) this.failStream(stream.id, ErrorCode.ENHANCE_YOUR_CALM);
    else stream.receiveEnd(trailers.text);
  }

  private onRstFrame(id: number, bytes: Buffer, start: number, end: number): void {
    if (end - start !== 4) this.fail(ErrorCode.FRAME_SIZE_ERROR, 'RST_STREAM of a wrong size');
    else if (id === 0 || this.isIdle(id)) this.fail(ErrorCode.PROTOCOL_ERROR, 'RST_STREAM on an idle stream');
    else {
      const stream = this.streams.get(id);
      if (stream === undefined) {
        this.countIdleFrame();
        return;
      }
      const code = bytes.readUInt32BE(start);
      this.onPeerReset(stream, code);
      if (stream.closed) return;
      stream.close(false);
      stream.onReset(code, `reset by the peer (${errorName(code)})`);
    }
  }

  private onSettingsFrame(flags: number, id: number, bytes: Buffer, start: number, end: number): void {
    if (id !== 0) {
      this.fail(ErrorCode.PROTOCOL_ERROR, 'SETTINGS on a stream');
      return;
    }
    if ((flags & Flag.ACK) !== 0) {
      if (start !== end) this.fail(ErrorCode.FRAME_SIZE_ERROR, 'an acknowledgement of SETTINGS has a payload');
      this.settled = true;
      return;
    }
    if ((end - start) % 6 !== 0) {
      this.fail(ErrorCode.FRAME_SIZE_ERROR, 'SETTINGS of a wrong size');
      return;
    }
    this.countIdleFrame();
    for (let at = start; at < end && !this.stopped; at += 6)
      this.applySetting(bytes.readUInt16BE(at), bytes.readUInt32BE(at + 2));
    if (this.stopped) return;
    this.output.settingsAck();
    this.schedule();
    this.pumpAll();
  }

  private applySetting(id: number, value: number): void {
    switch (id) {
      case Setting.HEADER_TABLE_SIZE:
        this.encoder.setLimit(value);
        break;
      case Setting.ENABLE_PUSH:
      case Setting.ENABLE_CONNECT_PROTOCOL:
        if (value > 1) this.fail(ErrorCode.PROTOCOL_ERROR, 'a setting has a value other than 0 and 1');
        break;
      case Setting.INITIAL_WINDOW_SIZE: {
        if (value > MAX_WINDOW) {
          this.fail(ErrorCode.FLOW_CONTROL_ERROR, 'an initial window above 2^31-1');
          return;
        }
        // RFC 9113 6.9.2: windows of open streams move by the difference, and may become negative.
        const change = value - this.peerStreamWindow;
        this.peerStreamWindow = value;
        for (const stream of this.streams.values()) {
          stream.sendWindow += change;
          if (stream.sendWindow <= MAX_WINDOW) continue;
          this.fail(ErrorCode.FLOW_CONTROL_ERROR, 'a window above 2^31-1');
          return;
        }
        break;
      }
      case Setting.MAX_FRAME_SIZE:
        if (value < 16_384 || value > 16_777_215) this.fail(ErrorCode.PROTOCOL_ERROR, 'a forbidden frame size');
        break;
      default:
    }
    if (!this.stopped) this.onSettings(id, value);
  }

  private onWindowFrame(id: number, bytes: Buffer, start: number, end: number): void {
    if (end - start !== 4) {
      this.fail(ErrorCode.FRAME_SIZE_ERROR, 'WINDOW_UPDATE of a wrong size');
      return;
    }
    const increment = bytes.readUInt32BE(start) & 0x7fff_ffff;
    if (increment < SMALL_INCREMENT) this.countIdleFrame();
    if (id === 0) {
      this.sendWindow += increment;
      if (increment === 0) this.fail(ErrorCode.PROTOCOL_ERROR, 'WINDOW_UPDATE by 0');
      else if (this.sendWindow > MAX_WINDOW) this.fail(ErrorCode.FLOW_CONTROL_ERROR, 'a window above 2^31-1');
      else this.pumpAll();
      return;
    }
    const stream = this.streams.get(id);
    if (stream === undefined) {
      if (this.isIdle(id)) this.fail(ErrorCode.PROTOCOL_ERROR, 'WINDOW_UPDATE on an idle stream');
      return;
    }
    stream.sendWindow += increment;
    if (increment === 0) this.failStream(id, ErrorCode.PROTOCOL_ERROR);
    else if (stream.sendWindow > MAX_WINDOW) this.failStream(id, ErrorCode.FLOW_CONTROL_ERROR);
    else if (this.waiting.has(stream)) {
      while (stream.sendFrame());
      stream.afterPump();
    }
  }

  // ---- Bounds

  private countIdleFrame(): void {
    if (!this.budget.idleFrame()) this.fail(ErrorCode.ENHANCE_YOUR_CALM, 'too many frames that bring nothing');
  }

  /** A stream was begun: adds it. */
  protected add(stream: Http2Stream): void {
    this.budget.streamBegun();
    this.streams.set(stream.id, stream);
  }

  /** Monotonic ms at which a header block was begun that is not complete; Infinity: there is none. */
  get blockBegunMs(): number {
    return this.block.sinceMs;
  }

  /** Monotonic ms at which a frame was begun that is not complete; Infinity: there is none. */
  get frameBegunMs(): number {
    return this.partialSinceMs;
  }

  /** More is written than the peer reads. The socket's `drain` follows. */
  get congested(): boolean {
    // What waits in `output` is not counted: it is soon with the socket, which then tells when it has gone.
    return this.socket.writableLength > CONGESTED_BYTES;
  }

  get unsentBytes(): number {
    return this.output.bytes + this.socket.writableLength;
  }

  // ---- Writing, for streams

  /** Writes what waits at the end of this turn of the event loop. */
  protected schedule(): void {
    if (this.output.bytes >= EAGER_BYTES) this.flush();
    else if (!this.flushScheduled) {
      this.flushScheduled = true;
      setImmediate(this.flushLater);
    }
  }

  flush(): void {
    const { socket, output } = this;
    if (output.bytes === 0) return;
    const pieces = output.take();
    if (socket.destroyed || socket.writableEnded) return;
    if (pieces.length === 1) {
      socket.write(pieces[0]!);
      return;
    }
    socket.cork();
    for (const piece of pieces) socket.write(piece);
    socket.uncork();
  }

  /** The socket has sent what was written. */
  onSocketDrain(): void {
    if (this.socket.isPaused()) this.socket.resume();
    this.pumpAll();
  }

  /** Gives every waiting stream its turn, one frame after the other. */
  private pumpAll(): void {
    const { waiting } = this;
    // What is added during the loop is visited by it.
    for (const stream of waiting) {
      if (this.congested) return;
      if (stream.sendFrame() && stream.queuedBytes > 0) {
        waiting.delete(stream);
        waiting.add(stream);
      } else stream.afterPump();
    }
  }

  /** The block that `encoder` has just been given. */
  writeBlock(id: number, endStream: boolean): void {
    this.output.headers(id, this.encoder.bytes, this.encoder.end(), endStream);
    this.schedule();
  }

  writeTrailers(id: number, lines: string): void {
    this.encoder.begin();
    this.encoder.lines(lines);
    this.writeBlock(id, true);
  }

  writeData(id: number, part: Buffer, start: number, end: number, endStream: boolean): void {
    this.output.data(id, part, start, end, endStream);
    this.schedule();
  }

  /** A small last part, which is copied. False: it has to wait. */
  writeLast(stream: Http2Stream, part: Buffer, start: number, end: number): boolean {
    const size = end - start;
    if (size > COPIED_BYTES || size > stream.sendWindow || size > this.sendWindow || this.congested) return false;
    stream.sendWindow -= size;
    this.sendWindow -= size;
    this.writeData(stream.id, part, start, end, true);
    return true;
  }

  /** END_STREAM by itself. */
  writeEnd(id: number): void {
    this.output.data(id, EMPTY, 0, 0, true);
    this.schedule();
  }

  writeReset(id: number, code: number): void {
    this.output.rstStream(id, code);
    this.schedule();
  }

  sendWindowUpdate(id: number, increment: number): void {
    if (this.stopped) return;
    this.output.windowUpdate(id, increment);
    this.schedule();
  }

  /** Bytes of DATA were taken (or thrown away): the peer may send as many again. */
  credit(bytes: number): void {
    this.uncredited += bytes;
    if (this.uncredited * 2 < this.settings.connectionWindowBytes) return;
    this.receiveWindow += this.uncredited;
    this.sendWindowUpdate(0, this.uncredited);
    this.uncredited = 0;
  }

  // ---- Ends

  /** A stream error (RFC 9113 5.4.2). */
  failStream(id: number, code: number): void {
    const stream = this.streams.get(id);
    if (stream === undefined) {
      this.writeReset(id, code);
      this.closedStreams.add(id, true);
      return;
    }
    stream.reset(code);
    stream.onReset(code, errorName(code));
  }

  /** A stream has closed. */
  remove(stream: Http2Stream, resetByUs: boolean): void {
    this.streams.delete(stream.id);
    this.waiting.delete(stream);
    this.closedStreams.add(stream.id, resetByUs);
    if (this.streams.size === 0) this.idleSinceMs = this.nowMs();
    this.onStreamClosed(stream);
  }

  /** A connection error (RFC 9113 5.4.1). */
  fail(code: number, reason: string): void {
    this.end(code, reason);
  }

  /** Ends the connection: GOAWAY, then FIN. Streams that are open are told that they were reset. */
  end(code: number, reason: string): void {
    if (this.stopped) return;
    this.stopped = true;
    this.failure = reason;
    this.output.goaway(this.lastPeerStreamId, code);
    this.flush();
    this.closeStreams(code, reason);
    const linger = (): void => {
      this.lingerUntilMs = this.nowMs() + LINGER_MS;
    };
    // An orderly end waits for what is still in the socket, as long as the peer takes it.
    if (code === ErrorCode.NO_ERROR && this.socket.writableLength > 0) this.socket.once('finish', linger);
    else linger();
    this.socket.end();
    // What still comes is thrown away: closing with unread bytes would send RST, and the GOAWAY would be lost.
    if (this.socket.isPaused()) this.socket.resume();
  }

  /** What GOAWAY says: the last stream of the peer that was looked at. */
  protected get lastPeerStreamId(): number {
    return 0;
  }

  /** Each stream is told, after all are closed. */
  protected closeStreams(code: number, reason: string): void {
    const open = [...this.streams.values()];
    for (const stream of open) stream.close(true);
    for (const stream of open) stream.onReset(code, reason);
  }

  /** The socket is closed. */
  onSocketClosed(reason: string): void {
    this.stopped = true;
    if (this.failure === '') this.failure = reason;
    this.closeStreams(ErrorCode.CANCEL, reason);
  }

  /** Lets go of memory that only a busy connection needs. */
  protected rest(): void {
    if (this.output.bytes === 0) this.output.shrink();
  }
}

const EMPTY = Buffer.alloc(0);

/** The stream that a PRIORITY names (RFC 7540 5.3.1). */
function dependsOn(bytes: Buffer, at: number): number {
  return bytes.readUInt32BE(at) & 0x7fff_ffff;
}
