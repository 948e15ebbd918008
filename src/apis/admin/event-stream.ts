/**
 * Events as server-sent events. The last ones are kept, so that a client that comes back with Last-Event-ID misses nothing that is still there; when something is not, it is
 * told (`event: gap`). A client that reads too slowly is cut off: it comes back and is told what it missed.
 */
import { randomBytes } from 'node:crypto';
import type { ServerResponse } from 'node:http';
import type { AdminEvent } from './admin-target.ts';

const KEPT = 1000;
const MOST_STREAMS = 64;
const SLOW_CLIENT_BYTES = 256 * 1024;
const HEARTBEAT_MS = 15_000;

interface Kept {
  number: number;
  event: AdminEvent;
}

interface Stream {
  response: ServerResponse;
  backend: string | null;
  traffic: boolean;
}

export class EventStreams {
  /** Of this process: ids of a former one mean nothing here. */
  readonly #epoch = randomBytes(6).toString('hex');
  readonly #kept: Kept[] = [];
  readonly #streams = new Set<Stream>();
  #last = 0;
  #heartbeat: NodeJS.Timeout | undefined;

  get isFull(): boolean {
    return this.#streams.size >= MOST_STREAMS;
  }

  push(event: AdminEvent): void {
    const kept = { number: ++this.#last, event };
    this.#kept.push(kept);
    if (this.#kept.length > KEPT) this.#kept.shift();
    for (const stream of this.#streams) this.#send(stream, this.#text(kept), event.backend);
  }

  /** What traffic does, to those that asked for it: much and often, so that none of it is kept for who comes later. */
  pushTraffic(event: { type: string; backend: string }): void {
    const text = `event: ${event.type}\ndata: ${JSON.stringify(event)}\n\n`;
    for (const stream of this.#streams) if (stream.traffic) this.#send(stream, text, event.backend);
  }

  /** `lastId`: what the client has sent as Last-Event-ID. `backend`: only events of this one. `traffic`: what traffic does, too. The stream ends with the response, or with `close`. */
  open(response: ServerResponse, options: { lastId: string | null; backend: string | null; traffic: boolean }): void {
    const stream = { response, backend: options.backend, traffic: options.traffic };
    response.writeHead(200, {
      'content-type': 'text/event-stream',
      'cache-control': 'no-store',
      'x-accel-buffering': 'no',
      'x-content-type-options': 'nosniff',
    });
    // Where a client begins that sees nothing for a while.
    response.write(`retry: 2000\nid: ${this.#id(this.#last)}\n: here are events\n\n`);
    if (options.lastId !== null) this.#replay(stream, options.lastId);
    this.#streams.add(stream);
    response.once('close', () => {
      this.#streams.delete(stream);
      if (this.#streams.size === 0) clearInterval(this.#heartbeat);
    });
    clearInterval(this.#heartbeat);
    this.#heartbeat = setInterval(() => this.#beat(), HEARTBEAT_MS).unref();
  }

  close(): void {
    clearInterval(this.#heartbeat);
    for (const { response } of this.#streams) response.end();
  }

  #replay(stream: Stream, lastId: string): void {
    const match = /^([0-9a-f]{12})-(\d{1,15})$/.exec(lastId);
    const first = this.#kept[0]?.number ?? this.#last + 1;
    const from = match?.[1] === this.#epoch ? Number(match[2]) + 1 : null;
    if (from === null || from < first) {
      const reason = from === null ? 'dormouse was started anew since' : 'too long ago';
      this.#send(stream, `event: gap\ndata: ${JSON.stringify({ reason, next: 'read the list of backends anew' })}\n\n`);
    }
    for (const kept of this.#kept)
      if (kept.number >= (from ?? 0)) this.#send(stream, this.#text(kept), kept.event.backend);
  }

  #text({ number, event }: Kept): string {
    const { kind } = event;
    return `id: ${this.#id(number)}\nevent: ${kind.replaceAll(/[\r\n]/g, ' ')}\ndata: ${JSON.stringify(event)}\n\n`;
  }

  #id(number: number): string {
    return `${this.#epoch}-${number}`;
  }

  #beat(): void {
    for (const stream of this.#streams) this.#send(stream, ': still here\n\n');
  }

  #send({ response, backend }: Stream, text: string, of: string | null = null): void {
    if (response.destroyed || response.writableEnded || (backend !== null && of !== null && of !== backend)) return;
    response.write(text);
    if (response.writableLength > SLOW_CLIENT_BYTES) response.destroy();
  }
}
