import { BodyKind } from '../http1/body-kind.ts';
import type { ResponseHead } from '../http1/response-head.ts';
import { httpDate, reasonPhrase } from '../http1/writer.ts';
import type { Duplex } from 'node:stream';
import type { ClientSide } from './client-side.ts';
import type { CompiledFilters } from './filters/compile-filters.ts';
import type { ResponseEdit } from './filters/edits.ts';
import { TransformChain } from './filters/transform-chain.ts';
import type { ChainEnd } from './filters/transform-chain.ts';
import { lineValue, withoutLines } from './header-text.ts';
import { responseLines } from './heads.ts';
import { createEventStream, isEventStream } from './protocols/event-stream.ts';
import type { RequestView } from './request-view.ts';
import type { CompiledRule } from './runtime.ts';
import type { RequestTrace } from './tracing/tracer.ts';

/** What the response depends on besides what the endpoint said. */
export interface ResponseTerms {
  readonly isHead: boolean;
  readonly coldStart: boolean;
  readonly minor: 0 | 1;
  readonly expectContinue: boolean;
  readonly routeName: string;
  readonly rule: CompiledRule | null;
  readonly filters: CompiledFilters | null;
  readonly view: RequestView | null;
  /** null: nobody wants to know how long things take. */
  readonly trace: RequestTrace | null;
  /** Lines of ours that every final response gets, '' mostly: what request filters added, sticky cookie, Server-Timing. */
  linesOfOurs(): string;
  /** Its body is an event stream: it may last, and be silent. */
  onEventStream(): void;
  /** The last byte went out after the endpoint's part was over: a filter had still worked on it. */
  onTransformed(): void;
  /** A filter can't go on in the middle of the body. */
  onTransformFailed(): void;
  /** A filter that was busy takes more of the endpoint's body. */
  onTransformDrained(): void;
}

interface BegunBody {
  parts: Buffer[];
  ended: boolean;
  error: Error | null;
}

const EMPTY = Buffer.alloc(0);
/** What says something about the body that isn't true of another one. */
const OF_THE_BODY = ['content-type', 'content-length', 'content-encoding', 'etag', 'last-modified', 'accept-ranges'];
const OF_THE_LENGTH = ['content-length', 'accept-ranges'];

/** The response of one exchange on its way to the client. */
export class ClientResponse implements ChainEnd {
  /** What the client got; 0: nothing yet. */
  status = 0;
  begun = false;
  /** Body bytes. */
  bytes = 0;
  private readonly client: ClientSide;
  private readonly terms: ResponseTerms;
  private chain: TransformChain | null = null;
  /** What filters made of a body, while all of it is given to them at once. */
  private begunBody: BegunBody | null = null;
  /** The endpoint's body is read and thrown away: another one was sent. */
  private replacing = false;
  private trailers = '';

  constructor(client: ClientSide, terms: ResponseTerms) {
    this.client = client;
    this.terms = terms;
  }

  reset(): void {
    this.status = 0;
    this.begun = false;
    this.bytes = 0;
    this.chain = null;
    this.replacing = false;
    this.trailers = '';
  }

  /** Filters work on the body, or the gateway on an event stream. */
  get isTransformed(): boolean {
    return this.chain !== null;
  }

  /** 1xx. Not for HTTP/1.0 clients (RFC 9110 15.2), and 100 only for those that wait for it. */
  interim(head: ResponseHead): void {
    if (this.terms.minor === 0 || (head.status === 100 && !this.terms.expectContinue)) return;
    this.client.sendInterim(head.status, head.reason, responseLines(head, null));
  }

  switching(head: ResponseHead): { stream: Duplex; stash: Buffer | null } {
    this.begun = true;
    this.status = 101;
    return this.client.sendSwitch(
      responseLines(head, null) + this.extraLines(),
      head.upgrade === '' ? 'websocket' : head.upgrade,
    );
  }

  /** Head and body at once. False: a filter works on the body, and `onTransformed` comes later. */
  whole(head: ResponseHead, chunk: Buffer, start: number, end: number): boolean {
    const { client, terms } = this;
    const edit = terms.filters === null || terms.filters.response === null ? null : this.filtered(head, end - start);
    this.begun = true;
    this.status = head.status;
    if (edit !== null) {
      this.status = edit.status;
      if (edit.replacement !== null) {
        this.replaced(edit, edit.bodiless, responseLines(head, edit));
        return true;
      }
      if (edit.transforms !== null && !edit.bodiless) {
        const part = end > start ? Buffer.from(chunk.subarray(start, end)) : null;
        return this.transformed(edit.status, this.reason(head, edit), this.linesOf(head, edit), edit.transforms, part);
      }
    }
    this.bytes = end - start;
    client.sendWhole(this.status, this.reason(head, edit), this.linesOf(head, edit), chunk, start, end);
    return true;
  }

  /** What comes out of the whole body at once goes with its length; otherwise the rest follows in parts, and false is returned. */
  private transformed(
    status: number,
    reason: string,
    lines: string,
    transforms: NonNullable<ResponseEdit['transforms']>,
    part: Buffer | null,
  ): boolean {
    const { client } = this;
    const chain = this.chainOf(transforms);
    const begun: BegunBody = { parts: [], ended: false, error: null };
    this.begunBody = begun;
    this.chain = chain;
    chain.start();
    if (part !== null) chain.write(part);
    chain.end();
    this.begunBody = null;
    const { parts, ended, error } = begun;
    if (ended && error === null) {
      const body = parts.length === 1 ? parts[0]! : Buffer.concat(parts);
      client.sendWhole(status, reason, `${lines}Content-Length: ${body.length}\r\n`, body, 0, body.length);
      return true;
    }
    client.sendHead(status, reason, lines, false);
    for (const made of parts) client.sendBody(made);
    if (error !== null) this.chainFailed(error);
    return false;
  }

  /** The head of a response whose body comes in parts. */
  head(head: ResponseHead, kind: number): void {
    const { client, terms } = this;
    const length = kind === BodyKind.LENGTH ? head.contentLength : -1;
    const edit = terms.filters === null || terms.filters.response === null ? null : this.filtered(head, length);
    this.begun = true;
    this.status = head.status;
    let lengthKnown = kind === BodyKind.LENGTH;
    if (edit !== null) {
      this.status = edit.status;
      if (edit.replacement !== null) {
        this.replacing = true;
        const { body, contentType } = edit.replacement;
        const lines = `${this.linesOf(head, edit)}Content-Type: ${contentType}\r\nContent-Length: ${body.length}\r\n`;
        this.bytes = body.length;
        client.sendHead(edit.status, this.reason(head, edit), lines, true);
        if (body.length > 0) client.sendBody(body);
        return;
      }
      if (edit.transforms !== null) {
        this.chain = this.chainOf(edit.transforms);
        lengthKnown = false;
      }
    }
    if (kind !== BodyKind.LENGTH && terms.rule !== null && isEventStream(head))
      this.eventStream(head, edit, terms.rule);
    client.sendHead(this.status, this.reason(head, edit), this.linesOf(head, edit), lengthKnown);
    this.chain?.start();
  }

  /** A part of the body; it may be kept. False: hold back. */
  body(part: Buffer): boolean {
    if (this.chain !== null) return this.chain.write(part);
    if (this.replacing) return true;
    this.bytes += part.length;
    return this.client.sendBody(part);
  }

  /** The body is complete. `trailers`: whole lines. False: a filter still works on it, and `onTransformed` comes later. */
  end(trailers: string): boolean {
    if (this.chain !== null) {
      this.trailers = trailers;
      return this.chain.end();
    }
    this.client.sendEnd(this.replacing ? '' : trailers);
    return true;
  }

  /** The client takes more. */
  onClientDrain(): void {
    this.chain?.onDrain();
  }

  /** The exchange is over before its response was complete. */
  destroy(): void {
    this.chain?.destroy();
    this.chain = null;
  }

  /** Called a few times a second while something works on the body. */
  tick(nowMs: number): void {
    this.chain?.tick(nowMs);
  }

  /** An answer of the gateway itself. `headers`: whole lines. */
  own(status: number, headers: string, body: string): void {
    const { client, terms } = this;
    this.begun = true;
    this.status = status;
    if (client.bodyPending && terms.expectContinue) client.closing = true;
    const date = `Date: ${httpDate(client.listener.runtime.clock.wallMs())}\r\n`;
    const content = Buffer.from(body);
    let edit: ResponseEdit | null = null;
    if (terms.filters !== null && terms.filters.response !== null) {
      edit = client.listener.runtime.responseEdit;
      const received = headers;
      edit.begin(terms, status, { value: (lowerName) => lineValue(received, lowerName) });
      edit.own = true;
      edit.bodyBytes = content.length;
      edit.bodiless = terms.isHead || !mayHaveBody(status);
      this.run(edit);
      // A small body of ours isn't worth an encoder.
      edit.transforms = null;
      status = edit.status;
      headers = withoutLines(headers, edit.removeNames) + edit.append;
      if (edit.replacement !== null) {
        this.replaced(edit, edit.bodiless, date + withoutLines(headers, OF_THE_BODY));
        return;
      }
    }
    this.status = status;
    this.sendContent(status, date + headers, content);
  }

  private sendContent(status: number, lines: string, content: Buffer): void {
    const { client, terms } = this;
    const length = mayHaveBody(status) ? `Content-Length: ${content.length}\r\n` : '';
    const sent = terms.isHead || length === '' ? EMPTY : content;
    this.bytes = sent.length;
    client.sendWhole(status, reasonPhrase(status), lines + this.extraLines() + length, sent, 0, sent.length);
  }

  private replaced(edit: ResponseEdit, bodiless: boolean, lines: string): void {
    const { contentType, body } = edit.replacement!;
    this.status = edit.status;
    this.sendContent(
      edit.status,
      `${lines}Content-Type: ${contentType}\r\n`,
      bodiless && !this.terms.isHead ? EMPTY : body,
    );
  }

  private reason(head: ResponseHead, edit: ResponseEdit | null): string {
    return edit === null || edit.status === head.status ? head.reason : reasonPhrase(edit.status);
  }

  private linesOf(head: ResponseHead, edit: ResponseEdit | null): string {
    return responseLines(head, edit) + this.extraLines();
  }

  private extraLines(): string {
    const { terms, client } = this;
    const ours = client.listener.fixedLines + terms.linesOfOurs();
    return terms.coldStart ? `x-cold-start: true\r\n${ours}` : ours;
  }

  /** Lets the filters look at the head. */
  private filtered(head: ResponseHead, bodyBytes: number): ResponseEdit {
    const { terms, client } = this;
    const edit = client.listener.runtime.responseEdit;
    edit.begin(terms, head.status, head);
    edit.bodyBytes = bodyBytes;
    edit.bodiless = terms.isHead || !mayHaveBody(head.status);
    this.run(edit);
    const names = edit.replacement !== null ? OF_THE_BODY : edit.transforms !== null ? OF_THE_LENGTH : null;
    if (names !== null) edit.removeReceived(names);
    return edit;
  }

  private run(edit: ResponseEdit): void {
    const { terms, client } = this;
    try {
      const { trace } = terms;
      const filters = terms.filters!;
      if (trace === null) filters.response!(edit);
      else filters.tracedResponse!(edit, trace, () => client.listener.nowMs());
    } catch (error) {
      const { logger, counters } = client.listener.runtime;
      counters.filterFailures++;
      logger.error('a response filter failed', { route: terms.routeName, error: String(error) });
      edit.reset();
    }
  }

  private chainOf(transforms: NonNullable<ResponseEdit['transforms']>): TransformChain {
    const ofStage = (stage: string) =>
      transforms.filter((entry) => entry.stage === stage).map((entry) => entry.transform);
    return new TransformChain([...ofStage('content'), ...ofStage('coding')], this);
  }

  /** Heartbeats and retry go between the events, before anything encodes them. */
  private eventStream(head: ResponseHead, edit: ResponseEdit | null, rule: CompiledRule): void {
    this.terms.onEventStream();
    if (head.value('content-encoding') !== undefined) return;
    const { sse } = rule.target.rule;
    if (sse.heartbeatMs === 0 && sse.retryMs === 0) return;
    const events = createEventStream(sse, this.client.listener.nowMs());
    if (this.chain === null) this.chain = new TransformChain([events], this);
    else this.chain = this.chainOf([{ transform: events, stage: 'content' }, ...edit!.transforms!]);
  }

  // ---- Where a chain ends

  chainData(part: Buffer): boolean {
    this.bytes += part.length;
    if (this.begunBody !== null) {
      this.begunBody.parts.push(part);
      return true;
    }
    return this.client.sendBody(part);
  }

  chainEnded(late: boolean): void {
    this.chain = null;
    if (this.begunBody !== null) {
      this.begunBody.ended = true;
      return;
    }
    this.client.sendEnd(this.trailers);
    if (late) this.terms.onTransformed();
  }

  chainDrained(): void {
    this.terms.onTransformDrained();
  }

  chainFailed(error: Error): void {
    this.chain = null;
    if (this.begunBody !== null) {
      this.begunBody.error = error;
      return;
    }
    const { logger, counters } = this.client.listener.runtime;
    counters.filterFailures++;
    logger.error('a filter broke a response off', { route: this.terms.routeName, error: String(error) });
    this.terms.onTransformFailed();
  }
}

/** RFC 9110 6.4.1. */
function mayHaveBody(status: number): boolean {
  return status >= 200 && status !== 204 && status !== 304;
}
