import { createServer } from 'node:net';
import type { AddressInfo, Server, Socket } from 'node:net';
import { RequestParser } from '../http1/request-parser.ts';
import { simpleResponse } from '../http1/writer.ts';
import type { ListenerConfig } from '../model/config.ts';
import { AcceptingConnection } from './accepting.ts';
import { problemBody } from './answers.ts';
import { ClientConnection } from './client-connection.ts';
import { ConnectionInfo } from './connection-info.ts';
import type { ConnectionRefusal } from './counters.ts';
import { clientCertificateLine } from './forwarding/client-certificate.ts';
import { ForwardingContext } from './forwarding/forwarded.ts';
import type { ClientRules } from './forwarding/client-rules.ts';
import type { ListenerRules } from './listener-rules.ts';
import type { OpenConnection, ProtocolHandlers } from './open-connection.ts';
import type { SilentWatch } from './redirect-watch.ts';
import type { Runtime } from './runtime.ts';

/** The accept queue; the kernel bounds it by net.core.somaxconn. */
const BACKLOG = 4096;
/** Idle connections are kept this long, ms, after a drain has begun: a client that is in the middle of asking gets an answer with `Connection: close`. */
const DRAIN_IDLE_MS = 1000;
/** A client that vanished without a word (power, network) is noticed after this long and some ten seconds, ms, though nothing is being sent. */
const KEEP_ALIVE_MS = 60_000;
/** Refused connections are logged this often at most, ms, for each reason. */
const REFUSED_LOG_MS = 10_000;
/** Refused connections that wait for their client at once, at most. */
const REFUSED_OPEN = 64;
/** Parsers that are kept for connections whose heads come in parts. */
const SPARE_PARSERS = 64;

export interface ListenerOwner {
  readonly runtime: Runtime;
  readonly handlers: ProtocolHandlers;
  nowMs(): number;
  /** Descriptors that may be used for client connections; beyond it a connection is refused with 503. */
  readonly maxConnections: number;
  /** Refused connections that may stay open for a moment. */
  readonly spareConnections: number;
}

/**
 * One listening socket and the connections that came through it. What is accepted passes, in this order: the bound on connections, the PROXY header, the client
 * rules, TLS; each only where it is configured (accepting.ts).
 */
export class GatewayListener {
  rules: ListenerRules;
  draining = false;
  readonly connections = new Set<OpenConnection>();
  parser: RequestParser;
  /** Who may ask here, by `security` and the listener; null: everybody. */
  clients: ClientRules | null;
  /** Lines that every response carries (Strict-Transport-Security), '' mostly. */
  fixedLines: string;
  /** A connection closes after its next response: clients reach the instances by themselves. */
  steersAway = false;
  /** Holds back what is accepted until it says something; null: nobody looks (see redirect-watch.ts). */
  watch: SilentWatch | null = null;
  /** The port that it listens on. */
  port = 0;
  private readonly owner: ListenerOwner;
  /** null: not open, or another listener has taken it over. */
  private server: Server | null = null;
  /** What has come while the configuration was not in force yet. */
  private readonly early: Socket[] = [];
  private readonly spare: RequestParser[] = [];
  private drainBeganMs = 0;
  private refusedOpen = 0;
  private readonly refusedLoggedMs = new Map<ConnectionRefusal, number>();
  private emptied: (() => void) | null = null;

  constructor(rules: ListenerRules, owner: ListenerOwner) {
    this.rules = rules;
    this.owner = owner;
    this.clients = rules.clients;
    this.fixedLines = rules.tls?.hstsLine ?? '';
    this.parser = new RequestParser(rules.config.limits);
  }

  get config(): ListenerConfig {
    return this.rules.config;
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

  /** A reload changed something; open connections go on as they are. */
  reconfigure(rules: ListenerRules): void {
    if (this.rules.tls !== rules.tls) this.rules.tls?.close();
    this.rules = rules;
    this.clients = rules.clients;
    this.fixedLines = rules.tls?.hstsLine ?? '';
    this.parser = new RequestParser(rules.config.limits);
    this.spare.length = 0;
  }

  /** Listens; what comes is kept until `start`. Rejects with the error of listen(2). */
  open(target: { handle: object } | { host: string; port: number }): Promise<void> {
    const options = { allowHalfOpen: true, noDelay: true, keepAlive: true, keepAliveInitialDelay: KEEP_ALIVE_MS };
    const server = createServer(options, (socket) => {
      socket.on('error', () => {});
      // As many as the kernel would have kept.
      if (this.early.length < BACKLOG) this.early.push(socket);
      else socket.destroy();
    });
    this.server = server;
    return new Promise((resolve, reject) => {
      server.on('error', reject);
      server.listen('handle' in target ? target.handle : { ...target, backlog: BACKLOG }, BACKLOG, resolve);
    });
  }

  /**
   * Accepts from now on: its configuration is in force. `former`: a listener that ends with this configuration and has the same address. Its socket stays open, so that
   * nobody is refused; what that one has accepted stays its own, and ends with it.
   */
  start(former: GatewayListener | null): void {
    if (former !== null) {
      this.server = former.server;
      former.server = null;
    }
    const { server } = this;
    if (server === null) throw new Error(`listener ${this.config.name} has not been opened`);
    server.removeAllListeners('connection').removeAllListeners('error');
    server.on('connection', (socket: Socket) => this.accept(socket));
    server.on('error', (error) =>
      this.runtime.logger.error('accepting failed', { listener: this.config.name, error: error.message }),
    );
    this.port = (server.address() as AddressInfo | null)?.port ?? this.config.address.port;
    for (const socket of this.early.splice(0)) if (!socket.destroyed) this.accept(socket);
  }

  private accept(socket: Socket): void {
    const limit = this.config.limits.connections;
    if ((limit > 0 && this.connections.size >= limit) || this.connections.size >= this.owner.maxConnections) {
      this.refuseBeyondLimit(socket);
      return;
    }
    this.runtime.counters.connections++;
    if (this.watch === null) this.begin(socket);
    else this.watch.take(socket, () => this.begin(socket));
  }

  private begin(socket: Socket): void {
    if (this.rules.plain) {
      this.openHttp1(socket, new ConnectionInfo(socket, this.port, this.runtime.clientAddress));
      return;
    }
    const accepting = new AcceptingConnection(socket, this, this.nowMs());
    this.connections.add(accepting);
    accepting.begin();
  }

  private refuseBeyondLimit(socket: Socket): void {
    this.refused('limit', '');
    socket.on('error', () => {});
    // Nobody who does not speak HTTP in the clear would understand the answer.
    if (this.config.protocol !== 'http') {
      socket.destroy();
      return;
    }
    const detail =
      'This gateway has as many connections open as it may have (listeners[].limits.connections, or ulimit -n).';
    this.turnAway(socket, 503, 'too-many-connections', detail, 'Retry-After: 1\r\n');
  }

  /** Answers a client that has not asked for anything yet, and lets it go. `headers`: whole lines. */
  turnAway(socket: Socket, status: number, code: string, detail: string, headers = ''): void {
    socket.end(
      simpleResponse({
        status,
        headers: `${headers}Content-Type: application/problem+json\r\n`,
        body: problemBody(status, code, detail),
        keepAlive: false,
        head: false,
      }),
      'latin1',
    );
    this.letGo(socket);
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
  }

  /** Counts a connection that is closed before its first request, and logs it once in ten seconds. */
  refused(reason: ConnectionRefusal, peer: string, detail = ''): void {
    this.runtime.counters.refuseConnection(reason);
    const nowMs = this.nowMs();
    if (nowMs - (this.refusedLoggedMs.get(reason) ?? Number.NEGATIVE_INFINITY) < REFUSED_LOG_MS) return;
    this.refusedLoggedMs.set(reason, nowMs);
    const { logger } = this.runtime;
    const listener = this.config.name;
    if (reason === 'limit') {
      logger.warn('connections are refused: too many are open', {
        listener,
        open: this.connections.size,
        limit: this.config.limits.connections,
        next: 'raise listeners[].limits.connections, or the limit of open files (ulimit -n, LimitNOFILE=)',
      });
    } else if (reason === 'proxy-header') {
      logger.warn('connections are closed: they do not begin with a right PROXY header', {
        listener,
        peer,
        reason: detail,
        next: 'let the proxy send it, or take its address out of listeners[].proxyProtocol.acceptFrom',
      });
    } else logger.debug('connections are closed before their first request', { listener, peer, reason });
  }

  /** Whether a response is to be the last one of its connection. */
  get closesConnections(): boolean {
    return this.draining || this.steersAway;
  }

  /** Asks clients, one after the other, to make a new connection; nothing is cut. */
  steerAway(away: boolean): void {
    if (away === this.steersAway) return;
    this.steersAway = away;
    if (away) for (const connection of this.connections) connection.beginDrain?.();
  }

  get offersHttp2(): boolean {
    return this.owner.handlers.openHttp2 !== null;
  }

  /** `socket`: the connection itself, or TLS on it. */
  openHttp1(socket: Socket, info: ConnectionInfo): void {
    this.connections.add(new ClientConnection(socket, this, info, this.nowMs()));
  }

  openHttp2(socket: Socket, info: ConnectionInfo): void {
    const open = this.owner.handlers.openHttp2;
    if (open === null) socket.destroy();
    else this.connections.add(open(socket, this, info));
  }

  openStream(socket: Socket, info: ConnectionInfo, backend: string, route: string): void {
    const open = this.owner.handlers.openStream;
    if (open === null) socket.destroy();
    else this.connections.add(open(socket, this, info, backend, route));
  }

  forwardingFor(info: ConnectionInfo, http2 = false): ForwardingContext {
    const { peer: address, trusted, scheme, localPort: port } = info;
    const certificate = info.tls === null ? null : info.tls.clientCertificate;
    const certificateLine = certificate === null ? '' : clientCertificateLine(certificate);
    return new ForwardingContext({ address, trusted, scheme, port, http2, certificateLine }, this.runtime.ids);
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

  /** Another connection object stands for the same socket from here on, and is added at once. */
  onHandedOver(connection: OpenConnection): void {
    this.connections.delete(connection);
  }

  onConnectionClosed(connection: OpenConnection): void {
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
    this.rules.tls?.close();
    for (const socket of this.early.splice(0)) socket.destroy();
    const { server } = this;
    const closed = new Promise<void>((resolve) => (server === null ? resolve() : server.close(() => resolve())));
    for (const connection of this.connections) connection.beginDrain?.();
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
