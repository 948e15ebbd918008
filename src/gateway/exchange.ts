import { RequestParser } from '../http1/request-parser.ts';
import type { RequestHead } from '../http1/request-head.ts';
import type { ProtocolError } from '../http1/protocol-error.ts';
import type { AccessRecord } from '../model/access.ts';
import { problemBody } from './answers.ts';
import type { Outcome } from './answers.ts';
import type { GatewayBackend } from './backend.ts';
import type { PickContext } from './balancing/strategy.ts';
import type { ClientConnection } from './client-connection.ts';
import { ClientResponse } from './client-response.ts';
import type { ResponseTerms } from './client-response.ts';
import type { CompiledFilters } from './filters/compile-filters.ts';
import { bodyLimit, buildRequestHead, passableUpgrade } from './heads.ts';
import type { Held } from './hold/hold-queue.ts';
import { refusal } from './hold/refusal.ts';
import type { RefusalReason } from './hold/refusal.ts';
import { acceptsHtml, waitingAnswer, waitingPage } from './hold/waiting-page.ts';
import type { RequestView } from './request-view.ts';
import type { CompiledRule, RuleBackend } from './runtime.ts';
import { Attempt } from './upstream/attempt.ts';
import type { AttemptFailure, AttemptOwner } from './upstream/attempt.ts';
import type { UpstreamEndpoint } from './upstream/endpoint.ts';
import { READ_AHEAD_BYTES, RequestBody } from './upstream/request-body.ts';

/** Methods that may be sent again when a kept connection turns out to be closed (RFC 9110 9.2.2). */
const IDEMPOTENT: ReadonlySet<string> = new Set(['GET', 'HEAD', 'OPTIONS', 'PUT', 'DELETE', 'TRACE']);
/** Tries of one request over kept connections that were closed: each pool has such a moment, none has it five times in a row. */
const MAX_STALE_TRIES = 5;
/** Connects that failed because this process has no more descriptors or ports: the endpoint is not to blame, the request waits for its turn. */
const OWN_FAULTS: ReadonlySet<string> = new Set(['EMFILE', 'ENFILE', 'ENOBUFS', 'ENOMEM', 'EADDRNOTAVAIL']);

/**
 * One request and its response: finds the route, waits if it must, tries endpoints, answers, counts. One object per client connection, used again for each
 * exchange on it, since HTTP/1.1 has one at a time.
 */
export class Exchange implements Held, PickContext, AttemptOwner, ResponseTerms {
  readonly connection: ClientConnection;
  readonly body = new RequestBody();
  readonly response: ClientResponse;
  readonly attempt: Attempt;
  // Request
  method = '';
  minor: 0 | 1 = 1;
  client = '';
  upgrade = '';
  upstreamText = '';
  expectContinue = false;
  idempotent = false;
  isHead = false;
  /** Monotonic ms of its first byte. */
  startedMs = 0;
  private target = '';
  private host = '';
  private path = '';
  private requestId = '';
  private userAgent = '';
  private referer = '';
  /** The head as received: an exchange that is held and balanced by a header is parsed again when it is released. */
  private text = '';
  private liveView: RequestView | null = null;
  private reparsed: RequestParser | null = null;
  // Route
  backend: GatewayBackend | null = null;
  private rule: CompiledRule | null = null;
  private chosen: RuleBackend | null = null;
  // Hold
  holdPrevious: Held | null = null;
  holdNext: Held | null = null;
  holdDeadlineMs = 0;
  heldBytes = 0;
  coldStart = false;
  private heldSinceMs = 0;
  private heldMs = 0;
  private inQueue = false;
  /** Let go from the queue, and no response yet. */
  private released = false;
  private looked = false;
  /** Endpoints that refused a connection. */
  tried: UpstreamEndpoint[] | null = null;
  // End
  private outcome: Outcome = '';
  /** Counted as in flight. */
  private active = false;
  /** What the client still sends is thrown away: the answer is out. */
  private discarding = false;

  constructor(connection: ClientConnection) {
    this.connection = connection;
    this.response = new ClientResponse(connection, this);
    this.attempt = new Attempt(this);
  }

  get routeName(): string {
    return this.rule?.target.route ?? '';
  }

  get filters(): CompiledFilters | null {
    return this.rule === null ? null : this.rule.filters;
  }

  get random(): () => number {
    return this.connection.listener.runtime.random;
  }

  get requestDone(): boolean {
    return this.body.done;
  }

  /** The head, for strategies that hash a header: the parser's own while the request is begun, parsed again later. */
  get view(): RequestView | null {
    if (this.liveView !== null) return this.liveView;
    if (this.reparsed === null) {
      this.reparsed = new RequestParser(this.connection.listener.config.limits);
      const bytes = Buffer.from(this.text, 'latin1');
      this.reparsed.execute(bytes, 0, bytes.length);
    }
    return this.reparsed.head;
  }

  pathForLog(): string {
    return this.path.length <= 200 ? this.path : this.path.slice(0, 200);
  }

  // ---- Request ---------------------------------------------------------------------------------------------------------------------

  /** A head is complete. `head` is only good during the call. */
  begin(head: RequestHead): void {
    const { connection } = this;
    const { listener } = connection;
    const { runtime } = listener;
    this.reset();
    this.startedMs = connection.requestStartedMs;
    this.method = head.method;
    this.target = head.target;
    this.path = head.path;
    this.minor = head.minor;
    this.host = head.host;
    this.isHead = head.method === 'HEAD';
    this.expectContinue = head.expectContinue;
    this.upgrade = passableUpgrade(head.upgrade);
    this.body.begin(head.chunked, connection.reading !== 'body');
    this.client = connection.trusted ? runtime.clientAddress.resolveTrusted(connection.peer, head) : connection.peer;
    if (runtime.logsAccess) {
      this.userAgent = head.value('user-agent') ?? '';
      this.referer = head.value('referer') ?? '';
    }
    if (head.method === 'CONNECT') {
      const allow = 'Allow: GET, HEAD, POST, PUT, PATCH, DELETE, OPTIONS\r\n';
      this.answer(405, 'not-allowed', 'CONNECT is not offered here.', allow);
      return;
    }
    if (head.method === 'OPTIONS' && head.value('max-forwards') === '0') {
      // RFC 9110 7.6.2: not forwarded, answered as the last recipient.
      this.respond(204, 'not-forwarded', 'Allow: GET, HEAD, POST, PUT, PATCH, DELETE, OPTIONS\r\n', '');
      return;
    }
    const limit = bodyLimit(listener.config);
    if (head.contentLength > limit) {
      this.refuseLargeBody(limit);
      return;
    }
    const target = runtime.router.match(listener.config.name, head);
    if (target === null) {
      this.answer(404, 'no-route', 'No route matches this host and path.');
      return;
    }
    const rule = target.data as CompiledRule;
    this.rule = rule;
    if (rule.filters.request !== null && this.answeredByFilter(head, rule)) return;
    const chosen = rule.choose(runtime.random);
    if (chosen === null) {
      this.answer(500, 'no-backend', 'This route has no backend.');
      return;
    }
    this.chosen = chosen;
    const { backend } = chosen;
    this.backend = backend;
    backend.meter.arrive(this.startedMs);
    runtime.touch(backend);
    this.active = true;
    this.idempotent = IDEMPOTENT.has(head.method);
    const edit = rule.filters.request === null ? null : runtime.requestEdit;
    this.upstreamText = buildRequestHead(head, connection.forwarding, edit);
    this.requestId = connection.forwarding.requestId;
    this.text = head.text;
    if (backend.config.wake.page && this.answeredByPage(head, backend)) return;
    this.liveView = head;
    this.dispatch();
    this.liveView = null;
  }

  private reset(): void {
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
    this.discarding = false;
  }

  private answeredByFilter(head: RequestHead, rule: CompiledRule): boolean {
    const { runtime } = this.connection.listener;
    const edit = runtime.requestEdit;
    edit.begin(head, this.client, this.connection.forwarding.scheme(head));
    let answer;
    try {
      answer = rule.filters.request!(edit);
    } catch (error) {
      runtime.logger.error('a filter failed', { route: this.routeName, error: String(error) });
      this.answer(500, 'filter-failed', 'A filter of this route failed.');
      return true;
    }
    if (answer === null) return false;
    this.respond(answer.status, 'filter', answer.headers, answer.body);
    return true;
  }

  /** A browser that navigates gets a page that waits, instead of being held. */
  private answeredByPage(head: RequestHead, backend: GatewayBackend): boolean {
    const isQuestion = head.value('x-dormouse-wait') !== undefined;
    const crash = backend.activeCrash();
    // The page's own question is never passed on: the application would see it, and its answer would be taken for ours.
    if (
      !isQuestion &&
      (backend.hasReady || head.method !== 'GET' || crash !== null || !acceptsHtml(head.value('accept')))
    )
      return false;
    if (crash === null && !backend.hasReady) backend.poke(this);
    const wallMs = this.connection.listener.runtime.clock.wallMs();
    const { status, headers, body } = isQuestion ? waitingAnswer(backend, wallMs) : waitingPage(backend, wallMs);
    this.respond(status, 'waiting-page', headers, body);
    return true;
  }

  /** BodySink of the connection's decoder: a part of the request body. */
  onBody(chunk: Buffer, start: number, end: number): void {
    const { body, connection } = this;
    const size = end - start;
    body.received += size;
    if (this.discarding) return;
    const limit = bodyLimit(connection.listener.config);
    if (body.received > limit) {
      this.giveUp();
      this.refuseLargeBody(limit);
    } else if (this.attempt.transmitted) this.attempt.sendBody(chunk, start, end);
    else {
      body.keep(chunk.subarray(start, end));
      if (this.inQueue) this.backend!.grew(this, size);
      if (body.keptBytes >= READ_AHEAD_BYTES) connection.socket.pause();
    }
  }

  private refuseLargeBody(limit: number): void {
    this.connection.closing = true;
    this.answer(413, 'too-large', `The request body is larger than ${limit} bytes.`);
  }

  /** The request's last byte has come. */
  onRequestEnd(trailers: string): void {
    this.body.end(trailers);
    if (this.discarding) {
      this.end();
      this.connection.exchangeDone();
    } else this.attempt.sendEnd();
  }

  /** The body's framing is broken: nothing more can be understood on this connection. */
  onRequestBroken(error: ProtocolError): void {
    this.connection.closing = true;
    this.breakOff(error.status, 'bad-request', error.message);
  }

  /** Nobody has taken the request yet: its client need not send. */
  get isWaiting(): boolean {
    return this.inQueue || (this.backend !== null && !this.attempt.transmitted && !this.discarding);
  }

  /** The endpoint takes nothing of the request's body, and the client can't be read meanwhile. */
  onUpstreamStalled(): void {
    this.connection.closing = true;
    this.breakOff(504, 'upstream-stalled', `${this.backend!.name} stopped reading the request body.`);
  }

  onBodyTimeout(): void {
    this.breakOff(408, 'body-timeout', 'The request body stopped arriving.');
  }

  /** The rest of the request will not come. Once an answer has begun, only the end of the connection can say so. */
  private breakOff(status: number, outcome: Outcome, detail: string): void {
    this.giveUp();
    if (this.response.begun || this.discarding) this.connection.destroy();
    else this.answer(status, outcome, detail);
  }

  /** The client is gone: nobody needs the answer. */
  onClientGone(): void {
    if (this.outcome === '') this.outcome = 'client-gone';
    this.giveUp();
    this.end();
  }

  onClientDrain(): void {
    this.attempt.onClientDrain();
  }

  private giveUp(): void {
    if (this.inQueue) {
      this.backend!.queue.remove(this);
      this.leftQueue();
    }
    this.attempt.abandon();
  }

  // ---- Hold ------------------------------------------------------------------------------------------------------------------------

  /** Sends the request to an endpoint, or lets it wait for one. */
  private dispatch(): void {
    const backend = this.backend!;
    const endpoint = backend.mustQueue ? null : backend.pick(this);
    if (endpoint === null) this.hold();
    else this.attempt.start(endpoint);
  }

  private hold(): void {
    const backend = this.backend!;
    if (backend.activeCrash() !== null) {
      this.refuseHold('crashing');
      return;
    }
    if (backend.isDown || backend.isRemoved) {
      this.refuseHold(backend.isRemoved ? 'removed' : 'down');
      return;
    }
    this.heldSinceMs = this.connection.listener.nowMs();
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
    if (this.looked || !this.connection.socket.isPaused()) return true;
    this.looked = true;
    this.connection.resume();
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
    this.attempt.start(endpoint);
    return waitedMs;
  }

  private leftQueue(): number {
    const waitedMs = this.connection.listener.nowMs() - this.heldSinceMs;
    this.inQueue = false;
    this.heldMs += waitedMs;
    return waitedMs;
  }

  /** It is not in the queue (any more) and will not be served. */
  refuseHold(why: RefusalReason): void {
    if (this.inQueue) this.leftQueue();
    const { status, outcome, detail, headers } = refusal(
      why,
      this.backend!,
      this.connection.listener.runtime.clock.wallMs(),
    );
    this.answer(status, outcome, detail, headers);
  }

  // ---- Attempts --------------------------------------------------------------------------------------------------------------------

  onAnswered(): void {
    this.body.forget();
    this.noLongerReleased();
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
      this.outcome = 'upstream-aborted';
      // The client must see a broken transfer, never one that looks complete: a body without length ends with a FIN.
      this.connection.socket.resetAndDestroy();
      return;
    }
    if (stage === 'connect') {
      this.tryElsewhere(endpoint, reason, timedOut);
      return;
    }
    if (!reason.startsWith('invalid')) backend.broke(endpoint, reason);
    // A kept connection that the endpoint had closed already: nothing of the response was seen, and the request may be repeated (RFC 9110 9.2.2, RFC 9112 9.3.1).
    if (
      stage === 'request' &&
      reused &&
      this.idempotent &&
      this.body.replayable &&
      this.attempt.count < MAX_STALE_TRIES
    ) {
      this.attempt.transmitted = false;
      this.dispatch();
      return;
    }
    if (reason.startsWith('invalid')) this.answer(502, 'upstream-invalid', `${backend.name} sent an invalid response.`);
    else this.answer(502, 'upstream-closed', `${backend.name} closed the connection before it answered.`);
  }

  /** No connection, so nothing was sent: any other endpoint may have it. A backend that can be started is waited for; a list of servers is tried through. */
  private tryElsewhere(endpoint: UpstreamEndpoint, reason: string, timedOut: boolean): void {
    const backend = this.backend!;
    const ownFault = OWN_FAULTS.has(reason);
    backend.suspect(endpoint, reason, !ownFault);
    this.tried = this.tried === null ? [endpoint] : [...this.tried, endpoint];
    const waits = ownFault || backend.config.driver !== 'static';
    const next =
      waits || this.attempt.count < Math.max(this.rule!.target.retry.attempts, backend.endpoints.size)
        ? backend.pick(this)
        : null;
    if (next !== null) this.attempt.start(next);
    else if (waits) {
      this.tried = null;
      this.attempt.transmitted = false;
      this.noLongerReleased();
      this.hold();
    } else {
      const when = timedOut ? ' in time' : '';
      const detail = `No server of ${backend.name} accepted a connection${when}.`;
      this.answer(timedOut ? 504 : 502, 'connect-failed', detail);
    }
  }

  onComplete(): void {
    if (this.body.done) {
      this.end();
      this.connection.exchangeDone();
    } else this.discardRest();
  }

  /** The answer is out before the request was: its rest is read and thrown away, or the connection ends. */
  private discardRest(): void {
    this.discarding = true;
    if (this.connection.closing) {
      this.end();
      this.connection.finish();
    } else this.connection.resume();
  }

  // ---- Tunnel ----------------------------------------------------------------------------------------------------------------------

  onTunnel(): void {
    const { listener } = this.connection;
    const { meter } = this.backend!;
    meter.tunnels++;
    meter.leave(listener.nowMs(), false);
    this.active = false;
    listener.runtime.touch(this.backend!);
  }

  onTunnelOver(): void {
    const { listener } = this.connection;
    const { meter } = this.backend!;
    meter.tunnels--;
    meter.lastActivityMs = listener.nowMs();
    listener.runtime.touch(this.backend!);
    this.body.received = this.attempt.tunnel!.clientBytes;
    this.response.bytes = this.attempt.tunnel!.upstreamBytes;
    this.outcome = 'tunnel';
    this.end();
  }

  // ---- Own answers and the end -------------------------------------------------------------------------------------------------------

  /** Answers a head that could not be understood: there is no exchange yet. */
  answerBroken(status: number, detail: string): void {
    this.reset();
    this.method = '';
    this.target = '';
    this.host = '';
    this.path = '';
    this.client = this.connection.peer;
    this.minor = 1;
    this.isHead = false;
    this.expectContinue = false;
    this.body.begin(false, true);
    this.startedMs = this.connection.requestStartedMs;
    this.answer(status, 'bad-request', detail);
  }

  /** Answers as the gateway itself, with problem+json. */
  private answer(status: number, outcome: Outcome, detail: string, headers = ''): void {
    const type = 'Content-Type: application/problem+json\r\n';
    this.respond(status, outcome, headers + type, problemBody(status, outcome, detail));
  }

  private respond(status: number, outcome: Outcome, headers: string, body: string): void {
    this.outcome = outcome;
    this.response.own(status, headers, body);
    this.onComplete();
  }

  /** Counts and logs, once. */
  private end(): void {
    const { listener } = this.connection;
    const { runtime } = listener;
    const nowMs = listener.nowMs();
    const durationMs = nowMs - this.startedMs;
    const { status } = this.response;
    this.noLongerReleased();
    if (this.active) {
      this.active = false;
      this.backend!.meter.leave(nowMs, status >= 500 || this.outcome === 'upstream-aborted');
      runtime.touch(this.backend!);
    }
    if (this.chosen !== null) {
      const { counters } = this.chosen;
      counters.codes[status === 0 ? 0 : (status / 100) | 0]!++;
      counters.duration.observe(durationMs);
      counters.requestBytes += this.body.received;
      counters.responseBytes += this.response.bytes;
    } else if (status !== 0) runtime.counters.refuse(status);
    if (runtime.logsAccess) {
      const record = runtime.accessRecord;
      this.fill(record, durationMs, runtime.clock.wallMs() - durationMs);
      runtime.accessLog.record(record);
    }
    // An idle connection keeps nothing of its last request.
    this.body.drop();
    this.upstreamText = '';
    this.text = '';
    this.reparsed = null;
  }

  private fill(record: AccessRecord, durationMs: number, startedAtMs: number): void {
    record.startedAtMs = startedAtMs;
    record.durationMs = durationMs;
    record.heldMs = this.heldMs;
    record.client = this.client;
    record.method = this.method;
    record.target = this.target;
    record.host = this.host;
    record.minor = this.minor;
    record.status = this.response.status;
    record.requestBytes = this.body.received;
    record.responseBytes = this.response.bytes;
    record.route = this.routeName;
    record.backend = this.backend === null ? '' : this.backend.name;
    record.endpoint = this.attempt.endpointId;
    record.requestId = this.requestId;
    record.coldStart = this.coldStart;
    record.attempts = this.attempt.count;
    record.outcome = this.outcome;
    record.userAgent = this.userAgent;
    record.referer = this.referer;
  }
}

function flat(text: string): string {
  return Buffer.from(text, 'latin1').toString('latin1');
}
