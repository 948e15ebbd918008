import type { RequestHead } from '../http1/request-head.ts';
import type { ProtocolError } from '../http1/protocol-error.ts';
import { HTTP2 } from '../model/access.ts';
import type { AccessRecord } from '../model/access.ts';
import { problemBody } from './answers.ts';
import type { Outcome } from './answers.ts';
import type { GatewayBackend } from './backend.ts';
import type { ClientSide } from './client-side.ts';
import { ClientResponse } from './client-response.ts';
import type { ResponseTerms } from './client-response.ts';
import { Delivery } from './delivery.ts';
import type { CompiledFilters } from './filters/compile-filters.ts';
import { RequestEdit } from './filters/edits.ts';
import type { Answer } from './filters/filter.ts';
import { Filtering } from './filters/filtering.ts';
import type { FilteringOwner } from './filters/filtering.ts';
import { bodyLimit, buildRequestHead, passableUpgrade } from './heads.ts';
import { acceptsHtml, waitingAnswer, waitingPage } from './hold/waiting-page.ts';
import type { MirrorCopy } from './side-call.ts';
import type { CompiledRule } from './runtime.ts';
import { READ_AHEAD_BYTES } from './upstream/request-body.ts';
import type { RequestTrace, TracedExchange } from './tracing/tracer.ts';

/** Methods that may be sent again when a kept connection turns out to be closed (RFC 9110 9.2.2). */
const IDEMPOTENT: ReadonlySet<string> = new Set(['GET', 'HEAD', 'OPTIONS', 'PUT', 'DELETE', 'TRACE']);

/**
 * One request and its response: finds the route, asks the filters, is delivered, answers where nobody else does, counts and logs. One object per client connection or stream,
 * used again for each exchange on it, since HTTP/1.1 has one at a time.
 */
export class Exchange extends Delivery implements ResponseTerms, FilteringOwner, TracedExchange {
  // Request
  private target = '';
  private userAgent = '';
  private referer = '';
  private bodyLimitBytes = 0;
  // Route
  /** A filter keeps it waiting; null: none does, or has. */
  private filtering: Filtering | null = null;
  private inFilters: CompiledFilters | null = null;
  /** Lines that filters want on the response. */
  private responseLines = '';
  private ends: (() => void)[] | null = null;
  /** Who the filters found the client to be. */
  identity = '';
  /** Copies of this request that go elsewhere. */
  private mirrors: readonly MirrorCopy[] | null = null;
  /** What the client still sends is thrown away: the answer is out. */
  private discarding = false;

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

  get filters(): CompiledFilters | null {
    return this.rule === null ? null : this.rule.filters;
  }

  // ---- Request ---------------------------------------------------------------------------------------------------------------------

  protected createResponse(clientSide: ClientSide): ClientResponse {
    return new ClientResponse(clientSide, this);
  }

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

  private reset(): void {
    this.resetDelivery();
    this.mirrors = null;
    this.discarding = false;
    this.filtering = null;
    this.inFilters = null;
    this.responseLines = '';
    this.ends = null;
    this.identity = '';
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
  protected breakOff(status: number, outcome: Outcome, detail: string): void {
    this.giveUp();
    if (!this.response.begun) this.answer(status, outcome, detail);
    else {
      // It is not the client that left.
      if (!this.discarding) this.outcome = outcome;
      this.clientSide.abort();
    }
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

  nowMs(): number {
    return this.clientSide.listener.nowMs();
  }

  linesOfOurs(): string {
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

  private giveUp(): void {
    this.leaveFilters();
    this.abandon();
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
  protected answer(status: number, outcome: Outcome, detail: string, headers = ''): void {
    const type = 'Content-Type: application/problem+json\r\n';
    this.respond(status, outcome, headers + type, problemBody(status, outcome, detail));
  }

  private respond(status: number, outcome: Outcome, headers: string, body: string): void {
    this.outcome = outcome;
    this.response.own(status, headers, body);
    this.onComplete();
  }

  /** Counts and logs, once. */
  protected end(): void {
    const { listener } = this.clientSide;
    const { runtime } = listener;
    const nowMs = listener.nowMs();
    const durationMs = nowMs - this.startedMs;
    const { status } = this.response;
    this.endDelivery(nowMs);
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
    if (this.backend !== null) {
      const { meter } = this.backend;
      meter.bytesIn += this.body.received;
      meter.bytesOut += this.response.bytes;
    }
    if (this.chosen !== null) {
      const { counters } = this.chosen;
      const { ended } = runtime;
      if (ended !== null) {
        const { received } = this.body;
        ended.note(counters, this.startedMs, durationMs, status, received, this.response.bytes, this.coldStart);
      }
      counters.codes[status === 0 ? 0 : (status / 100) | 0]!++;
      // What lasts for hours by its nature says nothing about how long requests take; tunnels have figures of their own.
      if (this.outcome !== 'tunnel') {
        if (!this.lasting) counters.duration.observe(durationMs);
        counters.requestBytes += this.body.received;
        counters.responseBytes += this.response.bytes;
      }
    } else if (status !== 0 && !this.clientSide.silent) runtime.counters.refuse(status, this.routeName);
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
