import type { Socket } from 'node:net';
import { RAW } from '../../model/access.ts';
import type { RandomSource } from '../../model/ports.ts';
import type { Outcome } from '../answers.ts';
import type { GatewayBackend } from '../backend.ts';
import type { ConnectionInfo } from '../connection-info.ts';
import type { Held } from '../hold/hold-queue.ts';
import type { RefusalReason } from '../hold/refusal.ts';
import { refusal } from '../hold/refusal.ts';
import type { Waiter } from '../hold/waiter.ts';
import type { GatewayListener } from '../listener.ts';
import type { OpenConnection } from '../open-connection.ts';
import { READ_AHEAD_BYTES } from '../upstream/request-body.ts';
import type { ResultKind } from '../resilience/resilience.ts';
import type { UpstreamEndpoint } from '../upstream/endpoint.ts';
import { EndpointStream, OWN_FAULTS } from './tcp-endpoint.ts';
import type { EndpointStreamOwner } from './tcp-endpoint.ts';
import { Tunnel } from './tunnel.ts';
import type { TunnelCounters } from './tunnel-counters.ts';

/** What a raw connection costs while it waits, besides the bytes that were read of it: counted against wake.maxHeldBytes. */
const HELD_BYTES = 512;

/** Where a raw connection goes. */
export interface StreamPlace {
  listener: GatewayListener;
  info: ConnectionInfo;
  backend: GatewayBackend;
  /** '' for a `tcp` listener. */
  route: string;
  counters: TunnelCounters;
  random: RandomSource;
  /** One ended before it reached an endpoint. */
  refused(outcome: Outcome): void;
}

/**
 * One client's raw connection: finds or awaits an endpoint, never expecting the client to speak first, and passes bytes both ways. The gateway has no words of its own
 * here, so whatever it can't carry on ends with a reset: an end of stream would look like a complete answer.
 */
export class StreamConnection implements OpenConnection, Waiter, EndpointStreamOwner {
  // Waiter
  holdPrevious: Held | null = null;
  holdNext: Held | null = null;
  holdDeadlineMs = 0;
  heldBytes = 0;
  tried: UpstreamEndpoint[] | null = null;
  sticky: UpstreamEndpoint | null = null;
  readonly view = null;
  readonly secure = false;
  readonly method = '';
  // OpenConnection
  readonly idle = false;
  readonly deadlineMs = Number.POSITIVE_INFINITY;

  private readonly socket: Socket;
  private readonly place: StreamPlace;
  private readonly startedMs: number;
  private upstream: EndpointStream | null = null;
  private tunnel: Tunnel | null = null;
  /** What the client said before there was an endpoint, at most READ_AHEAD_BYTES and a chunk. */
  private kept: Buffer[] = [];
  private keptBytes = 0;
  private halfClosed = false;
  /** The client's connection ended with an error: a reset. */
  private broken = false;
  private attempts = 0;
  private endpointId = '';
  private heldSinceMs = 0;
  private heldMs = 0;
  private coldStart = false;
  private inQueue = false;
  private released = false;
  private looked = false;
  /** Counted as in flight at the backend. */
  private active = true;
  /** What admitted it to the backend, until the breaker was told of a try; 0: nothing is owed. */
  private admission = 0;
  private outcome: Outcome = '';
  private over = false;
  private movedBytes = 0;
  private movedMs = 0;

  constructor(socket: Socket, place: StreamPlace) {
    this.socket = socket;
    this.place = place;
    this.startedMs = place.listener.nowMs();
    socket.on('data', (chunk: Buffer) => this.onData(chunk));
    socket.on('end', () => this.onEnd());
    socket.on('error', () => (this.broken = true));
    socket.on('close', () => this.onClose());
    socket.on('drain', () => this.tunnel?.onClientDrain());
    const { backend } = place;
    backend.meter.arrive(this.startedMs);
    place.listener.runtime.touch(backend);
    socket.resume();
    this.begin();
  }

  get client(): string {
    return this.place.info.peer;
  }

  get random(): RandomSource {
    return this.place.random;
  }

  get routeName(): string {
    return this.place.route;
  }

  readonly requestId = '';

  get wasTried(): boolean {
    return this.attempts > 0;
  }

  get hostForLog(): string {
    return this.place.info.serverName;
  }

  pathForLog(): string {
    return this.place.info.serverName;
  }

  private begin(): void {
    const { backend } = this.place;
    if (backend.clients !== null && !backend.clients.allows(this.client)) this.fail('client-refused');
    else if (!backend.mayWake(null, this.client)) this.fail('wake-refused');
    else if (!backend.admit(this.startedMs)) this.fail('breaker-open');
    else {
      this.admission = backend.resilience.generation;
      this.dispatch();
    }
  }

  private dispatch(): void {
    const { backend } = this.place;
    const endpoint = backend.mustQueue ? null : backend.pick(this);
    if (endpoint === null) this.hold();
    else this.connect(endpoint);
  }

  // ---- Hold ------------------------------------------------------------------------------------------------------------------------

  private hold(): void {
    const { backend, listener } = this.place;
    if (backend.activeCrash() !== null) {
      this.refuseHold('crashing');
      return;
    }
    if (backend.isDown || backend.isRemoved) {
      this.refuseHold(backend.isRemoved ? 'removed' : 'down');
      return;
    }
    this.heldSinceMs = listener.nowMs();
    if (this.holdDeadlineMs === 0) this.holdDeadlineMs = this.heldSinceMs + backend.config.wake.timeoutMs;
    this.heldBytes = HELD_BYTES + this.keptBytes;
    this.coldStart ||= backend.phase !== 'awake';
    this.inQueue = true;
    if (!backend.hold(this)) this.refuseHold('full');
  }

  /** As for requests: Node sees no departure while the socket is not read (decisions, 4). */
  lookedForDeparture(then: () => void): boolean {
    if (this.looked || !this.socket.isPaused()) return true;
    this.looked = true;
    this.socket.resume();
    setImmediate(() => setImmediate(then));
    return false;
  }

  release(endpoint: UpstreamEndpoint): number {
    const waitedMs = this.leftQueue();
    this.released = true;
    this.connect(endpoint);
    return waitedMs;
  }

  refuseHold(why: RefusalReason): void {
    const { backend, listener } = this.place;
    if (this.inQueue) this.leftQueue();
    this.fail(refusal(why, backend, listener.runtime.clock.wallMs()).outcome);
  }

  private leftQueue(): number {
    const waitedMs = this.place.listener.nowMs() - this.heldSinceMs;
    this.inQueue = false;
    this.heldMs += waitedMs;
    return waitedMs;
  }

  private noLongerReleased(): void {
    if (!this.released) return;
    this.released = false;
    this.place.backend.answered();
  }

  // ---- Endpoint --------------------------------------------------------------------------------------------------------------------

  private connect(endpoint: UpstreamEndpoint): void {
    const { backend, info } = this.place;
    this.attempts++;
    this.endpointId = endpoint.id;
    endpoint.inFlight++;
    backend.connects++;
    this.upstream = new EndpointStream(endpoint, backend.optionsFor(endpoint), info, this);
  }

  onStreamOpen(upstream: EndpointStream): void {
    const { backend, counters, listener } = this.place;
    const nowMs = listener.nowMs();
    const { endpoint } = upstream;
    endpoint.inFlight--;
    endpoint.tunnels++;
    this.active = false;
    backend.meter.tunnels++;
    backend.meter.leave(nowMs, false);
    listener.runtime.touch(backend);
    this.tell(endpoint, 'ok');
    this.movedMs = nowMs;
    this.tunnel = new Tunnel(this.socket, upstream.socket, counters, nowMs);
    this.noLongerReleased();
    for (const chunk of this.kept) this.tunnel.fromClient(chunk);
    this.kept = [];
    if (this.halfClosed) this.tunnel.onClientEnd();
    else if (!upstream.socket.writableNeedDrain) this.socket.resume();
  }

  private tell(endpoint: UpstreamEndpoint, result: ResultKind): void {
    const { admission } = this;
    this.admission = 0;
    this.place.backend.result(endpoint, result, this.place.listener.nowMs(), admission);
  }

  /** Nothing was sent: any other endpoint may have it. A backend that can be started is waited for; a list of servers is tried through. */
  onStreamFailed(upstream: EndpointStream, reason: string): void {
    const { backend } = this.place;
    const { endpoint } = upstream;
    const ownFault = OWN_FAULTS.has(reason);
    this.upstream = null;
    endpoint.inFlight--;
    backend.freed(endpoint);
    backend.suspect(endpoint, reason, !ownFault);
    if (!ownFault) this.tell(endpoint, 'connect');
    this.tried = this.tried === null ? [endpoint] : [...this.tried, endpoint];
    const waits = ownFault || backend.config.driver !== 'static';
    const next = waits || this.attempts < backend.endpoints.size ? backend.pick(this) : null;
    if (next !== null) this.connect(next);
    else if (waits) {
      this.tried = null;
      this.noLongerReleased();
      this.hold();
    } else this.fail('connect-failed');
  }

  onStreamData(chunk: Buffer, start: number, end: number): void {
    this.tunnel!.fromUpstream(chunk, start, end);
  }

  onStreamDrain(): void {
    this.tunnel?.onUpstreamDrain();
  }

  onStreamEnd(): void {
    this.tunnel!.onUpstreamEnd();
  }

  onStreamClosed(broken: boolean): void {
    if (broken) {
      this.outcome = 'upstream-aborted';
      this.reset();
    } else this.socket.destroySoon();
    this.end();
  }

  // ---- Client ----------------------------------------------------------------------------------------------------------------------

  private onData(chunk: Buffer): void {
    if (this.tunnel !== null) {
      this.tunnel.fromClient(chunk);
      return;
    }
    if (this.over) return;
    this.kept.push(chunk);
    this.keptBytes += chunk.length;
    if (this.inQueue) this.place.backend.grew(this, chunk.length);
    if (this.keptBytes >= READ_AHEAD_BYTES) this.socket.pause();
  }

  /** After something was said a half-close: it goes on. A client that ended having said nothing is gone, as far as anybody can tell. */
  private onEnd(): void {
    this.halfClosed = true;
    if (this.tunnel !== null) this.tunnel.onClientEnd();
    else if (this.keptBytes === 0) this.socket.destroy();
  }

  private onClose(): void {
    this.place.listener.onConnectionClosed(this);
    if (this.over) return;
    if (this.tunnel === null && this.outcome === '') this.outcome = 'client-gone';
    this.upstream?.close(this.broken);
    this.end();
  }

  // ---- End -------------------------------------------------------------------------------------------------------------------------

  private fail(outcome: Outcome): void {
    this.outcome = outcome;
    this.place.refused(outcome);
    this.reset();
    this.end();
  }

  private reset(): void {
    this.socket.resetAndDestroy();
  }

  /** Gives back what it has of the backend, counts and logs; once. */
  private end(): void {
    if (this.over) return;
    this.over = true;
    const { backend, listener } = this.place;
    const { runtime } = listener;
    const nowMs = listener.nowMs();
    if (this.outcome === '') this.outcome = 'tunnel';
    if (this.inQueue) {
      backend.queue.remove(this);
      this.leftQueue();
    }
    this.noLongerReleased();
    const endpoint = this.upstream === null ? null : this.upstream.endpoint;
    this.upstream = null;
    if (this.tunnel !== null) {
      backend.meter.tunnels--;
      backend.meter.lastActivityMs = nowMs;
      endpoint!.tunnels--;
      this.tunnel.over(nowMs);
      backend.meter.bytesIn += this.tunnel.clientBytes;
      backend.meter.bytesOut += this.tunnel.upstreamBytes;
    } else if (endpoint !== null) {
      endpoint.inFlight--;
    }
    if (this.admission !== 0) backend.resilience.result('cancelled', nowMs, this.admission);
    this.admission = 0;
    if (this.active) {
      this.active = false;
      backend.meter.leave(nowMs, this.outcome !== 'client-gone');
    }
    if (endpoint !== null) backend.freed(endpoint);
    runtime.touch(backend);
    this.kept = [];
    if (runtime.logsAccess) this.record(nowMs);
  }

  private record(nowMs: number): void {
    const { runtime } = this.place.listener;
    const { accessRecord } = runtime;
    const durationMs = nowMs - this.startedMs;
    accessRecord.startedAtMs = runtime.clock.wallMs() - durationMs;
    accessRecord.durationMs = durationMs;
    accessRecord.heldMs = this.heldMs;
    accessRecord.client = this.client;
    accessRecord.method = '';
    accessRecord.target = '';
    accessRecord.host = this.place.info.serverName;
    accessRecord.minor = RAW;
    accessRecord.status = 0;
    accessRecord.requestBytes = this.tunnel === null ? this.keptBytes : this.tunnel.clientBytes;
    accessRecord.responseBytes = this.tunnel === null ? 0 : this.tunnel.upstreamBytes;
    accessRecord.route = this.place.route;
    accessRecord.backend = this.place.backend.name;
    accessRecord.endpoint = this.endpointId;
    accessRecord.requestId = '';
    accessRecord.coldStart = this.coldStart;
    accessRecord.attempts = this.attempts;
    accessRecord.outcome = this.outcome;
    accessRecord.userAgent = '';
    accessRecord.referer = '';
    runtime.accessLog.record(accessRecord);
  }

  // ---- OpenConnection: what its listener asks --------------------------------------------------------------------------------------

  onDeadline(): void {}

  /** Nothing passed in either direction for `timeouts.idle` of the listener. */
  checkProgress(nowMs: number): void {
    const { tunnel } = this;
    if (tunnel === null || this.over) return;
    const bytes = tunnel.clientBytes + tunnel.upstreamBytes;
    if (bytes !== this.movedBytes) {
      this.movedBytes = bytes;
      this.movedMs = nowMs;
    } else if (nowMs - this.movedMs >= this.place.listener.config.timeouts.idleMs) {
      this.place.counters.timedOut++;
      this.outcome = 'idle';
      this.destroy();
    }
  }

  finish(): void {
    this.destroy();
  }

  /** Cuts both sides; the client's `close` does the rest. */
  destroy(): void {
    this.broken = true;
    if (this.outcome === '' && this.place.listener.draining) this.outcome = 'shutdown';
    this.reset();
  }
}
