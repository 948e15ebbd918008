import type { Socket } from 'node:net';
import { ConnectionInfo, type ClientCertificate, type ToldAddresses } from './connection-info.ts';
import { plainAddress } from './forwarding/client-address.ts';
import type { GatewayListener } from './listener.ts';
import type { ListenerRules } from './listener-rules.ts';
import type { OpenConnection } from './open-connection.ts';
import { readProxyHeader } from './proxy-protocol/read-header.ts';
import { chooseBackend } from './routing/sni-routes.ts';
import { readClientHello } from './tls/client-hello.ts';
import type { CertificateTable } from './tls/certificate-table.ts';
import type { ServerTlsSocket } from './tls/server-tls-socket.ts';

/** What the connection is at. Each step leads to the next one that its listener asks for, or to its end. */
type Step = 'accepted' | 'proxy-header' | 'client-hello' | 'handshake' | 'handed-over' | 'closed';

/**
 * A connection between its acceptance and its first request: PROXY header, client rules, TLS handshake or the name of a ClientHello. Bytes that it reads are bounded by what they
 * may be, its time by `timeouts.header` for everything together.
 */
export class AcceptingConnection implements OpenConnection {
  deadlineMs: number;
  private readonly raw: Socket;
  private readonly listener: GatewayListener;
  /** Of the configuration under which it was accepted. */
  private readonly rules: ListenerRules;
  private step: Step = 'accepted';
  private bytes: Buffer | null = null;
  private told: ToldAddresses | null = null;
  private tlsSocket: ServerTlsSocket | null = null;
  private timedOut = false;
  /** TLS itself found the handshake wrong. */
  private failed = false;
  private readonly onData = (chunk: Buffer): void => this.read(chunk);
  private readonly onEnd = (): void => this.destroy();
  private readonly onClose = (): void => this.closed();

  constructor(raw: Socket, listener: GatewayListener, nowMs: number) {
    this.raw = raw;
    this.listener = listener;
    this.rules = listener.rules;
    this.deadlineMs = nowMs + this.rules.config.timeouts.headerMs;
    raw.on('error', () => {});
    raw.on('close', this.onClose);
  }

  /** Nobody has said anything yet. */
  get idle(): boolean {
    return this.step !== 'handshake' && this.bytes === null;
  }

  private get peer(): string {
    return this.told === null ? plainAddress(this.raw.remoteAddress ?? '') : this.told.peer;
  }

  begin(): void {
    const { proxies } = this.rules;
    if (proxies !== null && proxies.has(this.peer)) this.expectBytes('proxy-header');
    else this.afterAddresses();
  }

  private expectBytes(step: Step): void {
    this.step = step;
    this.raw.on('data', this.onData);
    this.raw.on('end', this.onEnd);
    this.raw.resume();
  }

  private read(chunk: Buffer): void {
    this.bytes = this.bytes === null ? chunk : Buffer.concat([this.bytes, chunk]);
    if (this.step === 'proxy-header') this.readProxyHeader(this.bytes);
    else this.readClientHello(this.bytes);
  }

  /** Nothing more is read here; what was read beyond `used` is for whoever comes next. */
  private stopReading(bytes: Buffer, used: number): void {
    this.raw.off('data', this.onData);
    this.raw.off('end', this.onEnd);
    this.raw.pause();
    this.bytes = null;
    if (used < bytes.length) this.raw.unshift(bytes.subarray(used));
  }

  private readProxyHeader(bytes: Buffer): void {
    const header = readProxyHeader(bytes);
    if (header.kind === 'more') return;
    if (header.kind === 'malformed') {
      this.listener.refused('proxy-header', this.peer, header.reason);
      this.destroy();
      return;
    }
    this.stopReading(bytes, header.size);
    this.told = header.told;
    this.afterAddresses();
  }

  /** It is known who the client is. */
  private afterAddresses(): void {
    const { rules, listener } = this;
    if (rules.clients !== null) {
      const { peer } = this;
      // Behind a trusted proxy the client is known with each request only, which is held against the same rules.
      const isHttp = rules.config.protocol === 'http' || rules.config.protocol === 'https';
      const isSpokenFor = isHttp && listener.runtime.clientAddress.isTrusted(peer);
      if (!isSpokenFor && !rules.clients.allows(peer)) {
        listener.refused('clients', peer);
        this.destroy();
        return;
      }
    }
    switch (rules.config.protocol) {
      case 'http':
        this.handOver();
        listener.openHttp1(this.raw, this.info());
        // It was paused behind its PROXY header.
        this.raw.resume();
        return;
      case 'https':
        // Several certificates: the name decides which, and has to be known before TLS begins (see ListenerTls.wrap).
        if (this.rules.tls!.table.isUniform) this.beginHandshake('');
        else this.expectBytes('client-hello');
        return;
      case 'tls':
        this.expectBytes('client-hello');
        return;
      case 'tcp':
        this.openStream(rules.config.backend!, '', '');
    }
  }

  private info(): ConnectionInfo {
    const { listener, told } = this;
    return new ConnectionInfo(this.raw, listener.port, listener.runtime.clientAddress, told === null ? null : { told });
  }

  private readClientHello(bytes: Buffer): void {
    const hello = readClientHello(bytes);
    if (hello.kind === 'more') return;
    const { listener, rules } = this;
    if (rules.config.protocol === 'https') {
      this.stopReading(bytes, 0);
      // What is wrong with it is told by TLS itself.
      this.beginHandshake(hello.kind === 'hello' ? hello.serverName : '');
      return;
    }
    if (hello.kind === 'malformed') {
      listener.refused('client-hello', this.peer);
      this.destroy();
      return;
    }
    const route = rules.sniRoutes!.find(hello.serverName);
    const backend = route === null ? null : chooseBackend(route, listener.runtime.random);
    if (route === null || backend === null || route.clients?.allows(this.peer) === false) {
      listener.refused(route === null || backend === null ? 'no-route' : 'clients', this.peer);
      this.destroy();
      return;
    }
    this.stopReading(bytes, 0);
    this.openStream(backend, route.name, hello.serverName);
  }

  private openStream(backend: string, route: string, serverName: string): void {
    const { listener, told, raw } = this;
    const info = new ConnectionInfo(raw, listener.port, listener.runtime.clientAddress, { told, serverName });
    this.handOver();
    listener.openStream(raw, info, backend, route);
  }

  private beginHandshake(serverName: string): void {
    const { listener } = this;
    this.step = 'handshake';
    this.raw.off('close', this.onClose);
    const tls = this.rules.tls!;
    const { table } = tls;
    const socket = tls.wrap(this.raw, table.select(serverName), listener.offersHttp2);
    this.tlsSocket = socket;
    socket.on('error', () => {});
    socket.on('close', this.onClose);
    // A client that closes its side before it has asked for anything has left.
    socket.on('end', this.onEnd);
    socket.onHandshake(
      () => this.afterHandshake(socket, table),
      () => {
        this.failed = true;
      },
    );
  }

  private afterHandshake(socket: ServerTlsSocket, table: CertificateTable): void {
    const { listener, rules } = this;
    const problem = rules.tls!.asksForCertificates ? clientProblem(socket, rules.config.tls!.clientAuth.mode) : null;
    if (problem !== null) {
      listener.runtime.counters.handshakes.client_certificate++;
      this.refuseCertificate(socket, problem);
      return;
    }
    const resumed = socket.isSessionReused();
    const { handshakes } = listener.runtime.counters;
    if (resumed) handshakes.resumed++;
    else handshakes.full++;
    const serverName = typeof socket.servername === 'string' ? socket.servername.toLowerCase() : '';
    const alpn = typeof socket.alpnProtocol === 'string' ? socket.alpnProtocol : '';
    const info = new ConnectionInfo(this.raw, listener.port, listener.runtime.clientAddress, {
      told: this.told,
      tls: {
        serverName,
        alpn,
        version: socket.getProtocol() ?? '',
        resumed,
        clientCertificate: rules.tls!.asksForCertificates ? certificateOf(socket) : null,
        covers: coverage(table, serverName),
      },
    });
    this.handOver();
    if (alpn === 'h2') listener.openHttp2(socket, info);
    else listener.openHttp1(socket, info);
  }

  /** A client that speaks HTTP/1.1 is told; HTTP/2 has no words for it before the first request. */
  private refuseCertificate(socket: ServerTlsSocket, problem: string): void {
    this.step = 'closed';
    this.deadlineMs = Number.POSITIVE_INFINITY;
    if (socket.alpnProtocol === 'h2') {
      socket.destroy();
      return;
    }
    const detail = `The certificate of the client is not accepted (${problem}).`;
    this.listener.turnAway(socket, 400, 'client-certificate', detail);
  }

  /** Somebody else has the connection from here on. */
  private handOver(): void {
    this.step = 'handed-over';
    this.raw.off('close', this.onClose);
    this.tlsSocket?.off('close', this.onClose);
    this.tlsSocket?.off('end', this.onEnd);
    this.listener.onHandedOver(this);
  }

  onDeadline(): void {
    this.timedOut = true;
    if (this.step === 'proxy-header') {
      this.listener.refused('proxy-header', this.peer, 'it did not come in time');
    }
    this.destroy();
  }

  checkProgress(): void {}

  finish(): void {
    this.destroy();
  }

  destroy(): void {
    (this.tlsSocket ?? this.raw).destroy();
  }

  private closed(): void {
    if (this.step === 'handshake' || (this.step === 'client-hello' && this.rules.tls !== null)) {
      const { handshakes } = this.listener.runtime.counters;
      if (this.timedOut) handshakes.timeout++;
      else if (this.failed) handshakes.failed++;
      else handshakes.aborted++;
    }
    this.step = 'closed';
    this.bytes = null;
    this.listener.onConnectionClosed(this);
  }
}

/** What is wrong with the client's certificate; null: nothing. */
function clientProblem(socket: ServerTlsSocket, mode: 'none' | 'optional' | 'require'): string | null {
  if (socket.getPeerX509Certificate() === undefined) return mode === 'require' ? 'none was sent' : null;
  return socket.peerProblem;
}

function certificateOf(socket: ServerTlsSocket): ClientCertificate | null {
  const certificate = socket.getPeerX509Certificate();
  if (certificate === undefined) return null;
  return {
    subject: oneLine(certificate.subject),
    issuer: oneLine(certificate.issuer),
    fingerprint: certificate.fingerprint256.replaceAll(':', '').toLowerCase(),
    serialNumber: certificate.serialNumber,
    subjectAltName: certificate.subjectAltName ?? '',
  };
}

/** Node prints a name with one attribute a line, the most general first; RFC 4514 wants the most specific first, behind commas. */
function oneLine(name: string): string {
  return name.split('\n').toReversed().join(',');
}

/** A host is covered when the listener would have shown the same certificate for it. A client that named nobody can't do better, and is answered. */
function coverage(table: CertificateTable, serverName: string): (hostname: string) => boolean {
  if (table.isUniform || serverName === '') return coversAll;
  const shown = table.select(serverName);
  // Connections mostly ask for one host.
  let last = serverName;
  let answer = true;
  return (hostname) => {
    if (hostname === last) return answer;
    last = hostname;
    answer = table.select(hostname) === shown;
    return answer;
  };
}

function coversAll(): boolean {
  return true;
}
