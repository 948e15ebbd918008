import { createServer } from 'node:net';
import type { AddressInfo, Server, Socket } from 'node:net';
import { RequestParser } from '../http1/request-parser.ts';
import { simpleResponse } from '../http1/writer.ts';
import type { ListenerConfig } from '../model/config.ts';
import { problemBody } from './answers.ts';
import { ClientConnection } from './client-connection.ts';
import { plainAddress } from './forwarding/client-address.ts';
import { ForwardingContext } from './forwarding/forwarded.ts';
import type { Runtime } from './runtime.ts';

/** The accept queue; the kernel bounds it by net.core.somaxconn. */
const BACKLOG = 4096;
/** Idle connections are kept this long, ms, after a drain has begun: a client that is in the middle of asking gets an answer with `Connection: close`. */
const DRAIN_IDLE_MS = 1000;
/** A client that vanished without a word (power, network) is noticed after this long and some ten seconds, ms, though nothing is being sent. */
const KEEP_ALIVE_MS = 60_000;
/** Refused connections that wait for their client at once, at most. */
const REFUSED_OPEN = 64;
/** Parsers that are kept for connections whose heads come in parts. */
const SPARE_PARSERS = 64;

export interface ListenerOwner {
  readonly runtime: Runtime;
  nowMs(): number;
  /** Descriptors that may be used for client connections; beyond it a connection is refused with 503. */
  readonly maxConnections: number;
  /** Refused connections that may stay open for a moment. */
  readonly spareConnections: number;
}

/** One listening socket and the connections that came through it. */
export class GatewayListener {
  config: ListenerConfig;
  draining = false;
  readonly connections = new Set<ClientConnection>();
  parser: RequestParser;
  private readonly owner: ListenerOwner;
  private readonly server: Server;
  private readonly spare: RequestParser[] = [];
  private port = 0;
  private drainBeganMs = 0;
  private refusedOpen = 0;
  private refusedLoggedMs = Number.NEGATIVE_INFINITY;
  private emptied: (() => void) | null = null;

  constructor(config: ListenerConfig, owner: ListenerOwner) {
    this.config = config;
    this.owner = owner;
    this.parser = new RequestParser(config.limits);
    this.server = createServer(
      { allowHalfOpen: true, noDelay: true, keepAlive: true, keepAliveInitialDelay: KEEP_ALIVE_MS },
      (socket) => this.accept(socket),
    );
  }

  get runtime(): Runtime {
    return this.owner.runtime;
  }

  nowMs(): number {
    return this.owner.nowMs();
  }

  get address(): { host: string; port: number } {
    return { host: this.config.address.host, port: this.port };
  }

  /** A reload changed limits or timeouts; open connections keep the parser that they have. */
  reconfigure(config: ListenerConfig): void {
    this.config = config;
    this.parser = new RequestParser(config.limits);
    this.spare.length = 0;
  }

  /** Begins to accept. Rejects with the error of listen(2). */
  open(target: { handle: object } | { host: string; port: number }): Promise<void> {
    return new Promise((resolve, reject) => {
      this.server.once('error', reject);
      this.server.listen('handle' in target ? target.handle : { ...target, backlog: BACKLOG }, BACKLOG, () => {
        this.server.off('error', reject);
        this.server.on('error', (error) =>
          this.runtime.logger.error('accepting failed', { listener: this.config.name, error: error.message }),
        );
        this.port = (this.server.address() as AddressInfo | null)?.port ?? this.config.address.port;
        resolve();
      });
    });
  }

  private accept(socket: Socket): void {
    const limit = this.config.limits.connections;
    if ((limit > 0 && this.connections.size >= limit) || this.connections.size >= this.owner.maxConnections) {
      this.runtime.counters.connectionsRefused++;
      socket.on('error', () => {});
      socket.end(
        simpleResponse({
          status: 503,
          headers: 'Retry-After: 1\r\nContent-Type: application/problem+json\r\n',
          body: problemBody(
            503,
            'too-many-connections',
            'This gateway has as many connections open as it may have (listeners[].limits.connections, or ulimit -n).',
          ),
          keepAlive: false,
          head: false,
        }),
        'latin1',
      );
      this.letGo(socket);
      return;
    }
    this.runtime.counters.connections++;
    this.connections.add(new ClientConnection(socket, this, this.nowMs()));
  }

  /** A refused client has a second to take its answer, while what it sends is thrown away; of too many at once the descriptors are needed. */
  private letGo(socket: Socket): void {
    if (this.refusedOpen >= Math.min(REFUSED_OPEN, this.owner.spareConnections)) {
      socket.destroySoon();
      return;
    }
    this.refusedOpen++;
    socket.once('close', () => this.refusedOpen--);
    socket.resume();
    const timer = setTimeout(() => socket.destroy(), 1000);
    socket.once('close', () => clearTimeout(timer));
    if (this.nowMs() - this.refusedLoggedMs < 10_000) return;
    this.refusedLoggedMs = this.nowMs();
    this.runtime.logger.warn('connections are refused: too many are open', {
      listener: this.config.name,
      open: this.connections.size,
      limit: this.config.limits.connections,
      next: 'raise listeners[].limits.connections, or the limit of open files (ulimit -n, LimitNOFILE=)',
    });
  }

  forwardingFor(socket: Socket, trusted: boolean): ForwardingContext {
    return new ForwardingContext(
      { address: plainAddress(socket.remoteAddress ?? ''), trusted, scheme: 'http', port: this.port },
      this.runtime.ids,
    );
  }

  /** The shared parser holds a part of a connection's head: it is given to that connection, the next ones get another. */
  detachParser(): RequestParser {
    const parser = this.parser;
    this.parser = this.spare.pop() ?? new RequestParser(this.config.limits);
    return parser;
  }

  giveParser(parser: RequestParser): void {
    parser.reset();
    if (this.spare.length < SPARE_PARSERS) this.spare.push(parser);
  }

  onConnectionClosed(connection: ClientConnection): void {
    this.connections.delete(connection);
    if (this.draining && this.connections.size === 0) this.emptied?.();
  }

  /** Looks at every deadline. Called a few times a second. */
  sweep(nowMs: number): void {
    const closeIdle = this.draining && nowMs - this.drainBeganMs >= DRAIN_IDLE_MS;
    for (const connection of this.connections) {
      connection.checkProgress(nowMs);
      if (connection.deadlineMs <= nowMs) connection.onDeadline();
      else if (closeIdle && connection.idle) connection.finish();
    }
  }

  /** Accepts no more; what was accepted is answered, the last answer of a connection says `Connection: close`. Resolves when all are closed. */
  drain(): Promise<void> {
    this.draining = true;
    this.drainBeganMs = this.nowMs();
    const closed = new Promise<void>((resolve) => this.server.close(() => resolve()));
    const emptied = new Promise<void>((resolve) => {
      this.emptied = resolve;
      if (this.connections.size === 0) resolve();
    });
    return Promise.all([closed, emptied]).then(() => {});
  }

  /** The bound has passed: what is still open is cut. */
  destroy(): void {
    for (const connection of this.connections) connection.destroy();
  }
}
