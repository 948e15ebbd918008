import type { ResponseHead } from '../../http1/response-head.ts';
import type { GatewayBackend } from '../backend.ts';
import type { ClientConnection } from '../client-connection.ts';
import type { ClientResponse } from '../client-response.ts';
import { Tunnel } from '../protocols/tunnel.ts';
import { UpstreamConnection } from './connection.ts';
import type { UpstreamUser } from './connection.ts';
import type { UpstreamEndpoint } from './endpoint.ts';
import { READ_AHEAD_BYTES } from './request-body.ts';
import type { RequestBody } from './request-body.ts';
import { WriteProgress } from '../write-progress.ts';

/** A request that must not be repeated only goes onto a connection that was used within this time, ms: an older one may be closing. */
const FRESH_MS = 1000;

/** The exchange that an attempt belongs to. */
export interface AttemptOwner {
  readonly connection: ClientConnection;
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
  /** The first byte of a final response is there. */
  onAnswered(): void;
  /** The response is complete. */
  onComplete(): void;
  onAttemptFailed(failure: AttemptFailure): void;
  /** The connection is a tunnel now. */
  onTunnel(): void;
  onTunnelOver(): void;
}

export interface AttemptFailure {
  stage: 'connect' | 'request' | 'response';
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
  tunnel: Tunnel | null = null;
  private upstream: UpstreamConnection | null = null;
  private endpoint: UpstreamEndpoint | null = null;
  private readonly owner: AttemptOwner;
  private readonly progress = new WriteProgress();

  constructor(owner: AttemptOwner) {
    this.owner = owner;
  }

  get method(): string {
    return this.owner.method;
  }

  reset(): void {
    this.count = 0;
    this.transmitted = false;
    this.endpointId = '';
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
    this.upstream = new UpstreamConnection(endpoint, this, backend.upstreamOptions);
  }

  onUpstreamConnected(): void {
    this.transmit();
  }

  /** Writes the head and what there is of the body. */
  private transmit(): void {
    const { upstreamText, body, idempotent, connection } = this.owner;
    const upstream = this.upstream!;
    const { socket } = upstream;
    this.transmitted = true;
    if (body.isEmpty) {
      upstream.markRequestSent();
      socket.write(upstreamText, 'latin1');
      return;
    }
    socket.cork();
    socket.write(upstreamText, 'latin1');
    const more = body.writeKept(socket);
    if (body.done) upstream.markRequestSent();
    socket.uncork();
    if (!(idempotent && upstream.served > 0)) body.forget();
    if (body.done) return;
    connection.expectBody();
    if (more) connection.resume();
  }

  /** For how long the endpoint has taken nothing of the request. */
  stalledForMs(nowMs: number): number {
    return this.upstream === null ? 0 : this.progress.stalledForMs(this.upstream.socket, nowMs);
  }

  /** A part of the body that came after the head was sent. */
  sendBody(chunk: Buffer, start: number, end: number): void {
    const { body, idempotent, response, connection } = this.owner;
    const upstream = this.upstream!;
    if (body.replayable) {
      const keeps =
        idempotent && !response.begun && upstream.served > 0 && body.keptBytes + end - start <= READ_AHEAD_BYTES;
      if (keeps) body.keep(chunk.subarray(start, end));
      else body.forget();
    }
    if (!body.write(upstream.socket, chunk, start, end)) connection.socket.pause();
  }

  /** The request is complete. */
  sendEnd(): void {
    if (!this.transmitted || this.upstream === null) return;
    this.owner.body.writeEnd(this.upstream.socket);
    this.upstream.markRequestSent();
  }

  onUpstreamDrain(): void {
    if (this.tunnel !== null) this.tunnel.onUpstreamDrain();
    else if (!this.owner.body.done) this.owner.connection.resume();
  }

  onClientDrain(): void {
    if (this.tunnel !== null) this.tunnel.onClientDrain();
    else this.upstream?.resume();
  }

  /** The endpoint's part is over: it may get the next one, or be drained. */
  private free(): void {
    const endpoint = this.endpoint;
    this.upstream = null;
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
    this.owner.response.whole(head, chunk, start, end);
    this.owner.onAnswered();
    this.free();
    this.owner.onComplete();
  }

  onUpstreamHead(head: ResponseHead, kind: number): void {
    this.owner.response.head(head, kind);
    this.owner.onAnswered();
  }

  onUpstreamBody(chunk: Buffer, start: number, end: number, isVolatile: boolean): void {
    const part = chunk.subarray(start, end);
    const more = this.owner.response.body(isVolatile ? Buffer.from(part) : part);
    if (!isVolatile && this.owner.connection.socket.writableLength > 0) this.upstream!.keepBuffer();
    if (!more) this.upstream!.pause();
  }

  onUpstreamEnd(trailers: string): void {
    this.owner.response.end(trailers);
    this.free();
    this.owner.onComplete();
  }

  // ---- Upgrade ---------------------------------------------------------------------------------------------------------------------

  onUpstreamSwitch(head: ResponseHead, chunk: Buffer, start: number, end: number): void {
    const { owner } = this;
    const upstream = this.upstream!;
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
    owner.response.switching(head);
    owner.onAnswered();
    endpoint.inFlight--;
    endpoint.tunnels++;
    this.tunnel = new Tunnel(owner.connection.socket, upstream.socket);
    owner.onTunnel();
    const stash = owner.connection.becomeTunnel();
    if (end > start) this.tunnel.fromUpstream(chunk, start, end);
    if (stash !== null) this.tunnel.fromClient(stash);
    if (owner.connection.halfClosed) this.tunnel.onClientEnd();
  }

  onTunnelData(chunk: Buffer, start: number, end: number): void {
    this.tunnel!.fromUpstream(chunk, start, end);
  }

  onTunnelEnd(): void {
    this.tunnel!.onUpstreamEnd();
  }

  onTunnelClosed(): void {
    this.owner.connection.socket.destroySoon();
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
