import type { Socket } from 'node:net';
import type { Duplex } from 'node:stream';
import { RequestParser } from '../http1/request-parser.ts';
import type { RequestHead } from '../http1/request-head.ts';
import type { ResponseHead } from '../http1/response-head.ts';
import type { ProtocolError } from '../http1/protocol-error.ts';
import { HTTP2 } from '../model/access.ts';
import type { AccessRecord } from '../model/access.ts';
import { problemBody } from './answers.ts';
import type { Outcome } from './answers.ts';
import type { GatewayBackend } from './backend.ts';
import type { ClientSide } from './client-side.ts';
import { ClientResponse } from './client-response.ts';
import type { ResponseTerms } from './client-response.ts';
import { Deadline } from './deadline.ts';
import type { CompiledFilters } from './filters/compile-filters.ts';
import { RequestEdit } from './filters/edits.ts';
import type { Answer } from './filters/filter.ts';
import { Filtering } from './filters/filtering.ts';
import type { FilteringOwner } from './filters/filtering.ts';
import { bodyLimit, buildRequestHead, passableUpgrade } from './heads.ts';
import type { Held } from './hold/hold-queue.ts';
import type { Waiter } from './hold/waiter.ts';
import { refusal } from './hold/refusal.ts';
import type { RefusalReason } from './hold/refusal.ts';
import { acceptsHtml, waitingAnswer, waitingPage } from './hold/waiting-page.ts';
import type { RequestView } from './request-view.ts';
import type { MirrorCopy } from './side-call.ts';
import type { CompiledRule, RuleBackend } from './runtime.ts';
import type { ResultKind, RetryKind } from './resilience/resilience.ts';
import { Tunnel } from './protocols/tunnel.ts';
import type { TunnelOwner } from './protocols/tunnel.ts';
import { WebSocketTunnel } from './protocols/websocket.ts';
import { Attempt } from './upstream/attempt.ts';
import type { AttemptFailure, AttemptOwner } from './upstream/attempt.ts';
import type { UpstreamEndpoint } from './upstream/endpoint.ts';
import { READ_AHEAD_BYTES, RequestBody } from './upstream/request-body.ts';
import type { ProxySource } from './upstream/socket.ts';
import type { RequestTrace, TracedExchange } from './tracing/tracer.ts';

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
export class Exchange implements Waiter, AttemptOwner, ResponseTerms, FilteringOwner, TracedExchange, TunnelOwner {
  readonly clientSide: ClientSide;
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
  private bodyLimitBytes = 0;
  isHead = false;
  /** Monotonic ms of its first byte. */
  startedMs = 0;
  private target = '';
  host = '';
  path = '';
  requestId = '';
  private userAgent = '';
  private referer = '';
  /** The head as received: an exchange that is held and balanced by a header is parsed again when it is released. */
  private text = '';
  private liveView: RequestView | null = null;
  private reparsed: RequestParser | null = null;
  // Route
  backend: GatewayBackend | null = null;
  rule: CompiledRule | null = null;
  /** A filter keeps it waiting; null: none does, or has. */
  private filtering: Filtering | null = null;
  private inFilters: CompiledFilters | null = null;
  /** Lines that filters want on the response. */
  private responseLines = '';
  private ends: (() => void)[] | null = null;
  /** Who the filters found the client to be. */
  identity = '';
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
  /** Copies of this request that go elsewhere. */
  private mirrors: readonly MirrorCopy[] | null = null;
  // Tries
  perTryMs = 0;
  private backoffTimer: NodeJS.Timeout | null = null;
  /** What the breaker gave for this request; 0: nothing. */
  private admission = 0;
  /** Tries that met a kept connection which the endpoint had closed: they don't count as tries of `retry.attempts`. */
  private staleTries = 0;
  /** Number of the last try whose result was told. */
  private told = 0;
  sticky: UpstreamEndpoint | null = null;
  /** The endpoint that the sticky cookie shall name. */
  private answeredBy: UpstreamEndpoint | null = null;
  // Times
  private readonly deadline = new Deadline(() => this.onRequestTimeout());
  /** Its response may last and be silent: an event stream. */
  lasting = false;
  private tunnelEndpoint: UpstreamEndpoint | null = null;
  private passedBytes = 0;
  private passedAtMs = 0;
  private trace: RequestTrace | null = null;
  // End
  outcome: Outcome = '';
  /** Counted as in flight. */
  private active = false;
  /** What the client still sends is thrown away: the answer is out. */
  private discarding = false;

  constructor(clientSide: ClientSide) {
    this.clientSide = clientSide;
    this.response = new ClientResponse(clientSide, this);
    this.attempt = new Attempt(this);
  }

  get routeName(): string {
    return this.rule?.target.route ?? '';
  }

  get filters(): CompiledFilters | null {
    return this.rule === null ? null : this.rule.filters;
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

  // What a trace is told at the end.

  get route(): string {
    return this.routeName;
  }

  get endpoint(): string {
    return this.attempt.endpointId;
  }

  get status(): number {
    return this.response.status;
  }

  get attempts(): number {
    return this.attempt.count;
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

  pathForLog(): string {
    return this.path.length <= 200 ? this.path : this.path.slice(0, 200);
  }

  // ---- Request ---------------------------------------------------------------------------------------------------------------------

  /** A head is complete. `head` is only good during the call, or until `releaseHead`. */
  begin(head: RequestHead): void {
    const { clientSide } = this;
    const { listener } = clientSide;
    const { runtime } = listener;
    this.reset();
    this.startedMs = clientSide.requestStartedMs;
    this.method = head.method;
    this.target = head.target;
    this.path = head.path;
    this.minor = head.minor;
    this.host = head.host;
    this.isHead = head.method === 'HEAD';
    this.expectContinue = head.expectContinue;
    this.upgrade = passableUpgrade(head.upgrade);
    this.body.begin(head.chunked, !clientSide.bodyPending);
    this.client = clientSide.trusted ? runtime.clientAddress.resolveTrusted(clientSide.peer, head) : clientSide.peer;
    this.text = head.text;
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
    if (clientSide.info.tls !== null && !clientSide.info.tls.covers(head.hostname)) {
      this.answer(421, 'misdirected', 'This connection was opened for another host; open one for this host.');
      return;
    }
    const limit = bodyLimit(listener.config);
    this.bodyLimitBytes = limit;
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
    if (runtime.tracer !== null) this.trace = runtime.tracer.begin(head, this.startedMs, clientSide.acceptedMs);
    if (listener.clients !== null && !listener.clients.allows(this.client)) this.refuseClient();
    else if (rule.clients !== null && !rule.clients.allows(this.client)) this.refuseClient();
    else if (rule.plain && this.trace === null) this.proceed(head, null, -1);
    else this.filter(head, rule);
  }

  /**
   * A request of the gateway itself: no route, no filters. `text`: the head as the endpoint gets it. `body`: all of it; null: it comes by `onBody`.
   */
  beginSideCall(
    backend: GatewayBackend,
    call: { method: string; host: string; path: string; text: string; client: string; chunked: boolean },
    body: Buffer | null,
  ): void {
    const { clientSide } = this;
    const { listener } = clientSide;
    this.reset();
    this.startedMs = listener.nowMs();
    this.method = call.method;
    this.target = call.path;
    this.path = call.path;
    this.minor = 1;
    this.host = call.host;
    this.isHead = call.method === 'HEAD';
    this.expectContinue = false;
    this.upgrade = '';
    this.client = call.client;
    this.text = call.text;
    this.upstreamText = call.text;
    this.body.begin(call.chunked, body !== null);
    if (body !== null && body.length > 0) {
      this.body.keep(body);
      this.body.received = body.length;
    }
    this.bodyLimitBytes = Number.MAX_SAFE_INTEGER;
    this.idempotent = IDEMPOTENT.has(call.method);
    this.backend = backend;
    backend.meter.arrive(this.startedMs);
    listener.runtime.touch(backend);
    this.active = true;
    this.dispatch();
  }

  private refuseClient(): void {
    this.answer(403, 'client-refused', 'Requests from this address are not allowed here.');
  }

  /** Lets the filters of the rule look at the request. */
  private filter(head: RequestHead, rule: CompiledRule): void {
    const { runtime } = this.clientSide.listener;
    const { filters } = rule;
    filters.enter();
    this.inFilters = filters;
    const edit = runtime.requestEdit;
    edit.begin(head, this.client, this.clientSide.forwarding.scheme(head));
    let verdict = null;
    if (filters.request !== null) {
      try {
        verdict =
          this.trace === null
            ? filters.request(edit)
            : filters.tracedRequest!(edit, this.trace, () => runtime.clock.nowMs());
      } catch (error) {
        this.take(edit);
        this.onFilterFailed(error);
        return;
      }
    }
    if (verdict === null && filters.bodySteps === null) {
      this.proceed(head, edit, -1);
      return;
    }
    if (verdict !== null && !(verdict instanceof Promise)) {
      this.take(edit);
      this.onFilterAnswer(verdict);
      return;
    }
    // It waits: the edit is its own from now on, and the head stays.
    runtime.requestEdit = new RequestEdit();
    this.clientSide.keepHead();
    this.liveView = head;
    this.filtering = new Filtering(this, head, edit, filters);
    if (verdict === null) this.filtering.toBody();
    else this.filtering.wait(verdict);
  }

  /** What the filters noted for later. */
  private take(edit: RequestEdit): void {
    this.responseLines = edit.responseLines;
    this.ends = edit.ends;
    this.identity = edit.identity;
    if (edit.loggedTarget !== null) this.target = edit.loggedTarget;
    if (edit.removeNames.length > 0) this.body.withhold(edit.removeNames);
  }

  onFiltered(head: RequestHead, edit: RequestEdit, replaced: number): void {
    this.filtering = null;
    if (replaced >= 0 || this.body.done) edit.removeReceived(['expect']);
    this.proceed(head, edit, replaced);
  }

  onFilterAnswer(answer: Answer): void {
    this.leaveFilters();
    this.respond(answer.status, 'filter', answer.headers, answer.body);
  }

  onFilterFailed(error: unknown): void {
    this.leaveFilters();
    const { logger, counters } = this.clientSide.listener.runtime;
    counters.filterFailures++;
    logger.error('a filter failed', { route: this.routeName, error: String(error) });
    this.answer(500, 'filter-failed', 'A filter of this route failed.');
  }

  onBodyOver(limitBytes: number): void {
    this.leaveFilters();
    this.refuseLargeBody(limitBytes);
  }

  private leaveFilters(): void {
    if (this.filtering === null) return;
    this.filtering.stop();
    this.take(this.filtering.edit);
    this.filtering = null;
    this.liveView = null;
    this.clientSide.releaseHead();
  }

  askForBody(): void {
    if (!this.expectContinue) return;
    this.expectContinue = false;
    this.clientSide.sendInterim(100, 'Continue', '');
  }

  readBody(): void {
    this.clientSide.expectBody();
    this.clientSide.resumeBody();
  }

  /** Nothing stands between the request and its backend any more. */
  private proceed(head: RequestHead, edit: RequestEdit | null, replaced: number): void {
    const { clientSide } = this;
    const { runtime } = clientSide.listener;
    const rule = this.rule!;
    if (edit !== null) {
      this.take(edit);
      if (edit.maxBodyBytes < this.bodyLimitBytes && !this.boundBody(head, edit.maxBodyBytes)) return;
    }
    const chosen = rule.choose(runtime.random);
    if (chosen === null) {
      this.answer(500, 'no-backend', 'This route has no backend.');
      return;
    }
    this.chosen = chosen;
    const { backend } = chosen;
    this.backend = backend;
    if (backend.guarded && this.answeredByGuard(head, backend)) return;
    backend.meter.arrive(this.startedMs);
    runtime.touch(backend);
    this.active = true;
    this.idempotent = IDEMPOTENT.has(head.method);
    if (this.trace !== null) this.passTraceOn(edit!, this.trace);
    this.upstreamText = buildRequestHead(head, clientSide.forwarding, edit, replaced);
    this.requestId = clientSide.forwarding.requestId;
    if (backend.config.wake.page && this.answeredByPage(head, backend)) return;
    if (rule.filters.mirrors !== null) this.mirrors = runtime.mirror(this, rule.filters.mirrors);
    if (rule.timed) this.startTimes(rule);
    this.liveView = head;
    this.dispatch();
    this.liveView = null;
    clientSide.releaseHead();
  }

  /** A filter allows less of a body than the listener. False: there is more already. */
  private boundBody(head: RequestHead, limitBytes: number): boolean {
    this.bodyLimitBytes = limitBytes;
    if (head.contentLength <= limitBytes && this.body.received <= limitBytes) return true;
    this.refuseLargeBody(limitBytes);
    return false;
  }

  /** What the backend says before anything waits for it: who may ask, what is answered while it sleeps, whether its breaker is open. */
  private answeredByGuard(head: RequestHead, backend: GatewayBackend): boolean {
    if (backend.clients !== null && !backend.clients.allows(this.client)) {
      this.refuseClient();
      return true;
    }
    if (!backend.hasReady) {
      const answer = backend.wakeAnswer(head);
      if (answer !== null) {
        this.respond(answer.status, 'wake-answer', answer.headers, answer.body);
        return true;
      }
      if (!backend.mayWake(head, this.client)) {
        this.answer(503, 'wake-refused', `${backend.name} sleeps, and this request may not wake it (wake.never).`);
        return true;
      }
    }
    if (backend.admit(this.clientSide.listener.nowMs())) {
      this.admission = backend.resilience.generation;
      return false;
    }
    const fallback = backend.fallback()!;
    this.respond(fallback.status, 'breaker-open', fallback.headers, fallback.body);
    return true;
  }

  private passTraceOn(edit: RequestEdit, trace: RequestTrace): void {
    if (trace.removes.length === 0) return;
    edit.removeReceived(trace.removes);
    edit.append += trace.upstreamLines;
  }

  private startTimes(rule: CompiledRule): void {
    const { timeouts } = rule.target.rule;
    const nowMs = this.clientSide.listener.nowMs();
    if (rule.retry !== null) this.backend!.countRequest(nowMs);
    this.perTryMs = timeouts.perTryMs;
    this.passedAtMs = nowMs;
    if (timeouts.requestMs > 0) this.deadline.start(timeouts.requestMs, nowMs);
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
    this.mirrors = null;
    this.active = false;
    this.discarding = false;
    this.filtering = null;
    this.inFilters = null;
    this.responseLines = '';
    this.ends = null;
    this.identity = '';
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
    const wallMs = this.clientSide.listener.runtime.clock.wallMs();
    const { status, headers, body } = isQuestion ? waitingAnswer(backend, wallMs) : waitingPage(backend, wallMs);
    this.respond(status, 'waiting-page', headers, body);
    return true;
  }

  /** BodySink of the client's decoder: a part of the request body. The chunk may be kept. */
  onBody(chunk: Buffer, start: number, end: number): void {
    const { body, clientSide } = this;
    const size = end - start;
    body.received += size;
    if (this.discarding) return;
    if (body.received > this.bodyLimitBytes) {
      this.giveUp();
      this.dropMirrors();
      if (this.response.begun) clientSide.abort();
      else this.refuseLargeBody(this.bodyLimitBytes);
    } else if (this.attempt.transmitted) this.attempt.sendBody(chunk, start, end);
    else {
      body.keep(chunk.subarray(start, end));
      if (this.inQueue) this.backend!.grew(this, size);
      const collecting = this.filtering !== null && this.filtering.limitBytes > 0;
      if (collecting) this.filtering!.onBody();
      else if (body.keptBytes >= READ_AHEAD_BYTES) clientSide.pauseBody();
    }
    if (this.mirrors !== null) for (const mirror of this.mirrors) mirror.onBody(chunk, start, end);
  }

  /** What was copied of a request that breaks off, or that nobody reads to its end, is no request. */
  private dropMirrors(): void {
    if (this.mirrors === null) return;
    if (!this.body.done) for (const mirror of this.mirrors) mirror.drop();
    this.mirrors = null;
  }

  private refuseLargeBody(limit: number): void {
    this.clientSide.closing = true;
    this.answer(413, 'too-large', `The request body is larger than ${limit} bytes.`);
  }

  /** The request's last byte has come. */
  onRequestEnd(trailers: string): void {
    this.body.end(trailers);
    if (this.discarding) {
      this.end();
      this.clientSide.exchangeDone();
      return;
    }
    if (this.mirrors !== null) for (const mirror of this.mirrors) mirror.onRequestEnd();
    if (this.filtering !== null) this.filtering.onBodyDone();
    else this.attempt.sendEnd();
  }

  /** The body's framing is broken: nothing more can be understood on this connection. */
  onRequestBroken(error: ProtocolError): void {
    this.clientSide.closing = true;
    this.breakOff(error.status, 'bad-request', error.message);
  }

  /** Nobody has taken the request yet: its client need not send. */
  get isWaiting(): boolean {
    if (this.filtering !== null) return this.filtering.limitBytes === 0;
    return this.inQueue || (this.backend !== null && !this.attempt.transmitted && !this.discarding);
  }

  /** The endpoint takes nothing of the request's body, and the client can't be read meanwhile. */
  onUpstreamStalled(): void {
    this.clientSide.closing = true;
    this.tellTimeout();
    this.breakOff(504, 'upstream-stalled', `${this.backend!.name} stopped reading the request body.`);
  }

  onBodyTimeout(): void {
    this.breakOff(408, 'body-timeout', 'The request body stopped arriving.');
  }

  /** The time that the client gives it (grpc-timeout) has passed, be it held or not. */
  onClientDeadline(): void {
    this.breakOff(504, 'client-deadline', 'The deadline of the request has passed.');
  }

  /** The rest of the request will not come. Once an answer has begun, only the end of the connection can say so. */
  private breakOff(status: number, outcome: Outcome, detail: string): void {
    this.giveUp();
    if (this.response.begun || this.discarding) this.clientSide.abort();
    else this.answer(status, outcome, detail);
  }

  /** The client is gone: nobody needs the answer. */
  onClientGone(): void {
    if (this.outcome === '') this.outcome = 'client-gone';
    this.giveUp();
    this.end();
  }

  onClientDrain(): void {
    if (this.response.isTransformed) this.response.onClientDrain();
    else this.attempt.onClientDrain();
  }

  onTransformDrained(): void {
    this.attempt.onClientDrain();
  }

  onTransformed(): void {
    this.onComplete();
  }

  onTransformFailed(): void {
    this.outcome = 'filter-failed';
    this.giveUp();
    this.clientSide.abort();
  }

  onEventStream(): void {
    this.lasting = true;
    this.deadline.stop();
  }

  linesOfOurs(_status: number): string {
    let lines = this.responseLines;
    if (this.answeredBy !== null && this.backend!.config.balance.sticky !== null)
      lines += this.backend!.stickyLine(this, this.answeredBy);
    if (this.trace !== null) {
      const { listener } = this.clientSide;
      const backend = this.backend === null ? '' : this.backend.name;
      const place = { listener: listener.config.name, route: this.routeName, backend };
      lines += this.trace.responseLines(listener.nowMs(), place);
    }
    return lines;
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

  private giveUp(): void {
    if (this.inQueue) {
      this.backend!.queue.remove(this);
      this.leftQueue();
    }
    this.leaveFilters();
    this.stopBackoff();
    this.response.destroy();
    this.attempt.abandon();
  }

  private stopBackoff(): void {
    if (this.backoffTimer === null) return;
    clearTimeout(this.backoffTimer);
    this.backoffTimer = null;
  }

  // ---- Hold ------------------------------------------------------------------------------------------------------------------------

  /** Sends the request to an endpoint, or lets it wait for one. */
  private dispatch(): void {
    const backend = this.backend!;
    const endpoint = backend.mustQueue ? null : backend.pick(this);
    if (endpoint === null) this.hold();
    else this.start(endpoint);
  }

  private start(endpoint: UpstreamEndpoint): void {
    if (this.trace !== null) this.trace.attempt(endpoint.id, this.clientSide.listener.nowMs());
    this.attempt.start(endpoint);
  }

  onTransmit(): void {
    if (this.trace !== null) this.trace.connected(this.clientSide.listener.nowMs());
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
    if (this.trace !== null) this.trace.answered(this.clientSide.listener.nowMs());
  }

  onAnswered(endpoint: UpstreamEndpoint, status: number): void {
    this.body.forget();
    this.noLongerReleased();
    this.tell(endpoint, status >= 500 ? 'error' : 'ok');
  }

  /** How a try went, for ejection and breaker. */
  private tell(endpoint: UpstreamEndpoint, result: ResultKind): void {
    if (!this.backend!.judges) return;
    // The breaker hears once of each try: what breaks after the head was fine is news for ejection only.
    const admission = this.told < this.attempt.count ? this.admission : 0;
    this.told = this.attempt.count;
    this.backend!.result(endpoint, result, this.clientSide.listener.nowMs(), admission);
  }

  /** The endpoint that has the request now took too long. */
  private tellTimeout(): void {
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
      if (!backend.mustQueue && backend.hasReady && backend.pick(this) === null) this.tried = null;
      this.dispatch();
    }, pauseMs);
  }

  /** No connection, so nothing was sent: any other endpoint may have it. A backend that can be started is waited for; a list of servers is tried through. */
  private tryElsewhere(endpoint: UpstreamEndpoint, reason: string, timedOut: boolean): void {
    const backend = this.backend!;
    const ownFault = OWN_FAULTS.has(reason);
    backend.suspect(endpoint, reason, !ownFault);
    this.tried = this.tried === null ? [endpoint] : [...this.tried, endpoint];
    const waits = ownFault || backend.config.driver !== 'static';
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

  onComplete(): void {
    if (this.body.done) {
      this.end();
      this.clientSide.exchangeDone();
    } else this.discardRest();
  }

  /** The answer is out before the request was: its rest is read and thrown away, or the connection ends. */
  private discardRest(): void {
    this.discarding = true;
    this.dropMirrors();
    if (this.clientSide.closing) {
      this.end();
      this.clientSide.finish();
    } else this.clientSide.resumeBody();
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

  // ---- Own answers and the end -------------------------------------------------------------------------------------------------------

  /** Answers a head that could not be understood: there is no exchange yet. */
  answerBroken(status: number, detail: string): void {
    this.reset();
    this.method = '';
    this.target = '';
    this.host = '';
    this.path = '';
    this.client = this.clientSide.peer;
    this.minor = 1;
    this.isHead = false;
    this.expectContinue = false;
    this.body.begin(false, true);
    this.startedMs = this.clientSide.requestStartedMs;
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
    const { listener } = this.clientSide;
    const { runtime } = listener;
    const nowMs = listener.nowMs();
    const durationMs = nowMs - this.startedMs;
    const { status } = this.response;
    this.noLongerReleased();
    this.deadline.stop();
    if (this.admission !== 0 && this.told === 0) this.backend!.resilience.result('cancelled', nowMs, this.admission);
    this.admission = 0;
    if (this.ends !== null) {
      const ends = this.ends;
      this.ends = null;
      for (const over of ends) over();
    }
    this.dropMirrors();
    if (this.trace !== null) this.trace.end(nowMs, this, this.backend === null ? '' : this.backend.name);
    if (this.inFilters !== null) {
      this.inFilters.leave();
      this.inFilters = null;
    }
    if (this.active) {
      this.active = false;
      this.backend!.meter.leave(nowMs, status >= 500 || this.outcome === 'upstream-aborted');
      runtime.touch(this.backend!);
    }
    if (this.chosen !== null) {
      const { counters } = this.chosen;
      counters.codes[status === 0 ? 0 : (status / 100) | 0]!++;
      // What lasts for hours by its nature says nothing about how long requests take; tunnels have figures of their own.
      if (this.outcome !== 'tunnel') {
        if (!this.lasting) counters.duration.observe(durationMs);
        counters.requestBytes += this.body.received;
        counters.responseBytes += this.response.bytes;
      }
    } else if (status !== 0 && !this.clientSide.silent) runtime.counters.refuse(status);
    if (runtime.logsAccess && !this.clientSide.silent) {
      const record = runtime.accessRecord;
      this.fill(record, durationMs, runtime.clock.wallMs() - durationMs);
      runtime.accessLog.record(record);
    }
    // An idle connection keeps nothing of its last request.
    this.body.drop();
    this.upstreamText = '';
    this.text = '';
    this.reparsed = null;
    this.liveView = null;
    this.clientSide.releaseHead();
  }

  private fill(record: AccessRecord, durationMs: number, startedAtMs: number): void {
    record.startedAtMs = startedAtMs;
    record.durationMs = durationMs;
    record.heldMs = this.heldMs;
    record.client = this.client;
    record.method = this.method;
    record.target = this.target;
    record.host = this.host;
    record.minor = this.clientSide.isHttp2 ? HTTP2 : this.minor;
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
