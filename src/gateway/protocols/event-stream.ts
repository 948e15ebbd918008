import type { ResponseHead } from '../../http1/response-head.ts';
import type { BodyOutput } from '../filters/body-transform.ts';
import type { TimedTransform } from '../filters/transform-chain.ts';

const CR = 13;
const LF = 10;
const BYTE_ORDER_MARK = Buffer.from([0xef, 0xbb, 0xbf]);
/** A comment and the end of an event without data, which readers throw away. */
const HEARTBEAT = Buffer.from(': \n\n', 'latin1');
const EVENT_STREAM = /^text\/event-stream[ \t]*(?:;|$)/i;

export interface EventStreamOptions {
  /** After this much silence a comment is sent; 0: never. */
  heartbeatMs: number;
  /** Told to clients as `retry:` when the stream doesn't begin with one of its own; 0: not told. */
  retryMs: number;
}

export function isEventStream(head: ResponseHead): boolean {
  const type = head.value('content-type');
  return type !== undefined && EVENT_STREAM.test(type);
}

/** A response of type text/event-stream, not compressed, on its way to the client (HTML, 9.2 Server-sent events). */
export function createEventStream(options: EventStreamOptions, nowMs: number): TimedTransform {
  return new EventStream(options, nowMs);
}

/**
 * Passes the bytes on as they come, each part at once and without a copy, and remembers no more of them than whether an event has just ended: comments
 * may stand there. Time comes from the caller's sweep.
 */
class EventStream implements TimedTransform {
  private readonly options: EventStreamOptions;
  private output: BodyOutput | null = null;
  /** The last three bytes; the beginning is like the end of an event. */
  private tail = 0x0a0a0a;
  /** Bytes that may be the beginning of a byte order mark. */
  private begun: Buffer | null = null;
  private opened = false;
  /** Something of ours went out: a byte order mark would not stand at the beginning any more, where alone it has no meaning (9.2.6). */
  private spoke = false;
  private moved = false;
  private movedMs: number;
  /** The client does not take what was sent: it will have enough to read. */
  private blocked = false;

  constructor(options: EventStreamOptions, nowMs: number) {
    this.options = options;
    this.movedMs = nowMs;
  }

  start(output: BodyOutput): void {
    this.output = output;
  }

  write(part: Buffer): boolean {
    this.moved = true;
    if (this.opened) return this.pass(part);
    const first = this.begun === null ? part : Buffer.concat([this.begun, part]);
    const seen = Math.min(first.length, BYTE_ORDER_MARK.length);
    const marked = first.compare(BYTE_ORDER_MARK, 0, seen, 0, seen) === 0;
    if (marked && seen < BYTE_ORDER_MARK.length) {
      this.begun = first;
      return true;
    }
    return this.open(first, marked);
  }

  private open(first: Buffer, marked: boolean): boolean {
    this.opened = true;
    this.begun = null;
    const events = marked ? first.subarray(BYTE_ORDER_MARK.length) : first;
    const parts: Buffer[] = marked && !this.spoke ? [BYTE_ORDER_MARK] : [];
    if (this.options.retryMs > 0 && !this.spoke && !/(?:^|[\r\n])retry:/.test(events.toString('latin1')))
      parts.push(this.retryLine());
    this.follow(events);
    return this.send(parts.length === 0 ? events : Buffer.concat([...parts, events]));
  }

  private pass(part: Buffer): boolean {
    this.follow(part);
    return this.send(part);
  }

  private send(part: Buffer): boolean {
    const more = this.output!.data(part);
    if (!more) this.blocked = true;
    return more;
  }

  private retryLine(): Buffer {
    return Buffer.from(`retry: ${this.options.retryMs}\n\n`, 'latin1');
  }

  private follow(part: Buffer): void {
    for (let at = Math.max(0, part.length - 3); at < part.length; at++)
      this.tail = ((this.tail << 8) | part[at]!) & 0xffffff;
  }

  /** The last line is empty. Lines end with CR LF, LF or CR (9.2.5). */
  private get atBoundary(): boolean {
    const last = this.tail & 255;
    const second = (this.tail >> 8) & 255;
    const before = last === LF && second === CR ? this.tail >> 16 : second;
    return (last === LF || last === CR) && (before === LF || before === CR);
  }

  tick(nowMs: number): void {
    const { heartbeatMs, retryMs } = this.options;
    if (!this.opened && !this.spoke && retryMs > 0) {
      // A `retry:` of the application that comes later takes its place.
      this.spoke = true;
      this.moved = true;
      this.send(this.retryLine());
    }
    if (this.moved || this.blocked) {
      this.moved = false;
      this.movedMs = nowMs;
    } else if (heartbeatMs > 0 && nowMs - this.movedMs >= heartbeatMs && this.atBoundary) {
      this.movedMs = nowMs;
      this.spoke = true;
      this.send(HEARTBEAT);
    }
  }

  end(): void {
    if (this.begun !== null) this.output!.data(this.begun);
    this.output!.end();
  }

  onDrain(): void {
    this.blocked = false;
    this.output!.drained();
  }

  destroy(): void {}
}
