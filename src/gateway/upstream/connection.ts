import type { Socket } from 'node:net';
import { BodyDecoder } from '../../http1/body-decoder.ts';
import { bodyKind, BodyKind } from '../../http1/body-kind.ts';
import { ResponseParser } from '../../http1/response-parser.ts';
import type { ResponseHead } from '../../http1/response-head.ts';
import type { HeadLimits } from '../../http1/limits.ts';
import { HeaderKind } from '../../http1/header-kind.ts';
import { lastChunk } from '../../http1/writer.ts';
import type { DurationHistogram } from '../duration-histogram.ts';
import { writeChunk } from '../write-chunk.ts';
import { WriteProgress } from '../write-progress.ts';
import type { UpstreamEndpoint } from './endpoint.ts';
import type { ReadBuffers } from './read-buffers.ts';
import type { SharedConnectionsFactory } from './shared-connections.ts';
import { openUpstreamSocket } from './socket.ts';
import type { EndpointSecurity, ProxySource } from './socket.ts';
import type { Upstream } from './upstream.ts';

/** What a connection tells to the exchange that is on it. */
export interface UpstreamUser {
  readonly method: string;
  /** What a PROXY header says of its client; null: nothing is known. */
  readonly proxySource: ProxySource | null;
  /** The connection is open: send the request. */
  onUpstreamConnected(): void;
  /** An interim response other than 101. */
  onUpstreamInterim(head: ResponseHead): void;
  /** 101: the connection is a tunnel from here on; `chunk[start, end)` are its first bytes. */
  onUpstreamSwitch(head: ResponseHead, chunk: Buffer, start: number, end: number): void;
  /** Head and the whole body at once. */
  onUpstreamWhole(head: ResponseHead, chunk: Buffer, start: number, end: number): void;
  onUpstreamHead(head: ResponseHead, kind: number): void;
  /** `volatile`: the bytes are only good during the call. Otherwise the chunk may be kept. */
  onUpstreamBody(chunk: Buffer, start: number, end: number, isVolatile: boolean): void;
  onUpstreamEnd(trailers: string): void;
  /** The connection failed or ended too early. `stage`: how far it had come. */
  onUpstreamFailed(stage: 'connect' | 'request' | 'response', reason: string, timedOut: boolean): void;
  /** Bytes of a tunnel. */
  onTunnelData(chunk: Buffer, start: number, end: number): void;
  onTunnelEnd(): void;
  onTunnelClosed(): void;
  /** What was written has gone out after it had piled up. */
  onUpstreamDrain(): void;
}

export interface UpstreamOptions {
  limits: HeadLimits;
  connectTimeoutMs: number;
  /** Where it is counted how long a connection took to be made, TLS included. */
  connectDuration: DurationHistogram;
  buffers: ReadBuffers;
  /** Idle connections that are kept to one endpoint. */
  idlePerEndpoint: number;
  /** What opens connections that carry many requests each (HTTP/2); null: one request at a time. */
  shared: SharedConnectionsFactory | null;
  /** Connections to one endpoint, where they are shared; 0 = no bound. */
  maxConnections: number;
  /** null: plain TCP without a PROXY header. */
  security: EndpointSecurity | null;
  nowMs(): number;
}

/** 1xx responses before a final one. Clients are sent each of them, so that their number has to have a bound. */
const MAX_INTERIMS = 32;

/** A body whose reads are smaller than this is read into the shared buffer and copied: a stream that says little must not keep a buffer of its own. */
const BULK_BYTES = 16_384;

type Phase = 'connecting' | 'idle' | 'head' | 'body' | 'tunnel' | 'closed';

/**
 * One connection to an endpoint, HTTP/1.1, one exchange at a time. Reads go into a buffer that all connections share, since most answers
 * are small and are turned into a string at once; only while a long body passes in large reads does a connection have a buffer of its own, which can be
 * written on without a copy.
 */
export class UpstreamConnection implements Upstream {
  readonly endpoint: UpstreamEndpoint;
  readonly socket: Socket;
  user: UpstreamUser | null = null;
  /** Exchanges that it has carried to the end. */
  served = 0;
  idleSinceMs = 0;
  /** How long the backend said that it keeps an idle connection (Keep-Alive: timeout), less a margin. */
  keepAliveHintMs = Number.POSITIVE_INFINITY;
  /** Bytes of the present response that have come. */
  receivedAny = false;
  private phase: Phase = 'connecting';
  private readonly parser: ResponseParser;
  private readonly decoder: BodyDecoder;
  private readonly options: UpstreamOptions;
  private connectTimer: NodeJS.Timeout | null;
  private readonly begunMs: number;
  private kind = 0;
  private interims = 0;
  private keepAlive = false;
  /** The whole request has been written: without it the connection can't be used again. */
  private requestSent = false;
  private chunked = false;
  private readonly progress = new WriteProgress();
  private privateBuffer: Buffer | null = null;
  /** Size of the last read. */
  private readBytes = 0;
  private sinkVolatile = true;
  private failure = '';
  private failedByTimeout = false;
  private halfClosed = false;

  constructor(endpoint: UpstreamEndpoint, user: UpstreamUser, options: UpstreamOptions) {
    this.endpoint = endpoint;
    this.user = user;
    this.options = options;
    this.parser = new ResponseParser(options.limits);
    this.decoder = new BodyDecoder(options.limits);
    endpoint.open++;
    this.begunMs = options.nowMs();
    this.socket = openUpstreamSocket(
      endpoint.host,
      endpoint.port,
      options.security,
      options.security === null ? null : user.proxySource,
      { buffer: () => this.nextBuffer(), callback: (size, buffer) => this.onRead(size, buffer) },
      () => this.onConnect(),
    );
    this.socket.on('error', (error: NodeJS.ErrnoException) => {
      this.failure = error.code ?? error.message;
    });
    this.socket.on('end', () => this.onEnd());
    this.socket.on('close', () => this.onClose());
    this.socket.on('drain', () => this.user?.onUpstreamDrain());
    this.connectTimer = setTimeout(() => {
      this.failure = 'timeout';
      this.failedByTimeout = true;
      this.socket.destroy();
    }, options.connectTimeoutMs);
  }

  get usable(): boolean {
    return this.phase === 'idle';
  }

  /** Puts an exchange on an idle connection. */
  use(user: UpstreamUser): void {
    this.user = user;
    this.phase = 'head';
    this.receivedAny = false;
    this.requestSent = false;
    this.interims = 0;
  }

  sendHead(text: string, chunked: boolean): void {
    this.chunked = chunked;
    this.socket.write(text, 'latin1');
  }

  sendBody(part: Buffer): boolean {
    return this.chunked ? writeChunk(this.socket, part) : this.socket.write(part);
  }

  sendEnd(trailers: string): void {
    this.requestSent = true;
    if (this.chunked) this.socket.write(lastChunk(trailers), 'latin1');
  }

  cork(): void {
    this.socket.cork();
  }

  uncork(): void {
    this.socket.uncork();
  }

  stalledForMs(nowMs: number): number {
    return this.progress.stalledForMs(this.socket, nowMs);
  }

  /** Stops reading until `resume`. */
  pause(): void {
    this.socket.pause();
  }

  resume(): void {
    this.socket.resume();
  }

  /** Closes at once; the user is not told. */
  destroy(): void {
    this.user = null;
    this.socket.destroy();
  }

  private nextBuffer(): Buffer {
    if (this.phase === 'body' && this.readBytes >= BULK_BYTES && this.user !== null) {
      this.privateBuffer = this.options.buffers.take(this.privateBuffer);
      return this.privateBuffer;
    }
    if (this.privateBuffer !== null) {
      this.options.buffers.give(this.privateBuffer);
      this.privateBuffer = null;
    }
    return this.options.buffers.shared;
  }

  /** The bytes of the private buffer went into a write that has not finished: it is given away, the next read gets another. */
  keepBuffer(): void {
    this.privateBuffer = null;
  }

  private onConnect(): void {
    if (this.connectTimer !== null) clearTimeout(this.connectTimer);
    this.connectTimer = null;
    this.options.connectDuration.observe(this.options.nowMs() - this.begunMs);
    this.phase = 'head';
    this.user?.onUpstreamConnected();
  }

  private onRead(size: number, buffer: Buffer): boolean {
    this.readBytes = size;
    this.sinkVolatile = buffer !== this.privateBuffer;
    let position = 0;
    if (this.phase === 'tunnel') {
      this.user?.onTunnelData(buffer, 0, size);
      return true;
    }
    const user = this.user;
    if (user === null || this.phase === 'idle') {
      // Bytes that nobody asked for: whatever they are, they must not become the answer to the next request (response splitting).
      this.socket.destroy();
      return true;
    }
    this.receivedAny = true;
    while (this.phase === 'head') {
      const next = this.parser.execute(buffer, position, size);
      if (next === -1) return true;
      if (next === -2) {
        this.fail('response', `invalid response: ${this.parser.error?.message ?? ''}`);
        return true;
      }
      position = next;
      const head = this.parser.head;
      if (head.status === 101) {
        this.phase = 'tunnel';
        user.onUpstreamSwitch(head, buffer, position, size);
        return true;
      }
      if (head.status < 200) {
        if (++this.interims > MAX_INTERIMS) {
          this.fail('response', 'invalid response: too many interim responses');
          return true;
        }
        user.onUpstreamInterim(head);
        if (position === size) return true;
        continue;
      }
      this.begin(head, user);
      if (this.kind === BodyKind.NONE || (this.kind === BodyKind.LENGTH && head.contentLength === 0)) {
        // First free, then told: the user may send its next request at once.
        this.finish(position < size);
        user.onUpstreamWhole(head, buffer, position, position);
        return true;
      }
      if (this.kind === BodyKind.LENGTH && head.contentLength === size - position && head.contentLength <= 16_384) {
        this.finish(false);
        user.onUpstreamWhole(head, buffer, position, size);
        return true;
      }
      this.phase = 'body';
      this.decoder.reset(this.kind, head.contentLength);
      user.onUpstreamHead(head, this.kind);
      if ((this.phase as Phase) === 'closed' || this.user !== user) return true;
    }
    if (position < size) {
      const next = this.decoder.execute(buffer, position, size, this);
      if (this.user !== user) return true;
      if (next === -2) {
        this.fail('response', `invalid response body: ${this.decoder.error?.message ?? ''}`);
        return true;
      }
      if (this.decoder.done) {
        this.finish(next < size);
        user.onUpstreamEnd(this.decoder.trailers);
      }
    }
    return true;
  }

  /** BodySink of the decoder. */
  onBody(chunk: Buffer, start: number, end: number): void {
    this.user?.onUpstreamBody(chunk, start, end, this.sinkVolatile);
  }

  private begin(head: ResponseHead, user: UpstreamUser): void {
    this.kind = bodyKind(head, user.method);
    this.keepAlive = head.keepAlive && this.kind !== BodyKind.UNTIL_CLOSE;
    if (this.keepAlive) {
      for (let i = 0; i < head.count; i++) {
        if (head.kinds[i] === HeaderKind.KEEP_ALIVE) this.keepAliveHintMs = keepAliveHintMs(head.valueAt(i));
      }
    }
  }

  /** The response is complete. */
  private finish(surplus: boolean): void {
    this.served++;
    this.user = null;
    if (
      !this.keepAlive ||
      surplus ||
      !this.requestSent ||
      this.halfClosed ||
      this.endpoint.state === 'draining' ||
      this.endpoint.removed ||
      // Its PROXY header speaks of one client.
      (this.options.security !== null && this.options.security.proxyHeader !== null) ||
      this.endpoint.idle.length >= this.options.idlePerEndpoint
    ) {
      this.phase = 'closed';
      this.socket.destroy();
      return;
    }
    // The client was slow with the end of this answer; the next one is another's.
    if (this.socket.isPaused()) this.socket.resume();
    this.phase = 'idle';
    this.idleSinceMs = this.options.nowMs();
    this.endpoint.idle.push(this);
  }

  private onEnd(): void {
    this.halfClosed = true;
    if (this.phase === 'tunnel') {
      this.user?.onTunnelEnd();
      return;
    }
    const user = this.user;
    if (user !== null && this.phase === 'body' && this.decoder.finish()) {
      this.finish(false);
      user.onUpstreamEnd('');
      return;
    }
    this.socket.destroy();
  }

  private fail(stage: 'connect' | 'request' | 'response', reason: string): void {
    const user = this.user;
    this.user = null;
    this.socket.destroy();
    user?.onUpstreamFailed(stage, reason, this.failedByTimeout);
  }

  private onClose(): void {
    if (this.connectTimer !== null) clearTimeout(this.connectTimer);
    const phase = this.phase;
    this.phase = 'closed';
    this.endpoint.open--;
    if (this.privateBuffer !== null) this.options.buffers.give(this.privateBuffer);
    this.privateBuffer = null;
    if (phase === 'idle') {
      const at = this.endpoint.idle.indexOf(this);
      if (at >= 0) this.endpoint.idle.splice(at, 1);
    }
    const user = this.user;
    this.user = null;
    if (user === null) return;
    if (phase === 'tunnel') user.onTunnelClosed();
    else {
      const stage = phase === 'connecting' ? 'connect' : this.receivedAny ? 'response' : 'request';
      user.onUpstreamFailed(stage, this.failure === '' ? 'closed' : this.failure, this.failedByTimeout);
    }
  }
}

/** `Keep-Alive: timeout=N` says how long the peer keeps an idle connection; a second less, so that we never write into its close. */
function keepAliveHintMs(value: string): number {
  const match = /timeout\s*=\s*"?(\d{1,6})/i.exec(value);
  if (match === null) return Number.POSITIVE_INFINITY;
  return Math.max(0, Number(match[1]) * 1000 - 1000);
}
