import { PartList } from '../http1/part-list.ts';
import { ErrorCode, MAX_FRAME_BYTES } from './constants.ts';
import type { Session } from './session.ts';

/**
 * One stream of an HTTP/2 connection: its states, its flow control both ways, and what waits in it. What is sent waits in `queue` while a window is closed;
 * what comes while nobody takes it waits in `inbox`, at most the window that the peer was given.
 */
export abstract class Http2Stream {
  readonly id: number;
  /** The peer has sent END_STREAM. */
  remoteEnded = false;
  /** END_STREAM has been written. */
  localEnded = false;
  /** Reset by either side, or both have ended. */
  closed = false;
  /** Bytes that may be sent to the peer; negative after it made its windows smaller. */
  sendWindow: number;
  /** Bytes that wait to be sent. */
  queuedBytes = 0;
  /** Bytes of DATA payload sent: how the sweep sees whether the peer takes anything. */
  sentBytes = 0;
  protected readonly session: Session;
  /** Bytes that the peer may still send. */
  private receiveWindow: number;
  private receiveTarget: number;
  /** Taken, and not yet given back to the peer. */
  private uncredited = 0;
  private withholding = false;
  private queue: Buffer[] = [];
  /** Begin of the first buffer of `queue`. */
  private queueAt = 0;
  private ending = false;
  private trailers = '';
  private wantsDrain = false;
  private readonly inbox = new PartList();
  private inboxTrailers: string | null = null;
  private pausedReading = false;
  private delivering = false;
  /** What still comes is thrown away. */
  private unwanted = false;
  private stallMark = -1;
  private stallSinceMs = 0;

  constructor(session: Session, id: number, sendWindow: number, receiveWindow: number) {
    this.session = session;
    this.id = id;
    this.sendWindow = sendWindow;
    this.receiveWindow = receiveWindow;
    this.receiveTarget = receiveWindow;
  }

  // ---- What the owner is told

  /** A part of the body; it may be kept. */
  protected abstract onData(part: Buffer): void;
  /** The peer's side is complete. `trailers`: whole lines, or ''. */
  protected abstract onRemoteEnd(trailers: string): void;
  /** The peer reset it, or its connection is gone. Not called for what the owner does itself. */
  abstract onReset(code: number, reason: string): void;
  /** After a `write` that returned false: all of it has gone into frames. */
  protected abstract onDrain(): void;

  // ---- Receiving

  get paused(): boolean {
    return this.pausedReading;
  }

  pause(): void {
    this.pausedReading = true;
  }

  resume(): void {
    if (!this.pausedReading) return;
    this.pausedReading = false;
    this.deliver();
  }

  /** What is taken is not given back before `widen`: it is only kept. */
  withhold(): void {
    this.withholding = true;
  }

  /** Somebody takes the body from now on: the peer may send this much ahead, or at least what it has sent once more. */
  widen(windowBytes: number): void {
    this.withholding = false;
    if (this.uncredited > 0 && !this.remoteEnded && !this.closed) this.giveBack();
    if (windowBytes <= this.receiveTarget || this.remoteEnded || this.closed) return;
    const increment = windowBytes - this.receiveTarget;
    this.receiveTarget = windowBytes;
    this.receiveWindow += increment;
    this.session.sendWindowUpdate(this.id, increment);
  }

  /** DATA has come. False: more than the window allowed. `frameBytes`: its size with padding. */
  receive(part: Buffer, frameBytes: number): boolean {
    this.receiveWindow -= frameBytes;
    if (this.receiveWindow < 0) return false;
    // Padding is nobody's to take.
    if (frameBytes > part.length) this.credit(frameBytes - part.length);
    if (part.length === 0) return true;
    if (this.unwanted) {
      this.session.credit(part.length);
      return true;
    }
    this.inbox.push(part);
    this.deliver();
    return true;
  }

  /** END_STREAM has come, in DATA or with trailers. */
  receiveEnd(trailers: string): void {
    this.remoteEnded = true;
    if (this.unwanted) {
      this.closeIfEnded();
      return;
    }
    this.inboxTrailers = trailers;
    this.deliver();
  }

  private deliver(): void {
    if (this.delivering) return;
    this.delivering = true;
    while (this.inbox.length > 0 && !this.pausedReading && !this.closed) {
      const part = this.inbox.shift()!;
      this.onData(part);
      this.credit(part.length);
    }
    this.delivering = false;
    if (this.inbox.length > 0 || this.inboxTrailers === null || this.closed) return;
    const trailers = this.inboxTrailers;
    this.inboxTrailers = null;
    // First out of the way, then told: whoever hears of it may begin the next stream.
    this.closeIfEnded();
    this.onRemoteEnd(trailers);
  }

  /** A head with END_STREAM was the peer's whole message. Before the owner is told of it. */
  endedByPeerHead(): void {
    this.remoteEnded = true;
    this.closeIfEnded();
  }

  /** Gives the peer back what was taken, in steps of half a window. */
  private credit(bytes: number): void {
    this.session.credit(bytes);
    if (this.remoteEnded || this.closed) return;
    this.uncredited += bytes;
    if (!this.withholding && this.uncredited * 2 >= this.receiveTarget) this.giveBack();
  }

  private giveBack(): void {
    this.receiveWindow += this.uncredited;
    this.session.sendWindowUpdate(this.id, this.uncredited);
    this.uncredited = 0;
  }

  // ---- Sending

  /** The part must stay as it is until it has gone out. False: hold back until `onDrain`. */
  write(part: Buffer): boolean {
    if (this.closed || this.ending || part.length === 0) return true;
    this.queue.push(part);
    this.queuedBytes += part.length;
    this.pump();
    if (this.queuedBytes === 0 && !this.session.congested) return true;
    this.wantsDrain = true;
    this.session.waiting.add(this);
    return false;
  }

  /** Nothing more is sent after what waits. `last`: the last part of the body, or null. `trailers`: whole lines, or ''. */
  end(last: Buffer | null, trailers: string): void {
    if (this.closed || this.ending) return;
    if (last !== null && last.length > 0) {
      this.queue.push(last);
      this.queuedBytes += last.length;
    }
    this.ending = true;
    this.trailers = trailers;
    this.pump();
    if (this.queuedBytes > 0) this.session.waiting.add(this);
  }

  /** The same with a last part that is only good during the call. */
  endWith(last: Buffer, start: number, end: number): void {
    if (this.closed || this.ending) return;
    if (this.queuedBytes === 0 && this.session.writeLast(this, last, start, end)) {
      this.ending = true;
      this.localEnded = true;
      this.sentBytes += end - start;
      this.closeIfEnded();
    } else this.end(Buffer.from(last.subarray(start, end)), '');
  }

  /** The head was the whole message. */
  endedByHead(): void {
    this.ending = true;
    this.localEnded = true;
    this.closeIfEnded();
  }

  /** END_STREAM has been written, or will be when what waits has gone out. */
  get hasEnded(): boolean {
    return this.ending;
  }

  private pump(): void {
    while (this.sendFrame());
  }

  /** Sends one frame if it may. Returns true when it did. */
  sendFrame(): boolean {
    if (this.closed || this.localEnded) return false;
    if (this.queuedBytes === 0) {
      if (!this.ending) return false;
      this.localEnded = true;
      if (this.trailers === '') this.session.writeEnd(this.id);
      else this.session.writeTrailers(this.id, this.trailers);
      this.closeIfEnded();
      return true;
    }
    const { session } = this;
    const room = Math.min(this.sendWindow, session.sendWindow, MAX_FRAME_BYTES);
    if (room <= 0 || session.congested) return false;
    const part = this.queue[0]!;
    const size = Math.min(room, part.length - this.queueAt);
    const endsStream = this.ending && this.trailers === '' && size === this.queuedBytes;
    session.writeData(this.id, part, this.queueAt, this.queueAt + size, endsStream);
    this.sendWindow -= size;
    session.sendWindow -= size;
    this.queuedBytes -= size;
    this.sentBytes += size;
    if (this.queueAt + size === part.length) {
      this.queue.shift();
      this.queueAt = 0;
    } else this.queueAt += size;
    if (endsStream) {
      this.localEnded = true;
      this.closeIfEnded();
    }
    return true;
  }

  /** A window has opened or the socket takes more. Called by the session for streams in `waiting`. */
  afterPump(): void {
    if (this.queuedBytes > 0) return;
    // The end needs no window.
    if (this.ending) this.sendFrame();
    this.session.waiting.delete(this);
    if (!this.wantsDrain || this.closed) return;
    this.wantsDrain = false;
    this.onDrain();
  }

  /** For how long the peer has taken nothing of what waits, ms. */
  stalledForMs(nowMs: number): number {
    if (this.queuedBytes === 0) {
      this.stallMark = -1;
      return 0;
    }
    if (this.stallMark !== this.sentBytes) {
      this.stallMark = this.sentBytes;
      this.stallSinceMs = nowMs;
    }
    return nowMs - this.stallSinceMs;
  }

  // ---- End

  /** Ends it at once; what waits is thrown away. The owner is not told. */
  reset(code: number): void {
    if (this.closed) return;
    this.session.writeReset(this.id, code);
    this.close(true);
  }

  /** The response is out and the rest of the request isn't wanted (RFC 9113 8.1): reset without an error once all of it has been sent. */
  endReading(): void {
    this.pausedReading = false;
    this.unwanted = true;
    this.dropInbox();
    this.inboxTrailers = null;
    this.closeIfEnded();
  }

  private closeIfEnded(): void {
    if (this.closed || !this.localEnded) return;
    if (this.remoteEnded && this.inbox.length === 0 && this.inboxTrailers === null) this.close(false);
    else if (this.unwanted) this.reset(ErrorCode.NO_ERROR);
  }

  /** Forgets what waits and leaves the session. */
  close(resetByUs: boolean): void {
    if (this.closed) return;
    this.closed = true;
    this.queue = [];
    this.queuedBytes = 0;
    this.dropInbox();
    this.session.remove(this, resetByUs);
  }

  private dropInbox(): void {
    const { bytes } = this.inbox;
    this.inbox.clear();
    if (bytes > 0) this.session.credit(bytes);
  }
}
