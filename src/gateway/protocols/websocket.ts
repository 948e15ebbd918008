import type { Duplex } from 'node:stream';
import type { RandomSource } from '../../model/ports.ts';
import { Tunnel } from './tunnel.ts';
import type { TunnelOwner } from './tunnel.ts';
import type { TunnelCounters } from './tunnel-counters.ts';
import { closeFrame, FrameReader, GOING_AWAY, pingFrame } from './websocket-frames.ts';

/** How long both sides have, ms, to end what we began to close. Then the connections are cut. */
const CLOSE_WAIT_MS = 2000;

export interface WebSocketOptions {
  /** Without a frame in either direction for this long it is closed with 1001; 0: never. */
  idleMs: number;
  /** A client that was silent for this long is asked with a ping, and is gone when it is silent for as long again; 0: never. */
  pingMs: number;
}

export interface WebSocketDeps {
  owner: TunnelOwner;
  random: RandomSource;
  counters: TunnelCounters;
  nowMs: number;
}

/** One direction: passes frames on, and puts our own between them. */
class Direction extends FrameReader {
  /** Our Close frame went out, or nothing more may: what still comes is thrown away. */
  shut = false;
  /** The last ping went out. */
  pinged = false;
  /** The other direction, from which pongs come. */
  back: FrameReader | null = null;
  /** Status code of a Close frame that waits for the end of the present frame; 0: none. */
  private closeCode = 0;
  private pingWaits = false;
  /** The head of the frame with the violation had been passed on in part. */
  private torn = false;
  private readonly to: Duplex;
  /** null: frames to a client are not masked (RFC 6455 5.1). */
  private readonly random: RandomSource | null;
  /** Frames to the endpoint come in buffers that may be kept, those to the client don't. */
  private readonly copies: boolean;

  constructor(to: Duplex, masked: boolean, extended: boolean, random: RandomSource | null) {
    super({ masked, extended });
    this.to = to;
    this.random = random;
    this.copies = !masked;
  }

  /** False: hold back until the stream has drained. Look at `violation` afterwards. */
  pass(chunk: Buffer, start: number, end: number): boolean {
    let more = true;
    let at = start;
    while (at < end && this.violation === 0) {
      const inserts = !this.shut && (this.closeCode !== 0 || this.pingWaits);
      const wasInside = !this.atBoundary;
      const next = this.read(chunk, at, end, inserts);
      if (this.violation !== 0) this.torn = wasInside && next === at;
      if (next > at && !this.shut && !this.to.writableEnded) more = this.to.write(this.slice(chunk, at, next));
      at = next;
      if (inserts && this.atBoundary) this.insert();
      if (this.violation !== 0) break;
    }
    return more;
  }

  private slice(chunk: Buffer, start: number, end: number): Buffer {
    if (this.copies) return Buffer.from(chunk.subarray(start, end));
    return start === 0 && end === chunk.length ? chunk : chunk.subarray(start, end);
  }

  /** Between two frames, which may be fragments of one message (5.4). */
  private insert(): void {
    if (this.closed || this.to.writableEnded) {
      this.closeCode = 0;
      this.pingWaits = false;
    } else if (this.closeCode !== 0) {
      this.shut = true;
      this.to.write(closeFrame(this.closeCode, this.random === null ? null : Math.floor(this.random() * 2 ** 32)));
    } else if (this.pingWaits) {
      this.pingWaits = false;
      this.pinged = true;
      this.back!.awaitsPong = true;
      this.to.write(pingFrame());
    }
  }

  ping(): void {
    this.pinged = false;
    this.pingWaits = true;
    if (this.atBoundary) this.insert();
  }

  /** Ends the direction with a Close frame, at once or after the present frame; not when the peer itself has closed it. */
  close(code: number): void {
    if (this.shut || this.closed) return;
    this.closeCode = code;
    this.pingWaits = false;
    if (this.violation === 0) {
      if (this.atBoundary) this.insert();
    } else {
      if (!this.torn && !this.to.writableEnded) this.insert();
      this.shut = true;
    }
  }
}

/**
 * A WebSocket (RFC 6455). Frames pass as they are, fragments, extensions and text that is no UTF-8 included: those are between the endpoints. The tunnel follows
 * their boundaries, so that it can ask a silent client, say good-bye to both sides, and refuse what can't be framed.
 */
export class WebSocketTunnel extends Tunnel {
  private readonly toClient: Direction;
  private readonly toUpstream: Direction;
  private readonly options: WebSocketOptions;
  private readonly owner: TunnelOwner;
  private readonly stats: TunnelCounters;
  /** Something came from the client since the last look. */
  private spoke = false;
  private spokeMs: number;
  private movedMs: number;
  private asked = false;
  private closing = false;
  /** Monotonic ms at which it began to end; 0: it doesn't. */
  private closingMs = 0;

  /** `extended`: the endpoint's answer names extensions. */
  constructor(client: Duplex, upstream: Duplex, extended: boolean, options: WebSocketOptions, deps: WebSocketDeps) {
    super(client, upstream, deps.counters, deps.nowMs);
    this.toClient = new Direction(client, false, extended, null);
    this.toUpstream = new Direction(upstream, true, extended, deps.random);
    this.toClient.back = this.toUpstream;
    this.options = options;
    this.owner = deps.owner;
    this.stats = deps.counters;
    this.spokeMs = deps.nowMs;
    this.movedMs = deps.nowMs;
  }

  override fromUpstream(chunk: Buffer, start: number, end: number): void {
    const { toClient } = this;
    this.countUpstream(end - start);
    if (!toClient.pass(chunk, start, end)) this.upstream.pause();
    if (toClient.violation === 0) return;
    this.fail(GOING_AWAY, toClient.violation);
    // Whoever broke the rules is not waited for (RFC 6455 7.1.7).
    if (this.toUpstream.shut) this.upstream.end();
  }

  override fromClient(chunk: Buffer): void {
    const { toUpstream } = this;
    this.countClient(chunk.length);
    this.spoke = true;
    if (!toUpstream.pass(chunk, 0, chunk.length)) this.client.pause();
    if (toUpstream.violation !== 0) {
      this.fail(toUpstream.violation, GOING_AWAY);
      if (this.toClient.shut) this.client.end();
    }
    // We closed it, and it has answered: a server ends the connection then (RFC 6455 7.1.1).
    else if (this.toClient.shut && toUpstream.shut && toUpstream.closed) this.client.end();
  }

  override onUpstreamEnd(): void {
    super.onUpstreamEnd();
    // Nothing more will be said to it.
    if (this.toUpstream.shut) this.upstream.end();
  }

  override sweep(nowMs: number): void {
    const { toClient, toUpstream } = this;
    if (this.closing || (toClient.closed && toUpstream.closed)) {
      if (this.closingMs === 0) this.closingMs = nowMs;
      else if (nowMs - this.closingMs >= CLOSE_WAIT_MS) this.client.destroy();
      return;
    }
    if (this.owner.leaving) {
      // Only the client is told: what it sends until it has answered still goes to the endpoint.
      this.closing = true;
      toClient.close(GOING_AWAY);
      return;
    }
    if (toClient.heard || toUpstream.heard) {
      toClient.heard = false;
      toUpstream.heard = false;
      this.movedMs = nowMs;
    } else if (this.options.idleMs > 0 && nowMs - this.movedMs >= this.options.idleMs) {
      this.stats.timedOut++;
      this.fail(GOING_AWAY, GOING_AWAY);
      return;
    }
    if (this.options.pingMs > 0) this.ask(nowMs);
  }

  private ask(nowMs: number): void {
    const { toClient } = this;
    // What waits to be sent goes before the ping: a client that is slow to read it is not gone (one that doesn't read at all meets the listener's timeout).
    if (this.spoke || this.client.writableLength > 0 || (this.asked && !toClient.pinged)) {
      if (this.spoke) this.asked = false;
      this.spoke = false;
      this.spokeMs = nowMs;
    } else if (nowMs - this.spokeMs >= this.options.pingMs) {
      if (this.client.writableEnded || toClient.closed) return;
      if (this.asked) {
        this.stats.timedOut++;
        this.toUpstream.close(GOING_AWAY);
        this.client.destroy();
        return;
      }
      this.asked = true;
      this.spokeMs = nowMs;
      toClient.ping();
    }
  }

  /** Closes both sides; whoever doesn't end in time is cut. */
  private fail(toClient: number, toUpstream: number): void {
    this.closing = true;
    this.toClient.close(toClient);
    this.toUpstream.close(toUpstream);
    this.upstream.resume();
    this.client.resume();
  }
}
