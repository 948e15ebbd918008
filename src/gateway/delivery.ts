import type { Socket } from 'node:net';
import type { Duplex } from 'node:stream';
import { RequestParser } from '../http1/request-parser.ts';
import type { ResponseHead } from '../http1/response-head.ts';
import { isTlsFault } from '../tls/tls-fault.ts';
import type { Outcome } from './answers.ts';
import type { GatewayBackend } from './backend.ts';
import type { ClientSide } from './client-side.ts';
import type { ClientResponse } from './client-response.ts';
import { Deadline } from './deadline.ts';
import type { Held } from './hold/hold-queue.ts';
import type { Waiter } from './hold/waiter.ts';
import { refusal } from './hold/refusal.ts';
import type { RefusalReason } from './hold/refusal.ts';
import type { RequestView } from './request-view.ts';
import type { CompiledRule, RuleBackend } from './runtime.ts';
import type { ResultKind, RetryKind } from './resilience/resilience.ts';
import { Tunnel } from './protocols/tunnel.ts';
import type { TunnelOwner } from './protocols/tunnel.ts';
import { WebSocketTunnel } from './protocols/websocket.ts';
import { Attempt } from './upstream/attempt.ts';
import type { AttemptFailure, AttemptOwner } from './upstream/attempt.ts';
import type { UpstreamEndpoint } from './upstream/endpoint.ts';
import { RequestBody } from './upstream/request-body.ts';
import type { ProxySource } from './upstream/socket.ts';
import type { RequestTrace } from './tracing/tracer.ts';

/** Tries of one request over kept connections that were closed: each pool has such a moment, none has it five times in a row. */
const MAX_STALE_TRIES = 5;
/** Connects that failed because this process has no more descriptors or ports: the endpoint is not to blame, the request waits for its turn. */
const OWN_FAULTS: ReadonlySet<string> = new Set(['EMFILE', 'ENFILE', 'ENOBUFS', 'ENOMEM', 'EADDRNOTAVAIL']);

/**
 * A request on its way to an endpoint: waits if it must, tries endpoints within its times, tells how they did, becomes a tunnel. What comes before (route, filters) and what
 * is said at the end is the Exchange's, which extends this: one object per request, since both are on the way of each.
 */
export abstract class Delivery implements Waiter, AttemptOwner, TunnelOwner {
  readonly clientSide: ClientSide;
  readonly body = new RequestBody();
  readonly response: ClientResponse;
  readonly attempt: Attempt;
  // Request
  method = '';
  minor: 0 | 1 = 1;
  client = '';
  host = '';
  path = '';
  upgrade = '';
  upstreamText = '';
  expectContinue = false;
  idempotent = false;
  isHead = false;
  requestId = '';
  /** Monotonic ms of its first byte. */
  startedMs = 0;
  /** The head as received: an exchange that is held and balanced by a header is parsed again when it is released. */
  protected text = '';
  protected liveView: RequestView | null = null;
  protected reparsed: RequestParser | null = null;
  // Route
  backend: GatewayBackend | null = null;
  rule: CompiledRule | null = null;
  protected chosen: RuleBackend | null = null;
  // Hold
  holdPrevious: Held | null = null;
  holdNext: Held | null = null;
  holdDeadlineMs = 0;
  heldBytes = 0;
  coldStart = false;
  private heldSinceMs = 0;
  protected heldMs = 0;
  protected inQueue = false;
  /** Let go from the queue, and no response yet. */
  private released = false;
  private looked = false;
  /** Endpoints that refused a connection. */
  tried: UpstreamEndpoint[] | null = null;
  // Tries
  perTryMs = 0;
  private backoffTimer: NodeJS.Timeout | null = null;
  /** What the breaker gave for this request; 0: nothing. */
  protected admission = 0;
  /** Tries that met a kept connection which the endpoint had closed: they don't count as tries of `retry.attempts`. */
  private staleTries = 0;
  /** Number of the last try whose result was told. */
  private told = 0;
  sticky: UpstreamEndpoint | null = null;
  /** The endpoint that the sticky cookie shall name. */
  protected answeredBy: UpstreamEndpoint | null = null;
  // Times
  protected readonly deadline = new Deadline(() => this.onRequestTimeout());
  /** Its response may last and be silent: an event stream. */
  lasting = false;
  private tunnelEndpoint: UpstreamEndpoint | null = null;
  private passedBytes = 0;
  private passedAtMs = 0;
  trace: RequestTrace | null = null;
  /** When the present try began to be sent, and when its head of a final response came. */
  private sentMs = 0;
  private answeredMs = 0;
  // End
  outcome: Outcome = '';
  /** Counted as in flight. */
  protected active = false;

  constructor(clientSide: ClientSide) {
    this.clientSide = clientSide;
    this.response = this.createResponse(clientSide);
    this.attempt = new Attempt(this);
  }

  protected abstract createResponse(clientSide: ClientSide): ClientResponse;
  /** Answers as the gateway itself. */
  protected abstract answer(status: number, outcome: Outcome, detail: string, headers?: string): void;
  /** The rest of the request will not come. Once an answer has begun, only the end of the connection can say so. */
  protected abstract breakOff(status: number, outcome: Outcome, detail: string): void;
  /** The response is complete. */
  abstract onComplete(): void;
  /** Counts and logs, once. */
  protected abstract end(): void;

  get routeName(): string {
    return this.rule?.target.route ?? '';
  }

  get random(): () => number {
    return this.clientSide.listener.runtime.random;
  }

  get proxySource(): ProxySource {
    const { info } = this.clientSide;
    return {
      address: this.client,
      port: this.client === info.peer ? info.peerPort : 0,
      localAddress: info.localAddress,
      localPort: info.localPort,
    };
  }

  get secure(): boolean {
    return this.view !== null && this.clientSide.forwarding.scheme(this.view) === 'https';
  }

  /** The head, for strategies that hash a header: the parser's own while the request is begun, parsed again later. */
  get view(): RequestView | null {
    if (this.liveView !== null) return this.liveView;
    if (this.reparsed === null) {
      this.reparsed = new RequestParser(this.clientSide.listener.config.limits);
      const bytes = Buffer.from(this.text, 'latin1');
      this.reparsed.execute(bytes, 0, bytes.length);
    }
    return this.reparsed.head;
  }

  get hostForLog(): string {
    return this.host.length <= 255 ? this.host : this.host.slice(0, 255);
  }

  pathForLog(): string {
    return this.path.length <= 200 ? this.path : this.path.slice(0, 200);
  }

  /** Made ready for the next request. */
  protected resetDelivery(): void {
    this.response.reset();
    this.attempt.reset();
    this.rule = null;
    this.chosen = null;
    this.backend = null;
    this.requestId = '';
    this.reparsed = null;
    this.heldMs = 0;
    this.heldSinceMs = 0;
    this.holdDeadlineMs = 0;
    this.coldStart = false;
    this.released = false;
    this.inQueue = false;
    this.looked = false;
    this.tried = null;
    this.outcome = '';
    this.active = false;
    this.perTryMs = 0;
    this.admission = 0;
    this.told = 0;
    this.staleTries = 0;
    this.sticky = null;
    this.answeredBy = null;
    this.lasting = false;
    this.passedBytes = 0;
    this.passedAtMs = 0;
    this.trace = null;
  }

  /** The request has left, whatever becomes of it. */
  protected endDelivery(nowMs: number): void {
    this.noLongerReleased();
    this.deadline.stop();
    if (this.admission !== 0 && this.told === 0) this.backend!.resilience.result('cancelled', nowMs, this.admission);
    this.admission = 0;
    if (!this.active) return;
    this.active = false;
    this.backend!.meter.leave(nowMs, this.response.status >= 500 || this.outcome === 'upstream-aborted');
    this.clientSide.listener.runtime.touch(this.backend!);
  }

  /** Nobody needs the response any more. */
  protected abandon(): void {
    if (this.inQueue) {
      this.backend!.queue.remove(this);
      this.leftQueue();
    }
    this.stopBackoff();
    this.response.destroy();
    this.attempt.abandon();
  }

  private stopBackoff(): void {
    if (this.backoffTimer === null) return;
    clearTimeout(this.backoffTimer);
    this.backoffTimer = null;
  }

  // ---- Times -------------------------------------------------------------------------------------------------------------------------

  protected startTimes(rule: CompiledRule): void {
    const { timeouts } = rule.target.rule;
    const nowMs = this.clientSide.listener.nowMs();
    if (rule.retry !== null) this.backend!.countRequest(nowMs);
    this.perTryMs = timeouts.perTryMs;
    this.passedAtMs = nowMs;
    if (timeouts.requestMs > 0) this.deadline.start(timeouts.requestMs, nowMs);
  }

  /** Called a few times a second while the exchange is under way. */
  tick(nowMs: number): void {
    if (this.attempt.tunnel !== null) {
      this.attempt.tunnel.sweep(nowMs);
      return;
    }
    if (this.response.isTransformed) this.response.tick(nowMs);
    if (this.passedAtMs === 0 || this.lasting) return;
    const idleMs = this.rule!.target.rule.timeouts.idleMs;
    if (idleMs === 0) return;
    const passed = this.body.received + this.response.bytes;
    if (passed !== this.passedBytes || !this.attempt.transmitted) {
      this.passedBytes = passed;
      this.passedAtMs = nowMs;
    } else if (nowMs - this.passedAtMs >= idleMs) {
      this.passedAtMs = 0;
      this.tellTimeout();
      this.breakOff(504, 'idle-timeout', `Nothing came from ${this.backend!.name} for too long (timeouts.idle).`);
    }
  }

  /** `timeouts.request` has passed. */
  private onRequestTimeout(): void {
    if (!this.body.done && !this.response.begun) {
      this.clientSide.closing = true;
      this.breakOff(408, 'request-timeout', 'The request did not arrive in time (timeouts.request).');
    } else {
      this.tellTimeout();
      this.breakOff(504, 'request-timeout', `${this.backend!.name} did not answer in time (timeouts.request).`);
    }
  }

  // ---- Hold ------------------------------------------------------------------------------------------------------------------------

  /** Sends the request to an endpoint, or lets it wait for one. */
  protected dispatch(): void {
    const backend = this.backend!;
    this.startOrHold(backend.mustQueue ? null : backend.pick(this));
  }

  private startOrHold(endpoint: UpstreamEndpoint | null): void {
    if (endpoint === null) this.hold();
    else this.start(endpoint);
  }

  private start(endpoint: UpstreamEndpoint): void {
    if (this.trace !== null) this.trace.attempt(endpoint.id, this.clientSide.listener.nowMs());
    this.attempt.start(endpoint);
  }

  onTransmit(): void {
    this.sentMs = this.clientSide.listener.nowMs();
    if (this.trace !== null) this.trace.connected(this.sentMs);
  }

  private hold(): void {
    const backend = this.backend!;
    // Waiting once more: it isn't one of those that were let go.
    this.noLongerReleased();
    if (backend.activeCrash() !== null) {
      this.refuseHold('crashing');
      return;
    }
    if (backend.isDown || backend.isRemoved) {
      this.refuseHold(backend.isRemoved ? 'removed' : 'down');
      return;
    }
    this.heldSinceMs = this.clientSide.listener.nowMs();
    this.deadline.pause(this.heldSinceMs);
    // One bound for all its waits: an endpoint that refuses again and again must not prolong it.
    if (this.holdDeadlineMs === 0) this.holdDeadlineMs = this.heldSinceMs + backend.config.wake.timeoutMs;
    this.heldBytes = this.text.length + this.body.keptBytes;
    // The head was put together from slices and joins; written out once it takes a third of the memory.
    this.upstreamText = flat(this.upstreamText);
    this.coldStart ||= backend.phase !== 'awake';
    this.inQueue = true;
    if (!backend.hold(this)) this.refuseHold('full');
  }

  /**
   * Node sees no departure of a client whose socket is not being read (decisions, 4): before such a request is let go, its socket is read once more.
   * False: not yet looked, `then` is called after it.
   */
  lookedForDeparture(then: () => void): boolean {
    if (this.looked || !this.clientSide.bodyPaused) return true;
    this.looked = true;
    this.clientSide.resumeBody();
    // resume() takes effect after this turn; the poll phase lies between the two.
    setImmediate(() => setImmediate(then));
    return false;
  }

  /** It was sent to an endpoint before: waiting again, it goes before those that came later. */
  get wasTried(): boolean {
    return this.attempt.count > 0;
  }

  /** The queue lets it go, to this endpoint. Returns how long it waited, ms. */
  release(endpoint: UpstreamEndpoint): number {
    const waitedMs = this.leftQueue();
    this.released = true;
    this.start(endpoint);
    return waitedMs;
  }

  private leftQueue(): number {
    const nowMs = this.clientSide.listener.nowMs();
    const waitedMs = nowMs - this.heldSinceMs;
    this.inQueue = false;
    this.heldMs += waitedMs;
    this.deadline.resume(nowMs);
    if (this.trace !== null) this.trace.held(this.heldSinceMs, nowMs, this.coldStart);
    return waitedMs;
  }

  /** It is not in the queue (any more) and will not be served. */
  refuseHold(why: RefusalReason): void {
    if (this.inQueue) this.leftQueue();
    const { status, outcome, detail, headers } = refusal(
      why,
      this.backend!,
      this.clientSide.listener.runtime.clock.wallMs(),
    );
    this.answer(status, outcome, detail, headers);
  }

  // ---- Attempts --------------------------------------------------------------------------------------------------------------------

  /** Before the head of a final response goes on. */
  onFinalHead(endpoint: UpstreamEndpoint): void {
    this.answeredBy = endpoint;
    this.answeredMs = this.clientSide.listener.nowMs();
    this.backend!.firstByteDuration.observe(this.answeredMs - this.sentMs);
    if (this.trace !== null) this.trace.answered(this.answeredMs);
  }

  onAnswered(endpoint: UpstreamEndpoint, status: number): void {
    this.body.forget();
    this.noLongerReleased();
    const answeredMs = this.answeredBy === null ? this.clientSide.listener.nowMs() : this.answeredMs;
    this.tell(endpoint, status >= 500 ? 'error' : 'ok', answeredMs);
  }

  /** How a try went, for ejection and breaker. */
  private tell(endpoint: UpstreamEndpoint, result: ResultKind, nowMs = this.clientSide.listener.nowMs()): void {
    if (!this.backend!.judges) return;
    // The breaker hears once of each try: what breaks after the head was fine is news for ejection only.
    const admission = this.told < this.attempt.count ? this.admission : 0;
    this.told = this.attempt.count;
    this.backend!.result(endpoint, result, nowMs, admission);
  }

  /** The endpoint that has the request now took too long. */
  protected tellTimeout(): void {
    const { endpoint } = this.attempt;
    if (endpoint !== null && this.attempt.transmitted && !this.response.begun) this.tell(endpoint, 'timeout');
  }

  private noLongerReleased(): void {
    if (!this.released) return;
    this.released = false;
    this.backend!.answered();
  }

  onAttemptFailed(failure: AttemptFailure): void {
    const backend = this.backend!;
    const { stage, endpoint, reason, timedOut, reused } = failure;
    if (this.response.begun) {
      this.tell(endpoint, 'reset');
      this.outcome = 'upstream-aborted';
      this.response.destroy();
      // The client must see a broken transfer, never one that looks complete.
      this.clientSide.abort();
      return;
    }
    if (stage === 'connect') {
      if (!OWN_FAULTS.has(reason)) this.tell(endpoint, 'connect');
      this.tryElsewhere(endpoint, reason, timedOut);
      return;
    }
    if (stage === 'status') {
      this.tell(endpoint, 'error');
      this.tryAgain(endpoint);
      return;
    }
    if (timedOut) {
      this.tell(endpoint, 'timeout');
      if (this.mayTryAgain('timeout')) this.tryAgain(endpoint);
      else this.answer(504, 'upstream-timeout', `${backend.name} did not answer in time (timeouts.perTry).`);
      return;
    }
    const invalid = reason.startsWith('invalid');
    if (!invalid) backend.broke(endpoint, reason);
    // A kept connection that the endpoint had closed already: nothing of the response was seen, and the request may be repeated (RFC 9110 9.2.2, RFC 9112 9.3.1).
    if (
      stage === 'request' &&
      reused &&
      this.idempotent &&
      this.body.replayable &&
      this.attempt.count < MAX_STALE_TRIES
    ) {
      this.staleTries++;
      this.attempt.transmitted = false;
      this.dispatch();
      return;
    }
    this.tell(endpoint, invalid ? 'error' : 'reset');
    if (!invalid && this.mayTryAgain('reset')) this.tryAgain(endpoint);
    else if (invalid) this.answer(502, 'upstream-invalid', `${backend.name} sent an invalid response.`);
    else this.answer(502, 'upstream-closed', `${backend.name} closed the connection before it answered.`);
  }

  wantsRetry(status: number): boolean {
    const retry = this.rule === null ? null : this.rule.retry;
    return retry !== null && retry.statuses.includes(status) && this.mayTryAgain('error');
  }

  /** Whether the request may be sent once more though an endpoint has had it: idempotent, nothing of its body gone, and the backend can bear it. */
  private mayTryAgain(why: RetryKind): boolean {
    const retry = this.rule === null ? null : this.rule.retry;
    if (retry === null || !retry.kinds.includes(why)) return false;
    return (
      this.idempotent &&
      !this.attempt.bodyGone &&
      this.attempt.count - this.staleTries < retry.attempts &&
      this.backend!.mayRetry(this.clientSide.listener.nowMs(), retry.budgetPercent, why)
    );
  }

  /** Another try after a pause, elsewhere if there is anywhere else. */
  private tryAgain(endpoint: UpstreamEndpoint): void {
    const { backoffMs } = this.rule!.retry!;
    const { random } = this.clientSide.listener.runtime;
    this.tried = this.tried === null ? [endpoint] : [...this.tried, endpoint];
    this.attempt.transmitted = false;
    // Full jitter: those that failed together shall not come back together.
    const pauseMs = backoffMs * 2 ** (this.attempt.count - 1) * 2 * random();
    this.backoffTimer = setTimeout(() => {
      this.backoffTimer = null;
      const backend = this.backend!;
      let endpoint = backend.mustQueue ? null : backend.pick(this);
      if (endpoint === null && !backend.mustQueue && backend.hasReady) {
        this.tried = null;
        endpoint = backend.pick(this);
      }
      this.startOrHold(endpoint);
    }, pauseMs);
  }

  /**
   * No connection, so nothing was sent: any other endpoint may have it. A backend that can be started is waited for, unless it is there and speaks the wrong TLS; a list of servers is
   * tried through.
   */
  private tryElsewhere(endpoint: UpstreamEndpoint, reason: string, timedOut: boolean): void {
    const backend = this.backend!;
    const ownFault = OWN_FAULTS.has(reason);
    backend.suspect(endpoint, reason, !ownFault);
    this.tried = this.tried === null ? [endpoint] : [...this.tried, endpoint];
    const waits = ownFault || (backend.config.driver !== 'static' && !isTlsFault(reason));
    const next =
      waits || this.attempt.count < Math.max(this.rule?.target.rule.retry.attempts ?? 1, backend.endpoints.size)
        ? backend.pick(this)
        : null;
    if (next !== null) {
      backend.resilience.retries.connect++;
      this.start(next);
    } else if (waits) {
      this.tried = null;
      this.attempt.transmitted = false;
      this.hold();
    } else {
      const when = timedOut ? ' in time' : '';
      const detail = `No server of ${backend.name} accepted a connection${when}.`;
      this.answer(timedOut ? 504 : 502, 'connect-failed', detail);
    }
  }

  // ---- Tunnel ----------------------------------------------------------------------------------------------------------------------

  openTunnel(client: Duplex, upstream: Socket, head: ResponseHead, endpoint: UpstreamEndpoint): Tunnel {
    this.deadline.stop();
    this.tunnelEndpoint = endpoint;
    const { listener } = this.clientSide;
    const { meter } = this.backend!;
    const nowMs = listener.nowMs();
    meter.tunnels++;
    meter.leave(nowMs, false);
    this.active = false;
    listener.runtime.touch(this.backend!);
    const { counters } = this.chosen!;
    const protocol = head.upgrade === '' ? this.upgrade : head.upgrade;
    if (protocol.toLowerCase() !== 'websocket') return new Tunnel(client, upstream, counters.tunnel('upgrade'), nowMs);
    const extended = head.value('sec-websocket-extensions') !== undefined;
    return new WebSocketTunnel(client, upstream, extended, this.rule!.target.rule.webSocket, {
      owner: this,
      random: listener.runtime.random,
      counters: counters.tunnel('websocket'),
      nowMs,
    });
  }

  /** Its listener or its endpoint is being drained. An endpoint that fails its health checks may still serve what is open on it. */
  get leaving(): boolean {
    const { listener, destroyed } = this.clientSide;
    return !destroyed && (listener.draining || this.tunnelEndpoint?.state === 'draining');
  }

  onTunnelOver(): void {
    const { listener } = this.clientSide;
    const { meter } = this.backend!;
    meter.tunnels--;
    meter.lastActivityMs = listener.nowMs();
    listener.runtime.touch(this.backend!);
    this.body.received = this.attempt.tunnel!.clientBytes;
    this.response.bytes = this.attempt.tunnel!.upstreamBytes;
    this.attempt.tunnel!.over(listener.nowMs());
    this.tunnelEndpoint = null;
    this.outcome = 'tunnel';
    this.end();
  }
}

function flat(text: string): string {
  return Buffer.from(text, 'latin1').toString('latin1');
}
