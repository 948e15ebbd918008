import type { Socket } from 'node:net';
import type { Duplex } from 'node:stream';
import type { ResponseHead } from '../../http1/response-head.ts';
import type { GatewayBackend } from '../backend.ts';
import type { ClientSide } from '../client-side.ts';
import type { ClientResponse } from '../client-response.ts';
import type { Tunnel } from '../protocols/tunnel.ts';
import { UpstreamConnection } from './connection.ts';
import type { UpstreamUser } from './connection.ts';
import type { ProxySource } from './socket.ts';
import type { Upstream } from './upstream.ts';
import type { UpstreamEndpoint } from './endpoint.ts';
import { READ_AHEAD_BYTES } from './request-body.ts';
import type { RequestBody } from './request-body.ts';

/** A request that must not be repeated only goes onto a connection that was used within this time, ms: an older one may be closing. */
const FRESH_MS = 1000;

/** The exchange that an attempt belongs to. */
export interface AttemptOwner {
  readonly clientSide: ClientSide;
  readonly backend: GatewayBackend | null;
  readonly method: string;
  readonly idempotent: boolean;
  /** The value of Upgrade, '' when the client asked for none. */
  readonly upgrade: string;
  /** The head that the endpoint gets. */
  readonly upstreamText: string;
  readonly startedMs: number;
  readonly body: RequestBody;
  readonly response: ClientResponse;
  readonly proxySource: ProxySource | null;
  /** Longest time from the beginning of a try to the head of its response, ms; 0: none. */
  readonly perTryMs: number;
  /** The try has begun to be sent: a connection is there. */
  onTransmit(): void;
  /** A final response has this status: whether another try takes its place. */
  wantsRetry(status: number): boolean;
  /** The head of a final response is there, and goes on to the client next. */
  onFinalHead(endpoint: UpstreamEndpoint): void;
  /** The head of a final response is there and went on to the client. */
  onAnswered(endpoint: UpstreamEndpoint, status: number): void;
  /** The response is complete, and all of it is on its way to the client. */
  onComplete(): void;
  onAttemptFailed(failure: AttemptFailure): void;
  /** The connection is a tunnel now; `head`: the 101. */
  openTunnel(client: Duplex, upstream: Socket, head: ResponseHead, endpoint: UpstreamEndpoint): Tunnel;
  onTunnelOver(): void;
}

export interface AttemptFailure {
  /** `status`: the endpoint answered, and the answer is not wanted. */
  stage: 'connect' | 'request' | 'response' | 'status';
  endpoint: UpstreamEndpoint;
  reason: string;
  timedOut: boolean;
  /** The connection had carried an exchange before: the endpoint may have closed it before this one came. */
  reused: boolean;
}

/**
 * An exchange's try at one endpoint: the connection, the request sent on it, the response read from it. One object per client connection, used again for
 * each try.
 */
export class Attempt implements UpstreamUser {
  /** Tries of the present exchange. */
  count = 0;
  /** The head has been sent: what comes of the body goes straight on. */
  transmitted = false;
  /** Id of the last endpoint. */
  endpointId = '';
  /** A byte of the body was sent to an endpoint. */
  bodyGone = false;
  tunnel: Tunnel | null = null;
  private upstream: Upstream | null = null;
  private perTryTimer: NodeJS.Timeout | null = null;
  /** The endpoint that has the request now. */
  endpoint: UpstreamEndpoint | null = null;
  private readonly owner: AttemptOwner;

  constructor(owner: AttemptOwner) {
    this.owner = owner;
  }

  get method(): string {
    return this.owner.method;
  }

  get proxySource(): ProxySource | null {
    return this.owner.proxySource;
  }

  reset(): void {
    this.count = 0;
    this.transmitted = false;
    this.endpointId = '';
    this.bodyGone = false;
    this.tunnel = null;
  }

  /** Puts the request onto a kept connection to this endpoint, or onto a new one. */
  start(endpoint: UpstreamEndpoint): void {
    const { owner } = this;
    const backend = owner.backend!;
    this.count++;
    this.transmitted = false;
    this.endpoint = endpoint;
    this.endpointId = endpoint.id;
    endpoint.inFlight++;
    if (owner.perTryMs > 0) this.perTryTimer = setTimeout(() => this.onPerTryTimeout(), owner.perTryMs);
    const options = backend.optionsFor(endpoint);
    const { shared } = options;
    if (shared !== null) {
      endpoint.shared ??= shared(endpoint, () => backend.connects++);
      const upstream = endpoint.shared.open(this, options);
      this.upstream = upstream;
      if (upstream.ready) this.transmit();
      return;
    }
    if (endpoint.idle.length > 0) {
      const { idleTimeoutMs } = backend.config.endpoints;
      const kept = endpoint.takeIdle(
        owner.startedMs,
        owner.idempotent ? idleTimeoutMs : Math.min(FRESH_MS, idleTimeoutMs),
      );
      if (kept !== null) {
        this.upstream = kept;
        kept.use(this);
        this.transmit();
        return;
      }
    }
    backend.connects++;
    this.upstream = new UpstreamConnection(endpoint, this, options);
  }

  onUpstreamConnected(): void {
    this.transmit();
  }

  /** Writes the head and what there is of the body. */
  private transmit(): void {
    const { owner } = this;
    const { upstreamText, body, clientSide } = owner;
    const upstream = this.upstream!;
    this.transmitted = true;
    owner.onTransmit();
    if (body.isEmpty) {
      upstream.sendHead(upstreamText, false);
      upstream.sendEnd('');
      return;
    }
    if (body.keptBytes > 0) this.bodyGone = true;
    upstream.cork();
    upstream.sendHead(upstreamText, body.chunked);
    const more = body.sendKept(upstream);
    upstream.uncork();
    if (!this.mayRepeat(upstream)) body.forget();
    if (body.done) return;
    clientSide.expectBody();
    if (more) clientSide.resumeBody();
  }

  /** The request may have to be sent once more, when this kept connection turns out to be closed. */
  private mayRepeat(upstream: Upstream): boolean {
    return this.owner.idempotent && upstream.served > 0;
  }

  private onPerTryTimeout(): void {
    this.perTryTimer = null;
    const upstream = this.upstream;
    const endpoint = this.endpoint;
    if (upstream === null || endpoint === null) return;
    const stage = this.transmitted ? 'request' : 'connect';
    upstream.destroy();
    this.free();
    this.owner.onAttemptFailed({ stage, endpoint, reason: 'timeout', timedOut: true, reused: false });
  }

  /** For how long the endpoint has taken nothing of the request. */
  stalledForMs(nowMs: number): number {
    return this.upstream === null ? 0 : this.upstream.stalledForMs(nowMs);
  }

  /** A part of the body that came after the head was sent. The chunk may be kept. */
  sendBody(chunk: Buffer, start: number, end: number): void {
    const { body, response, clientSide } = this.owner;
    const upstream = this.upstream!;
    const part = start === 0 && end === chunk.length ? chunk : chunk.subarray(start, end);
    this.bodyGone = true;
    if (body.replayable) {
      const keeps = !response.begun && this.mayRepeat(upstream) && body.keptBytes + part.length <= READ_AHEAD_BYTES;
      if (keeps) body.keep(part);
      else body.forget();
    }
    if (!upstream.sendBody(part)) clientSide.pauseBody();
  }

  /** The request is complete. */
  sendEnd(): void {
    if (!this.transmitted || this.upstream === null) return;
    this.upstream.sendEnd(this.owner.body.trailers);
  }

  onUpstreamDrain(): void {
    if (this.tunnel !== null) this.tunnel.onUpstreamDrain();
    else if (!this.owner.body.done) this.owner.clientSide.resumeBody();
  }

  onClientDrain(): void {
    if (this.tunnel !== null) this.tunnel.onClientDrain();
    else this.upstream?.resume();
  }

  /** The endpoint's part is over: it may get the next one, or be drained. */
  private free(): void {
    const endpoint = this.endpoint;
    this.upstream = null;
    this.stopPerTryTimer();
    if (endpoint === null) return;
    this.endpoint = null;
    endpoint.inFlight--;
    this.owner.backend!.freed(endpoint);
  }

  /** Nobody needs the response any more. */
  abandon(): void {
    this.upstream?.destroy();
    this.free();
  }

  onUpstreamFailed(stage: AttemptFailure['stage'], reason: string, timedOut: boolean): void {
    const endpoint = this.endpoint!;
    const reused = this.upstream!.served > 0;
    this.free();
    this.owner.onAttemptFailed({ stage, endpoint, reason, timedOut, reused });
  }

  // ---- Response --------------------------------------------------------------------------------------------------------------------

  onUpstreamInterim(head: ResponseHead): void {
    this.owner.response.interim(head);
  }

  onUpstreamWhole(head: ResponseHead, chunk: Buffer, start: number, end: number): void {
    const { owner } = this;
    if (head.status >= 500 && owner.wantsRetry(head.status)) {
      this.dropAnswer(head.status);
      return;
    }
    const endpoint = this.endpoint!;
    owner.onFinalHead(endpoint);
    const more = owner.response.whole(head, chunk, start, end);
    // A filter broke it off at once: all is over.
    if (this.endpoint !== endpoint) return;
    owner.onAnswered(endpoint, head.status);
    this.free();
    // A filter may still be working on the body.
    if (more) owner.onComplete();
  }

  onUpstreamHead(head: ResponseHead, kind: number): void {
    const { owner } = this;
    if (head.status >= 500 && owner.wantsRetry(head.status)) {
      this.upstream!.destroy();
      this.dropAnswer(head.status);
      return;
    }
    this.stopPerTryTimer();
    const endpoint = this.endpoint!;
    owner.onFinalHead(endpoint);
    owner.response.head(head, kind);
    if (this.endpoint === endpoint) owner.onAnswered(endpoint, head.status);
  }

  private dropAnswer(status: number): void {
    const endpoint = this.endpoint!;
    this.free();
    this.owner.onAttemptFailed({ stage: 'status', endpoint, reason: String(status), timedOut: false, reused: false });
  }

  onUpstreamBody(chunk: Buffer, start: number, end: number, isVolatile: boolean): void {
    const part = chunk.subarray(start, end);
    const { response, clientSide } = this.owner;
    const more = response.body(isVolatile ? Buffer.from(part) : part);
    if (!isVolatile && (clientSide.unsentBytes > 0 || response.isTransformed)) this.upstream?.keepBuffer();
    if (!more) this.upstream?.pause();
  }

  private stopPerTryTimer(): void {
    if (this.perTryTimer === null) return;
    clearTimeout(this.perTryTimer);
    this.perTryTimer = null;
  }

  onUpstreamEnd(trailers: string): void {
    const { endpoint } = this;
    const over = this.owner.response.end(trailers);
    // A filter broke it off: all is over.
    if (this.endpoint !== endpoint) return;
    this.free();
    // A filter may still be working on the body.
    if (over) this.owner.onComplete();
  }

  // ---- Upgrade ---------------------------------------------------------------------------------------------------------------------

  onUpstreamSwitch(head: ResponseHead, chunk: Buffer, start: number, end: number): void {
    const { owner } = this;
    const upstream = this.upstream as UpstreamConnection;
    const endpoint = this.endpoint!;
    if (owner.upgrade === '' || !owner.body.done) {
      upstream.destroy();
      this.free();
      owner.onAttemptFailed({
        stage: 'response',
        endpoint,
        reason: 'invalid: it switched protocols without being asked',
        timedOut: false,
        reused: false,
      });
      return;
    }
    const { stream, stash } = owner.response.switching(head);
    this.stopPerTryTimer();
    owner.onAnswered(endpoint, head.status);
    endpoint.inFlight--;
    endpoint.tunnels++;
    this.tunnel = owner.openTunnel(stream, upstream.socket, head, endpoint);
    if (end > start) this.tunnel.fromUpstream(chunk, start, end);
    if (stash !== null) this.tunnel.fromClient(stash);
    if (owner.clientSide.halfClosed) this.tunnel.onClientEnd();
  }

  onTunnelData(chunk: Buffer, start: number, end: number): void {
    this.tunnel!.fromUpstream(chunk, start, end);
  }

  onTunnelEnd(): void {
    this.tunnel!.onUpstreamEnd();
  }

  onTunnelClosed(): void {
    this.owner.clientSide.endTunnel();
    this.endTunnel();
  }

  onClientTunnelClosed(): void {
    this.upstream?.destroy();
    this.endTunnel();
  }

  private endTunnel(): void {
    const endpoint = this.endpoint;
    if (this.tunnel === null || endpoint === null) return;
    this.endpoint = null;
    this.upstream = null;
    endpoint.tunnels--;
    this.owner.onTunnelOver();
    this.owner.backend!.freed(endpoint);
    this.tunnel = null;
  }
}
