import { ErrorCode } from '../../http2/constants.ts';
import type { HpackEncoder } from '../../http2/hpack-encoder.ts';
import type { Session } from '../../http2/session.ts';
import { Http2Stream } from '../../http2/stream.ts';
import type { ResponseHead } from '../../http1/response-head.ts';
import { bodyKind, BodyKind } from '../../http1/body-kind.ts';
import type { UpstreamUser } from './connection.ts';
import type { UpstreamEndpoint } from './endpoint.ts';
import { READ_AHEAD_BYTES } from './request-body.ts';
import type { SharedUpstream } from './shared-connections.ts';

/** The connection that a request was put on. */
export interface Http2Carrier {
  readonly session: Session;
  readonly headEncoder: HpackEncoder;
  readonly isTls: boolean;
  /** Requests that it has carried to the end. */
  readonly served: number;
  openStream(request: Http2Request): EndpointStream;
  onRequestOver(): void;
}

/** Where a request goes when the endpoint has not looked at it. */
export interface Redispatcher {
  again(request: Http2Request): void;
  /** It waits for a connection no more. */
  forget(request: Http2Request): void;
}

/** 1xx responses before a final one, as for HTTP/1.1. */
const MAX_INTERIMS = 32;
/** Times that one request is sent again because it was refused (RFC 9113 8.7). */
const MAX_REFUSALS = 3;
const EMPTY = Buffer.alloc(0);

/**
 * One request at an HTTP/2 endpoint. What was sent of it is kept, up to 64 kB, until the response begins: a connection that is going (GOAWAY) or has no room
 * (REFUSED_STREAM) has not looked at it, and it is sent once more elsewhere, whatever its method (RFC 9113 8.7).
 */
export class Http2Request implements SharedUpstream {
  readonly endpoint: UpstreamEndpoint;
  served = 0;
  private user: UpstreamUser | null;
  private readonly redispatcher: Redispatcher;
  private carrier: Http2Carrier | null = null;
  private stream: EndpointStream | null = null;
  /** The head is sent with what comes first after it, so that a request without a body is one frame. */
  private headWaits = false;
  private text = '';
  private kept: Buffer[] | null = [];
  private keptBytes = 0;
  private ended = false;
  private trailers = '';
  private refusals = 0;
  private interims = 0;
  private responseBegun = false;
  /** The final head has come: what comes next are trailers. */
  headSeen = false;
  /** Content-Length of the response; -1: not known. */
  private length = -1;
  private received = 0;

  constructor(endpoint: UpstreamEndpoint, user: UpstreamUser, redispatcher: Redispatcher) {
    this.endpoint = endpoint;
    this.user = user;
    this.redispatcher = redispatcher;
  }

  get method(): string {
    return this.user === null ? '' : this.user.method;
  }

  get ready(): boolean {
    return this.carrier !== null;
  }

  /** Somebody still waits for its response. */
  get wanted(): boolean {
    return this.user !== null;
  }

  /** A connection has room for it. `tell`: its user waits to hear of it. */
  place(carrier: Http2Carrier, tell: boolean): void {
    this.carrier = carrier;
    this.served = carrier.served;
    if (this.text !== '') this.sendAgain();
    else if (tell) this.user?.onUpstreamConnected();
  }

  private sendAgain(): void {
    this.headWaits = true;
    const kept = this.kept ?? [];
    if (this.ended && kept.length === 0) {
      this.sendHeadNow(this.trailers === '');
      if (this.trailers !== '') this.stream?.end(null, this.trailers);
      return;
    }
    this.sendHeadNow(false);
    let more = true;
    for (const part of kept) more = this.stream!.write(part);
    if (this.ended) this.stream?.end(null, this.trailers);
    // The client may have been told to hold back by the stream that was refused.
    else if (more) this.user?.onUpstreamDrain();
  }

  // ---- Request

  sendHead(text: string, _chunked: boolean): void {
    this.text = text;
    this.headWaits = true;
  }

  private sendHeadNow(endStream: boolean): void {
    this.headWaits = false;
    const { text } = this;
    const carrier = this.carrier!;
    const stream = carrier.openStream(this);
    this.stream = stream;
    const { headEncoder: encoder } = carrier;
    const methodEnd = text.indexOf(' ');
    const targetEnd = text.indexOf(' ', methodEnd + 1);
    const lines = text.indexOf('\r\n') + 2;
    encoder.begin();
    encoder.field(':method', text.slice(0, methodEnd));
    encoder.field(':scheme', carrier.isTls ? 'https' : 'http');
    const host = HOST.exec(text);
    if (host !== null && host[1] !== '') encoder.field(':authority', host[1]!);
    encoder.field(':path', text.slice(methodEnd + 1, targetEnd));
    // Without the empty line; what is about an HTTP/1.1 connection is left out by the encoder.
    encoder.lines(text, lines, text.length - 2);
    carrier.session.writeBlock(stream.id, endStream);
    if (endStream) stream.endedByHead();
  }

  sendBody(part: Buffer): boolean {
    if (this.headWaits) this.sendHeadNow(false);
    if (this.stream === null) {
      // Refused, and not yet sent again: nothing of it may be missing then.
      this.kept?.push(part);
      this.keptBytes += part.length;
      return this.keptBytes < READ_AHEAD_BYTES;
    }
    this.keep(part);
    return this.stream.write(part);
  }

  private keep(part: Buffer): void {
    if (this.kept === null) return;
    this.keptBytes += part.length;
    if (this.keptBytes > READ_AHEAD_BYTES) this.kept = null;
    else this.kept.push(part);
  }

  sendEnd(trailers: string): void {
    this.ended = true;
    this.trailers = trailers;
    if (this.headWaits && trailers === '') {
      this.sendHeadNow(true);
      return;
    }
    if (this.headWaits) this.sendHeadNow(false);
    this.stream?.end(null, trailers);
  }

  cork(): void {}

  uncork(): void {
    if (this.headWaits) this.sendHeadNow(false);
  }

  pause(): void {
    this.stream?.pause();
  }

  resume(): void {
    this.stream?.resume();
  }

  stalledForMs(nowMs: number): number {
    return this.stream === null ? 0 : this.stream.stalledForMs(nowMs);
  }

  /** Parts are never written over. */
  keepBuffer(): void {}

  destroy(): void {
    if (this.user === null) return;
    this.user = null;
    if (this.stream === null) this.redispatcher.forget(this);
    this.leave(ErrorCode.CANCEL);
  }

  // ---- Response, told by the stream and its session

  /** A head, good during the call. False: it is not valid. */
  onHead(head: ResponseHead, endStream: boolean): boolean {
    const { user } = this;
    if (user === null) return true;
    this.responseBegun = true;
    this.kept = null;
    if (head.status < 200) {
      if (++this.interims > MAX_INTERIMS) return false;
      user.onUpstreamInterim(head);
      return true;
    }
    const kind = bodyKind(head, user.method);
    if (endStream && kind === BodyKind.LENGTH) return false;
    this.headSeen = true;
    if (endStream || kind === BodyKind.NONE) {
      this.user = null;
      this.over();
      user.onUpstreamWhole(head, EMPTY, 0, 0);
      return true;
    }
    this.length = kind === BodyKind.LENGTH ? head.contentLength : -1;
    user.onUpstreamHead(head, kind);
    return true;
  }

  onBody(part: Buffer): void {
    this.received += part.length;
    // It would go out before any head of ours (RFC 9113 8.1).
    if (!this.headSeen) this.invalid('a body before its head');
    else if (this.length >= 0 && this.received > this.length) this.invalid('more body than its Content-Length');
    else this.user?.onUpstreamBody(part, 0, part.length, false);
  }

  onEnd(trailers: string): void {
    const { user } = this;
    if (user === null) return;
    if (!this.headSeen) {
      this.invalid('it ended before its head');
      return;
    }
    if (this.length >= 0 && this.received !== this.length) {
      this.invalid('less body than its Content-Length');
      return;
    }
    this.user = null;
    this.over();
    user.onUpstreamEnd(trailers);
  }

  onDrain(): void {
    this.user?.onUpstreamDrain();
  }

  /** The response can not be understood. */
  invalid(why: string): void {
    this.fail('response', `invalid response: ${why}`, ErrorCode.PROTOCOL_ERROR);
  }

  /** The endpoint, or the end of the connection, has closed the stream. */
  onStreamReset(code: number, reason: string, refused: boolean): void {
    if (this.user === null) return;
    const again = refused && !this.responseBegun && this.kept !== null && this.refusals < MAX_REFUSALS;
    if (again) {
      this.refusals++;
      this.stream = null;
      this.carrier = null;
      this.redispatcher.again(this);
      return;
    }
    this.fail(this.responseBegun ? 'response' : 'request', reason, code);
  }

  /** No connection could be opened. */
  onConnectFailed(reason: string, timedOut: boolean): void {
    const { user } = this;
    this.user = null;
    // Sent before, and refused: its user can't begin anew as if nothing had been sent.
    user?.onUpstreamFailed(this.text === '' ? 'connect' : 'request', reason, timedOut);
  }

  private fail(stage: 'request' | 'response', reason: string, code: number): void {
    const { user } = this;
    this.user = null;
    this.leave(code);
    user?.onUpstreamFailed(stage, reason, false);
  }

  /** The response is complete; if the request isn't, nobody wants the rest. */
  private over(): void {
    this.carrier?.onRequestOver();
    const stream = this.stream;
    if (stream !== null && !stream.closed && (!stream.hasEnded || !stream.remoteEnded)) stream.reset(ErrorCode.CANCEL);
  }

  private leave(code: number): void {
    const { stream } = this;
    this.kept = null;
    if (stream !== null && !stream.closed) stream.reset(code);
  }
}

const HOST = /\r\nhost:[ \t]*([^\r\n]*?)[ \t]*\r\n/i;

/** The stream under a request. */
export class EndpointStream extends Http2Stream {
  readonly request: Http2Request;
  /** The endpoint has said that it won't look at it. */
  refused = false;

  constructor(session: Session, id: number, windows: { send: number; receive: number }, request: Http2Request) {
    super(session, id, windows.send, windows.receive);
    this.request = request;
  }

  protected onData(part: Buffer): void {
    this.request.onBody(part);
  }

  protected onRemoteEnd(trailers: string): void {
    this.request.onEnd(trailers);
  }

  protected onDrain(): void {
    this.request.onDrain();
  }

  onReset(code: number, reason: string): void {
    this.request.onStreamReset(code, reason, this.refused || code === ErrorCode.REFUSED_STREAM);
  }
}
