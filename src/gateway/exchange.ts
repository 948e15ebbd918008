import type { AccessRecord } from '../model/access.ts';
import { RequestParser } from '../http1/request-parser.ts';
import type { RequestHead } from '../http1/request-head.ts';
import type { ResponseHead } from '../http1/response-head.ts';
import { BodyKind } from '../http1/body-kind.ts';
import type { ProtocolError } from '../http1/protocol-error.ts';
import { chunkHead, httpDate, LAST_CHUNK, simpleResponse } from '../http1/writer.ts';
import { problemBody } from './answers.ts';
import type { Outcome } from './answers.ts';
import type { GatewayBackend } from './backend.ts';
import type { PickContext } from './balancing/strategy.ts';
import type { ClientConnection } from './client-connection.ts';
import type { Held } from './hold/hold-queue.ts';
import { acceptsHtml, waitingAnswer, waitingPage } from './hold/waiting-page.ts';
import { bodyLimit, buildRequestHead, buildResponseHead } from './heads.ts';
import type { CompiledRule, RuleBackend } from './runtime.ts';
import { Tunnel } from './protocols/tunnel.ts';
import type { UpstreamUser } from './upstream/connection.ts';
import { UpstreamConnection } from './upstream/connection.ts';
import type { UpstreamEndpoint } from './upstream/endpoint.ts';
import type { RequestView } from './request-view.ts';

/** Methods that may be sent again when a kept connection turns out to be closed (RFC 9110 9.2.2). */
const IDEMPOTENT: ReadonlySet<string> = new Set(['GET', 'HEAD', 'OPTIONS', 'PUT', 'DELETE', 'TRACE']);
/** Connects that failed because this process has no more descriptors or ports: the endpoint is not to blame, the request waits for its turn. */
const OWN_FAULTS: ReadonlySet<string> = new Set(['EMFILE', 'ENFILE', 'ENOBUFS', 'ENOMEM', 'EADDRNOTAVAIL']);
/** A request that must not be repeated only goes onto a connection that was used within this time, ms: an older one may be closing. */
const FRESH_MS = 1000;
/** This much of a body is read while nobody takes it (held, connecting), bytes; the rest stays in the socket (decisions, 4). */
const READ_AHEAD_BYTES = 65_536;

/**
 * One request and its response. One object per client connection, used again for each exchange on it, since HTTP/1.1 has one at a time.
 */
export class Exchange implements Held, UpstreamUser, PickContext {
  readonly connection: ClientConnection;
  // Request
  method = '';
  target = '';
  host = '';
  path = '';
  minor: 0 | 1 = 1;
  client = '';
  requestId = '';
  private userAgent = '';
  private referer = '';
  /** The head as received: an exchange that is held and balanced by a header is parsed again when it is released. */
  private text = '';
  private upgrade = '';
  private chunked = false;
  private idempotent = false;
  private requestDone = true;
  private upstreamText = '';
  private expectContinue = false;
  /** Body bytes that were read and not yet sent, or that may have to be sent again. */
  private pending: Buffer[] = [];
  private pendingBytes = 0;
  /** `pending` holds the whole body so far, so that the request can be sent once more. */
  private replayable = true;
  /** What the client still sends is thrown away: the answer is out. */
  private discarding = false;
  private requestTrailers = '';
  // Route
  private rule: CompiledRule | null = null;
  private target_: RuleBackend | null = null;
  backend: GatewayBackend | null = null;
  // Hold
  holdPrevious: Held | null = null;
  holdNext: Held | null = null;
  holdDeadlineMs = 0;
  heldSinceMs = 0;
  heldBytes = 0;
  private inQueue = false;
  private heldMs = 0;
  private coldStart = false;
  private released = false;
  private looked = false;
  // Attempt
  tried: UpstreamEndpoint[] | null = null;
  private upstream: UpstreamConnection | null = null;
  private endpoint: UpstreamEndpoint | null = null;
  private attempts = 0;
  private transmitted = false;
  private endpointName = '';
  // Response
  private status = 0;
  private responseBegun = false;
  private responseChunked = false;
  private headRequest = false;
  private requestBytes = 0;
  private responseBytes = 0;
  private outcome: Outcome = '';
  private active = false;
  private tunnel: Tunnel | null = null;
  private startedMs = 0;
  private reparsed: RequestParser | null = null;
  private liveView: RequestView | null = null;

  constructor(connection: ClientConnection) {
    this.connection = connection;
  }

  get routeName(): string {
    return this.rule?.target.route ?? '';
  }

  get random(): () => number {
    return this.connection.listener.runtime.random;
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

  // ---- Request side ----------------------------------------------------------------------------------------------------------------

  /** A head is complete. `head` is only good during the call. */
  begin(head: RequestHead): void {
    const connection = this.connection;
    const listener = connection.listener;
    const runtime = listener.runtime;
    this.reset();
    this.startedMs = connection.requestStartedMs;
    this.method = head.method;
    this.target = head.target;
    this.path = head.path;
    this.minor = head.minor;
    this.host = head.host;
    this.headRequest = head.method === 'HEAD';
    this.requestDone = connection.reading !== 'body';
    this.chunked = head.chunked;
    this.expectContinue = head.expectContinue;
    this.upgrade = head.upgrade;
    this.client = connection.trusted ? runtime.clientAddress.resolveTrusted(connection.peer, head) : connection.peer;
    if (runtime.logsHeaders) {
      this.userAgent = head.value('user-agent') ?? '';
      this.referer = head.value('referer') ?? '';
    }
    if (head.method === 'CONNECT') {
      this.answer(
        405,
        'not-allowed',
        'CONNECT is not offered here.',
        'Allow: GET, HEAD, POST, PUT, PATCH, DELETE, OPTIONS\r\n',
      );
      return;
    }
    const limit = bodyLimit(listener.config);
    if (head.contentLength > limit) {
      connection.closing = true;
      this.answer(413, 'too-large', `The request body is larger than ${limit} bytes.`);
      return;
    }
    const target = runtime.router.match(listener.config.name, head);
    if (target === null) {
      this.answer(404, 'no-route', 'No route matches this host and path.');
      return;
    }
    const rule = target.data as CompiledRule;
    this.rule = rule;
    const edit = runtime.requestEdit;
    if (rule.filters.request !== null) {
      edit.begin(head, this.client, connection.forwarding.scheme(head));
      let answer;
      try {
        answer = rule.filters.request(edit);
      } catch (error) {
        runtime.logger.error('a filter failed', { route: target.route, error: String(error) });
        this.answer(500, 'filter-failed', 'A filter of this route failed.');
        return;
      }
      if (answer !== null) {
        this.outcome = 'filter';
        this.write(answer.status, answer.headers, answer.body);
        return;
      }
    }
    const chosen = rule.choose(runtime.random);
    if (chosen === null) {
      this.answer(500, 'no-backend', 'This route has no backend.');
      return;
    }
    this.target_ = chosen;
    const backend = chosen.backend;
    this.backend = backend;
    backend.meter.arrive(this.startedMs);
    runtime.touch(backend);
    this.active = true;
    this.idempotent = IDEMPOTENT.has(head.method);
    this.upstreamText = buildRequestHead(head, connection.forwarding, rule.filters.request === null ? null : edit);
    this.requestId = connection.forwarding.requestId;
    this.text = head.text;
    if (!backend.hasReady && backend.config.wake.page && this.offerPage(head, backend)) return;
    this.liveView = head;
    this.dispatch();
    this.liveView = null;
  }

  private reset(): void {
    this.status = 0;
    this.requestBytes = 0;
    this.responseBytes = 0;
    this.heldMs = 0;
    this.heldSinceMs = 0;
    this.holdDeadlineMs = 0;
    this.looked = false;
    this.attempts = 0;
    this.outcome = '';
    this.endpointName = '';
    this.requestId = '';
    this.rule = null;
    this.target_ = null;
    this.backend = null;
    this.coldStart = false;
    this.released = false;
    this.inQueue = false;
    this.tried = null;
    this.transmitted = false;
    this.responseBegun = false;
    this.responseChunked = false;
    this.discarding = false;
    this.replayable = true;
    this.pendingBytes = 0;
    this.requestTrailers = '';
    this.reparsed = null;
    this.active = false;
    this.tunnel = null;
    if (this.pending.length > 0) this.pending = [];
  }

  /** A browser that asked for a page gets one that waits, instead of being held. */
  private offerPage(head: RequestHead, backend: GatewayBackend): boolean {
    if (head.value('x-dormouse-wait') !== undefined) {
      const answer = waitingAnswer(backend, this.connection.listener.runtime.clock.wallMs());
      this.outcome = 'waiting-page';
      if (backend.activeCrash() === null) backend.poke(this);
      this.write(answer.status, answer.headers, answer.body);
      return true;
    }
    if (head.method !== 'GET' || backend.activeCrash() !== null || !acceptsHtml(head.value('accept'))) return false;
    backend.poke(this);
    this.outcome = 'waiting-page';
    const answer = waitingPage(backend, this.connection.listener.runtime.clock.wallMs());
    this.write(answer.status, answer.headers, answer.body);
    return true;
  }

  /** Sends the request to an endpoint, or lets it wait for one. */
  private dispatch(): void {
    const backend = this.backend!;
    if (!backend.mustQueue) {
      const endpoint = backend.pick(this);
      if (endpoint !== null) {
        this.sendTo(endpoint);
        return;
      }
    }
    this.hold();
  }

  private hold(): void {
    const backend = this.backend!;
    if (this.inQueue) return;
    const crash = backend.activeCrash();
    if (crash !== null) {
      this.refuseHold('crashing');
      return;
    }
    if (backend.isDown) {
      this.refuseHold('down');
      return;
    }
    if (this.heldSinceMs === 0) this.heldSinceMs = this.connection.listener.nowMs();
    // One bound for all its waits: an endpoint that refuses again and again must not prolong it.
    if (this.holdDeadlineMs === 0) this.holdDeadlineMs = this.heldSinceMs + backend.config.wake.timeoutMs;
    this.heldBytes = this.text.length + this.pendingBytes;
    // The head was put together from slices and joins; written out once it takes a third of the memory.
    if (!this.inQueue) this.upstreamText = flat(this.upstreamText);
    this.coldStart ||= backend.phase !== 'awake';
    this.inQueue = true;
    if (!backend.hold(this)) {
      this.inQueue = false;
      this.refuseHold('full');
    }
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
    return this.attempts > 0;
  }

  /** The queue lets it go. Returns how long it waited, ms. */
  release(): number {
    this.inQueue = false;
    this.released = true;
    const waited = this.connection.listener.nowMs() - this.heldSinceMs;
    this.heldMs += waited;
    this.heldSinceMs = 0;
    return waited;
  }

  /** It was taken out of the queue and will not be served. */
  refuseHold(why: 'full' | 'timeout' | 'crashing' | 'down' | 'removed'): void {
    this.inQueue = false;
    if (this.heldSinceMs !== 0) {
      this.heldMs += this.connection.listener.nowMs() - this.heldSinceMs;
      this.heldSinceMs = 0;
    }
    const backend = this.backend!;
    switch (why) {
      case 'full':
        this.answer(
          503,
          'hold-full',
          `Too many requests wait for ${backend.name} to wake (wake.maxHeld, wake.maxHeldBytes).`,
          'Retry-After: 1\r\n',
        );
        return;
      case 'timeout':
        this.answer(
          504,
          'hold-timeout',
          `${backend.name} did not wake within ${Math.round(backend.config.wake.timeoutMs / 100) / 10} s (wake.timeout).`,
        );
        return;
      case 'crashing': {
        const crash = backend.crash;
        const waitMs =
          crash === null ? 1000 : Math.max(1000, crash.retryAtMs - this.connection.listener.runtime.clock.wallMs());
        this.answer(
          503,
          'crashing',
          `${backend.name} cannot start: ${crash?.reason ?? 'it crashed'}.`,
          `Retry-After: ${Math.ceil(waitMs / 1000)}\r\n`,
        );
        return;
      }
      case 'down':
        this.answer(503, 'backend-down', `No server of ${backend.name} is healthy.`, 'Retry-After: 1\r\n');
        return;
      case 'removed':
        this.answer(
          503,
          'backend-removed',
          `${backend.name} was taken out of the configuration.`,
          'Retry-After: 1\r\n',
        );
    }
  }

  /** BodySink of the connection's decoder: a part of the request body. */
  onBody(chunk: Buffer, start: number, end: number): void {
    const size = end - start;
    this.requestBytes += size;
    if (this.discarding) return;
    const limit = bodyLimit(this.connection.listener.config);
    if (this.requestBytes > limit) {
      this.connection.closing = true;
      this.abandonUpstream();
      this.leaveQueue();
      this.answer(413, 'too-large', `The request body is larger than ${limit} bytes.`);
      return;
    }
    if (!this.transmitted) {
      this.keepBody(chunk.subarray(start, end));
      if (this.pendingBytes >= READ_AHEAD_BYTES) this.connection.socket.pause();
      return;
    }
    if (this.replayable) {
      if (
        this.idempotent &&
        !this.responseBegun &&
        this.upstream!.served > 0 &&
        this.pendingBytes + size <= READ_AHEAD_BYTES
      ) {
        this.keepBody(chunk.subarray(start, end));
      } else this.forgetBody();
    }
    if (!this.sendBody(chunk, start, end)) this.connection.socket.pause();
  }

  private keepBody(part: Buffer): void {
    this.pending.push(part);
    this.pendingBytes += part.length;
    if (this.inQueue) this.backend!.grew(this, part.length);
  }

  private forgetBody(): void {
    this.replayable = false;
    if (this.pending.length > 0) this.pending = [];
    this.pendingBytes = 0;
  }

  /** False: the endpoint takes no more for now. */
  private sendBody(chunk: Buffer, start: number, end: number): boolean {
    const socket = this.upstream!.socket;
    if (!this.chunked) return socket.write(start === 0 && end === chunk.length ? chunk : chunk.subarray(start, end));
    socket.cork();
    socket.write(chunkHead(end - start), 'latin1');
    socket.write(chunk.subarray(start, end));
    const more = socket.write('\r\n', 'latin1');
    socket.uncork();
    return more;
  }

  /** The request's last byte has come. */
  onRequestEnd(trailers: string): void {
    this.requestDone = true;
    this.requestTrailers = trailers;
    if (this.discarding) {
      this.settle();
      return;
    }
    if (this.transmitted && this.upstream !== null) {
      if (this.chunked) this.upstream.socket.write(trailers === '' ? LAST_CHUNK : `0\r\n${trailers}\r\n`, 'latin1');
      this.upstream.markRequestSent();
    }
  }

  /** The body's framing is broken: nothing more can be understood on this connection. */
  onRequestBroken(error: ProtocolError): void {
    this.connection.closing = true;
    this.discarding = true;
    this.leaveQueue();
    this.abandonUpstream();
    if (this.responseBegun) {
      this.connection.destroy();
      return;
    }
    this.answer(error.status, 'bad-request', error.message);
  }

  onBodyTimeout(): void {
    this.leaveQueue();
    this.abandonUpstream();
    if (this.responseBegun || this.discarding) {
      this.connection.destroy();
      return;
    }
    this.answer(408, 'body-timeout', 'The request body stopped arriving.');
  }

  /** The client is gone: nobody needs the answer. */
  onClientGone(): void {
    if (this.outcome === '') this.outcome = 'client-gone';
    this.leaveQueue();
    this.abandonUpstream();
    this.end();
  }

  private leaveQueue(): void {
    if (!this.inQueue) return;
    this.inQueue = false;
    this.backend!.queue.remove(this);
    this.heldMs += this.connection.listener.nowMs() - this.heldSinceMs;
    this.heldSinceMs = 0;
  }

  // ---- Attempts ------------------------------------------------------------------------------------------------------------------

  /** Puts the request onto a connection to this endpoint. */
  sendTo(endpoint: UpstreamEndpoint): void {
    const config = this.backend!.config.endpoints;
    this.attempts++;
    endpoint.inFlight++;
    this.endpoint = endpoint;
    const maxIdleMs = this.idempotent ? config.idleTimeoutMs : Math.min(FRESH_MS, config.idleTimeoutMs);
    const kept = endpoint.idle.length === 0 ? null : endpoint.takeIdle(this.startedMs, maxIdleMs);
    if (kept !== null) {
      this.upstream = kept;
      kept.use(this);
      this.transmit();
      return;
    }
    this.backend!.connects++;
    this.upstream = new UpstreamConnection(endpoint, this, this.backend!.upstreamOptions);
  }

  onUpstreamConnected(): void {
    this.transmit();
  }

  /** Writes the head and what there is of the body. */
  private transmit(): void {
    const upstream = this.upstream!;
    const socket = upstream.socket;
    this.transmitted = true;
    if (this.requestDone && this.pendingBytes === 0 && !this.chunked) {
      upstream.markRequestSent();
      socket.write(this.upstreamText, 'latin1');
      return;
    }
    socket.cork();
    socket.write(this.upstreamText, 'latin1');
    let more = true;
    for (const part of this.pending) more = this.sendBody(part, 0, part.length);
    if (this.requestDone) {
      if (this.chunked) {
        more = socket.write(this.requestTrailers === '' ? LAST_CHUNK : `0\r\n${this.requestTrailers}\r\n`, 'latin1');
      }
      upstream.markRequestSent();
    }
    socket.uncork();
    if (!(this.idempotent && upstream.served > 0)) this.forgetBody();
    if (!this.requestDone && more) this.connection.resume();
  }

  onUpstreamDrain(): void {
    if (this.tunnel !== null) this.tunnel.onUpstreamDrain();
    else if (!this.requestDone) this.connection.resume();
  }

  onUpstreamFailed(stage: 'connect' | 'request' | 'response', reason: string, timedOut: boolean): void {
    const upstream = this.upstream!;
    const endpoint = this.endpoint!;
    const backend = this.backend!;
    this.upstream = null;
    this.freeEndpoint();
    if (this.responseBegun) {
      this.outcome = 'upstream-aborted';
      // The client must see a broken transfer, never one that looks complete: a body without length ends with a FIN.
      this.connection.socket.resetAndDestroy();
      return;
    }
    if (stage === 'connect') {
      const ownFault = OWN_FAULTS.has(reason);
      backend.suspect(endpoint, reason, !ownFault);
      this.tried = this.tried === null ? [endpoint] : [...this.tried, endpoint];
      this.endpoint = null;
      // Nothing was sent: another endpoint may have it. A backend that can be started is waited for; a list of servers is tried through.
      if (ownFault || backend.config.driver === 'process') {
        this.transmitted = false;
        this.waitAgain();
        return;
      }
      if (this.attempts < Math.max(this.rule!.target.retry.attempts, backend.endpoints.size)) {
        const next = backend.pick(this);
        if (next !== null) {
          this.transmitted = false;
          this.sendTo(next);
          return;
        }
      }
      const detail = timedOut
        ? `No server of ${backend.name} accepted a connection in time.`
        : `No server of ${backend.name} accepted a connection.`;
      this.answer(timedOut ? 504 : 502, 'connect-failed', detail);
      return;
    }
    // A kept connection that the endpoint had closed already: nothing of the response was seen, and the request may be repeated (RFC 9110 9.2.2, RFC 9112 9.3.1).
    if (stage === 'request' && upstream.served > 0 && this.idempotent && this.replayable && this.attempts < 5) {
      this.transmitted = false;
      this.dispatch();
      return;
    }
    const invalid = reason.startsWith('invalid');
    this.answer(
      502,
      invalid ? 'upstream-invalid' : 'upstream-closed',
      invalid
        ? `${backend.name} sent an invalid response.`
        : `${backend.name} closed the connection before it answered.`,
    );
  }

  /** Back into the queue after a failed connect, before those that came later. */
  private waitAgain(): void {
    const backend = this.backend!;
    const next = backend.pick(this);
    if (next !== null) {
      this.sendTo(next);
      return;
    }
    this.tried = null;
    if (this.released) {
      this.released = false;
      backend.answered();
    }
    this.hold();
  }

  private freeEndpoint(): void {
    const endpoint = this.endpoint;
    if (endpoint === null) return;
    endpoint.inFlight--;
    this.endpointName = endpoint.id;
    this.backend!.freed(endpoint);
  }

  private abandonUpstream(): void {
    const upstream = this.upstream;
    if (upstream !== null) {
      this.upstream = null;
      upstream.destroy();
      this.freeEndpoint();
    }
    this.endpoint = null;
  }

  // ---- Response side ---------------------------------------------------------------------------------------------------------------

  onUpstreamInterim(head: ResponseHead): void {
    if (this.minor === 0) return;
    if (head.status === 100 && !this.expectContinue) return;
    this.connection.socket.write(buildResponseHead(head, null, ''), 'latin1');
  }

  onUpstreamWhole(head: ResponseHead, chunk: Buffer, start: number, end: number): void {
    const text = this.responseHeadText(
      head,
      this.method === 'HEAD' || head.status === 304 ? BodyKind.NONE : BodyKind.LENGTH,
    );
    this.connection.socket.write(start === end ? text : text + chunk.toString('latin1', start, end), 'latin1');
    this.responseBytes = end - start;
    this.upstreamDone();
  }

  onUpstreamHead(head: ResponseHead, kind: number): void {
    this.connection.socket.cork();
    this.connection.socket.write(this.responseHeadText(head, kind), 'latin1');
    // Uncorked when the bytes that came with the head are written, or at the end of this turn.
    const socket = this.connection.socket;
    queueMicrotask(() => socket.uncork());
  }

  private responseHeadText(head: ResponseHead, kind: number): string {
    const connection = this.connection;
    this.responseBegun = true;
    this.status = head.status;
    this.forgetBody();
    if (this.released) {
      this.released = false;
      this.backend!.answered();
    }
    let extra = this.coldStart ? 'x-cold-start: true\r\n' : '';
    if (kind === BodyKind.CHUNKED || kind === BodyKind.UNTIL_CLOSE) {
      if (this.minor === 0) connection.closing = true;
      else {
        this.responseChunked = true;
        extra += 'Transfer-Encoding: chunked\r\n';
      }
    }
    // An answer that comes while much of the body is still to come: what follows is thrown away, and the connection ends with it.
    if (!this.requestDone && (connection.bodyMissing < 0 || connection.bodyMissing > READ_AHEAD_BYTES))
      connection.closing = true;
    if (connection.listener.draining) connection.closing = true;
    if (connection.closing) extra += 'Connection: close\r\n';
    else if (this.minor === 0) extra += 'Connection: keep-alive\r\n';
    const runtime = connection.listener.runtime;
    const filters = this.rule!.filters;
    let edit = null;
    if (filters.response !== null) {
      edit = runtime.responseEdit;
      edit.begin(this, head.status);
      try {
        filters.response(edit);
      } catch (error) {
        runtime.logger.error('a response filter failed', { route: this.routeName, error: String(error) });
        edit = null;
      }
    }
    return buildResponseHead(head, edit, extra);
  }

  onUpstreamBody(chunk: Buffer, start: number, end: number, isVolatile: boolean): void {
    const socket = this.connection.socket;
    const size = end - start;
    this.responseBytes += size;
    const bytes = isVolatile ? Buffer.from(chunk.subarray(start, end)) : chunk.subarray(start, end);
    let more;
    if (this.responseChunked) {
      socket.cork();
      socket.write(chunkHead(size), 'latin1');
      socket.write(bytes);
      more = socket.write('\r\n', 'latin1');
      socket.uncork();
    } else more = socket.write(bytes);
    if (!isVolatile && socket.writableLength > 0) this.upstream!.keepBuffer();
    if (!more) this.upstream!.pause();
  }

  onClientDrain(): void {
    if (this.tunnel !== null) this.tunnel.onClientDrain();
    else this.upstream?.resume();
  }

  onUpstreamEnd(trailers: string): void {
    if (this.responseChunked)
      this.connection.socket.write(trailers === '' ? LAST_CHUNK : `0\r\n${trailers}\r\n`, 'latin1');
    this.upstreamDone();
  }

  private upstreamDone(): void {
    this.upstream = null;
    this.freeEndpoint();
    this.endpoint = null;
    if (!this.requestDone) {
      // The endpoint answered early: it is not sent the rest, its connection is not used again.
      this.discarding = true;
      if (this.connection.closing) {
        this.finishEarly();
        return;
      }
      this.connection.resume();
      return;
    }
    this.end();
    this.connection.exchangeDone();
  }

  /** The answer is out, the rest of the body does not matter, the connection is closed. */
  private finishEarly(): void {
    this.end();
    this.connection.finish();
  }

  // ---- Upgrade ---------------------------------------------------------------------------------------------------------------------

  onUpstreamSwitch(head: ResponseHead, chunk: Buffer, start: number, end: number): void {
    if (this.upgrade === '' || !this.requestDone) {
      const upstream = this.upstream!;
      this.upstream = null;
      upstream.destroy();
      this.freeEndpoint();
      this.endpoint = null;
      this.answer(502, 'upstream-invalid', `${this.backend!.name} switched protocols without being asked.`);
      return;
    }
    this.responseBegun = true;
    this.status = 101;
    if (this.released) {
      this.released = false;
      this.backend!.answered();
    }
    const extra = `${this.coldStart ? 'x-cold-start: true\r\n' : ''}Connection: Upgrade\r\nUpgrade: ${head.upgrade}\r\n`;
    this.connection.socket.write(buildResponseHead(head, null, extra), 'latin1');
    const endpoint = this.endpoint!;
    const backend = this.backend!;
    endpoint.inFlight--;
    endpoint.tunnels++;
    backend.meter.tunnels++;
    const nowMs = this.connection.listener.nowMs();
    backend.meter.leave(nowMs, false);
    this.active = false;
    this.connection.listener.runtime.touch(backend);
    this.endpointName = endpoint.id;
    this.tunnel = new Tunnel(this.connection.socket, this.upstream!.socket);
    const stash = this.connection.becomeTunnel();
    if (end > start) this.tunnel.fromUpstream(chunk, start, end);
    if (stash !== null) this.tunnel.fromClient(stash);
    if (this.connection.halfClosed) this.tunnel.onClientEnd();
  }

  onTunnelData(chunk: Buffer, start: number, end: number): void {
    this.tunnel!.fromUpstream(chunk, start, end);
  }

  onTunnelEnd(): void {
    this.tunnel!.onUpstreamEnd();
  }

  onTunnelClosed(): void {
    this.connection.socket.destroySoon();
    this.endTunnel();
  }

  onClientTunnelData(chunk: Buffer): void {
    this.tunnel!.fromClient(chunk);
  }

  onClientTunnelEnd(): void {
    this.tunnel!.onClientEnd();
  }

  onClientTunnelClosed(): void {
    const upstream = this.upstream;
    if (upstream !== null) upstream.destroy();
    this.endTunnel();
  }

  private endTunnel(): void {
    const tunnel = this.tunnel;
    const endpoint = this.endpoint;
    if (tunnel === null || endpoint === null) return;
    this.endpoint = null;
    this.upstream = null;
    this.requestBytes = tunnel.clientBytes;
    this.responseBytes = tunnel.upstreamBytes;
    endpoint.tunnels--;
    const backend = this.backend!;
    backend.meter.tunnels--;
    backend.meter.lastActivityMs = this.connection.listener.nowMs();
    this.connection.listener.runtime.touch(backend);
    if (endpoint.drainVersion !== 0) backend.settleDrain(endpoint);
    this.outcome = 'tunnel';
    this.end();
    this.tunnel = null;
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
    this.headRequest = false;
    this.requestDone = true;
    this.startedMs = this.connection.requestStartedMs;
    this.answer(status, 'bad-request', detail);
  }

  /** Answers as the gateway itself, with problem+json. */
  answer(status: number, outcome: Outcome, detail: string, headers = ''): void {
    this.outcome = outcome;
    this.write(status, `${headers}Content-Type: application/problem+json\r\n`, problemBody(status, outcome, detail));
  }

  private write(status: number, headers: string, body: string): void {
    const connection = this.connection;
    this.status = status;
    this.responseBegun = true;
    if (
      !this.requestDone &&
      (this.expectContinue || connection.bodyMissing < 0 || connection.bodyMissing > READ_AHEAD_BYTES)
    )
      connection.closing = true;
    if (connection.listener.draining) connection.closing = true;
    connection.socket.write(
      simpleResponse({
        status,
        headers: `Date: ${httpDate(connection.listener.runtime.clock.wallMs())}\r\n${headers}`,
        body,
        keepAlive: !connection.closing,
        head: this.headRequest,
        minor: this.minor,
      }),
      'latin1',
    );
    this.responseBytes = body.length;
    if (!this.requestDone) {
      this.discarding = true;
      if (connection.closing) this.finishEarly();
      else connection.resume();
      return;
    }
    this.end();
    connection.exchangeDone();
  }

  /** The discarded rest of a body has come: the exchange is over. */
  private settle(): void {
    this.end();
    this.connection.exchangeDone();
  }

  /** Counts and logs, once. */
  private end(): void {
    const runtime = this.connection.listener.runtime;
    const nowMs = this.connection.listener.nowMs();
    const durationMs = nowMs - this.startedMs;
    if (this.released) {
      this.released = false;
      this.backend!.answered();
    }
    if (this.active) {
      this.active = false;
      const backend = this.backend!;
      backend.meter.leave(nowMs, this.status >= 500 || this.outcome === 'upstream-aborted');
      runtime.touch(backend);
    }
    const target = this.target_;
    if (target !== null) {
      const counters = target.counters;
      counters.codes[this.status === 0 ? 0 : (this.status / 100) | 0]!++;
      counters.duration.observe(durationMs);
      counters.requestBytes += this.requestBytes;
      counters.responseBytes += this.responseBytes;
    } else if (this.status !== 0) runtime.counters.refuse(this.status);
    if (runtime.logsAccess) {
      const record = runtime.accessRecord;
      this.fill(record, durationMs, runtime.clock.wallMs() - durationMs);
      runtime.accessLog.record(record);
    }
    if (this.pending.length > 0) this.pending = [];
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
    record.status = this.status;
    record.requestBytes = this.requestBytes;
    record.responseBytes = this.responseBytes;
    record.route = this.routeName;
    record.backend = this.backend === null ? '' : this.backend.name;
    record.endpoint = this.endpointName;
    record.requestId = this.requestId;
    record.coldStart = this.coldStart;
    record.attempts = this.attempts;
    record.outcome = this.outcome;
    record.userAgent = this.userAgent;
    record.referer = this.referer;
  }
}

function flat(text: string): string {
  return Buffer.from(text, 'latin1').toString('latin1');
}
