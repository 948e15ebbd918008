import type { Socket } from 'node:net';
import type { TLSSocket } from 'node:tls';
import { Http2Memory } from '../../http2/memory.ts';
import type { UpstreamOptions, UpstreamUser } from './connection.ts';
import type { UpstreamEndpoint } from './endpoint.ts';
import { Http2Request } from './http2-request.ts';
import type { Redispatcher } from './http2-request.ts';
import { EndpointSession, MAX_STREAMS } from './http2-session.ts';
import type { EndpointSessionOwner } from './http2-session.ts';
import { READ_BYTES } from './read-buffers.ts';
import type { SharedConnections, SharedConnectionsFactory, SharedUpstream } from './shared-connections.ts';
import { openUpstreamSocket } from './socket.ts';
import type { EndpointSecurity } from './socket.ts';

/** Room at the end of a read buffer below which the next one is begun, bytes. */
const LEAST_READ_BYTES = 16_384;

/** What opens HTTP/2 connections to the endpoints of one gateway. */
export function http2Connections(): SharedConnectionsFactory {
  const memory = new Http2Memory();
  return (endpoint, onConnect) => new Http2Connections(endpoint, memory, onConnect);
}

/** The HTTP/2 connections to one endpoint: filled one after the other, so that there are as few as may be. */
class Http2Connections implements SharedConnections, EndpointSessionOwner, Redispatcher {
  private readonly endpoint: UpstreamEndpoint;
  private readonly memory: Http2Memory;
  private readonly onConnect: () => void;
  private connections: Http2Connection[] = [];
  private options: UpstreamOptions | null = null;
  /** Refused ones for which there is no room at present. */
  private queued: Http2Request[] = [];

  constructor(endpoint: UpstreamEndpoint, memory: Http2Memory, onConnect: () => void) {
    this.endpoint = endpoint;
    this.memory = memory;
    this.onConnect = onConnect;
  }

  open(user: UpstreamUser, options: UpstreamOptions): SharedUpstream {
    this.options = options;
    const request = new Http2Request(this.endpoint, user, this);
    this.put(request, false);
    return request;
  }

  private put(request: Http2Request, tell: boolean): void {
    for (const connection of this.connections) if (connection.take(request, tell)) return;
    this.connect().take(request, tell);
  }

  private connect(): Http2Connection {
    const { endpoint, memory } = this;
    this.onConnect();
    endpoint.open++;
    const connection: Http2Connection = new Http2Connection(endpoint, memory, this.options!, this, () => {
      endpoint.open--;
      this.connections = this.connections.filter((other) => other !== connection);
    });
    this.connections.push(connection);
    return connection;
  }

  again(request: Http2Request): void {
    // Not within the loop that told the other streams.
    this.queued.push(request);
    setImmediate(() => this.onRoom());
  }

  forget(request: Http2Request): void {
    const at = this.queued.indexOf(request);
    if (at >= 0) this.queued.splice(at, 1);
    for (const connection of this.connections) connection.forget(request);
  }

  isFull(maxConnections: number): boolean {
    if (maxConnections === 0) return false;
    let usable = 0;
    for (const connection of this.connections) {
      if (connection.hasRoom) return false;
      if (!connection.isGoing) usable++;
    }
    return usable >= maxConnections;
  }

  get idle(): number {
    let count = 0;
    for (const connection of this.connections) if (connection.isIdle) count++;
    return count;
  }

  onRoom(): void {
    while (this.queued.length > 0 && !this.isFull(this.options!.maxConnections)) this.put(this.queued.shift()!, true);
  }

  closeIdle(): void {
    for (const connection of [...this.connections]) connection.retire();
  }

  tick(nowMs: number, idleTimeoutMs: number): void {
    for (const connection of [...this.connections]) connection.tick(nowMs, idleTimeoutMs);
    this.onRoom();
  }
}

/** One connection from its first SYN to its close, and the requests that wait for it to open. */
class Http2Connection {
  private readonly socket: Socket;
  private session: EndpointSession | null = null;
  private waiting: Http2Request[] = [];
  private timer: NodeJS.Timeout | null;
  private failure = '';
  private timedOut = false;
  private closed = false;
  private retired = false;
  /** Where the next read goes: parts of it are kept by whoever gets them, so that it is never written over. */
  private slab: Buffer = Buffer.alloc(0);
  private slabAt = 0;

  constructor(
    endpoint: UpstreamEndpoint,
    memory: Http2Memory,
    options: UpstreamOptions,
    owner: EndpointSessionOwner,
    onClosed: () => void,
  ) {
    const { security, nowMs } = options;
    const begunMs = nowMs();
    const socket = openUpstreamSocket(
      endpoint.host,
      endpoint.port,
      security === null ? null : withAlpn(security),
      null,
      { buffer: () => this.nextBuffer(), callback: (size, buffer) => this.onRead(size, buffer) },
      () => this.onOpen(memory, options, owner, begunMs),
    );
    this.socket = socket;
    socket.on('error', (error: NodeJS.ErrnoException) => {
      this.failure = error.code ?? error.message;
    });
    socket.on('drain', () => this.session?.onSocketDrain());
    socket.on('end', () => {
      if (this.session === null || !this.session.stopped) socket.destroy();
      else socket.destroySoon();
    });
    socket.on('close', () => {
      this.onClose();
      onClosed();
    });
    this.timer = setTimeout(() => {
      this.failure = 'timeout';
      this.timedOut = true;
      socket.destroy();
    }, options.connectTimeoutMs);
  }

  private stopTimer(): void {
    if (this.timer === null) return;
    clearTimeout(this.timer);
    this.timer = null;
  }

  private nextBuffer(): Buffer {
    if (this.slab.length - this.slabAt < LEAST_READ_BYTES) {
      this.slab = Buffer.allocUnsafeSlow(READ_BYTES);
      this.slabAt = 0;
    }
    return this.slabAt === 0 ? this.slab : this.slab.subarray(this.slabAt);
  }

  private onRead(size: number, buffer: Buffer): boolean {
    // A TLS connection behind a PROXY header reads into buffers of its own.
    if (buffer.buffer === this.slab.buffer) this.slabAt += size;
    this.session?.receive(size === buffer.length ? buffer : buffer.subarray(0, size));
    return true;
  }

  private onOpen(memory: Http2Memory, options: UpstreamOptions, owner: EndpointSessionOwner, begunMs: number): void {
    const { socket } = this;
    const { encrypted, alpnProtocol } = socket as TLSSocket;
    if (encrypted && alpnProtocol !== 'h2') {
      this.failure = 'it does not offer h2 (ALPN)';
      socket.destroy();
      return;
    }
    this.stopTimer();
    options.connectDuration.observe(options.nowMs() - begunMs);
    const session = new EndpointSession(socket, memory, options, owner);
    this.session = session;
    const { waiting } = this;
    this.waiting = [];
    if (this.retired) session.going = true;
    for (const request of waiting) if (request.wanted) request.place(session, true);
    if (this.retired) session.retire();
  }

  get isGoing(): boolean {
    return this.closed || this.retired || (this.session !== null && (this.session.going || this.session.stopped));
  }

  /** Open, and nothing is on it. */
  get isIdle(): boolean {
    return this.session !== null && this.session.streams.size === 0;
  }

  get hasRoom(): boolean {
    if (this.isGoing) return false;
    return this.session === null ? this.waiting.length < MAX_STREAMS : this.session.hasRoom;
  }

  take(request: Http2Request, tell: boolean): boolean {
    if (!this.hasRoom) return false;
    if (this.session === null) this.waiting.push(request);
    else request.place(this.session, tell);
    return true;
  }

  forget(request: Http2Request): void {
    const at = this.waiting.indexOf(request);
    if (at >= 0) this.waiting.splice(at, 1);
  }

  retire(): void {
    this.retired = true;
    if (this.session !== null) this.session.retire();
    else if (this.waiting.length === 0) this.socket.destroy();
  }

  tick(nowMs: number, idleTimeoutMs: number): void {
    this.session?.tick(nowMs, idleTimeoutMs);
  }

  private onClose(): void {
    this.stopTimer();
    this.closed = true;
    const reason = this.failure === '' ? 'closed' : this.failure;
    this.session?.onSocketClosed(reason);
    const { waiting } = this;
    this.waiting = [];
    for (const request of waiting) request.onConnectFailed(reason, this.timedOut);
  }
}

function withAlpn(security: EndpointSecurity): EndpointSecurity {
  const { tlsOptions } = security;
  if (tlsOptions === null) return security;
  return { ...security, tlsOptions: (host, port) => ({ ...tlsOptions(host, port), ALPNProtocols: ['h2'] }) };
}
