import { BodyKind } from '../http1/body-kind.ts';
import type { ResponseHead } from '../http1/response-head.ts';
import { chunkHead, httpDate, LAST_CHUNK, simpleResponse } from '../http1/writer.ts';
import type { ClientConnection } from './client-connection.ts';
import type { CompiledFilters } from './filters/compile-filters.ts';
import { buildResponseHead } from './heads.ts';
import type { RequestView } from './request-view.ts';
import { READ_AHEAD_BYTES } from './upstream/request-body.ts';

/** What the response depends on besides what the endpoint said. */
export interface ResponseTerms {
  readonly minor: 0 | 1;
  readonly isHead: boolean;
  readonly coldStart: boolean;
  readonly requestDone: boolean;
  readonly expectContinue: boolean;
  readonly routeName: string;
  readonly filters: CompiledFilters | null;
  readonly view: RequestView | null;
}

/** The response of one exchange on its way to the client. */
export class ClientResponse {
  /** What the client got; 0: nothing yet. */
  status = 0;
  begun = false;
  /** Body bytes. */
  bytes = 0;
  private chunked = false;
  private readonly connection: ClientConnection;
  private readonly terms: ResponseTerms;

  constructor(connection: ClientConnection, terms: ResponseTerms) {
    this.connection = connection;
    this.terms = terms;
  }

  reset(): void {
    this.status = 0;
    this.begun = false;
    this.bytes = 0;
    this.chunked = false;
  }

  /** 1xx. Not for HTTP/1.0 clients (RFC 9110 15.2), and 100 only for those that wait for it. */
  interim(head: ResponseHead): void {
    if (this.terms.minor === 0 || (head.status === 100 && !this.terms.expectContinue)) return;
    this.connection.socket.write(buildResponseHead(head, null, ''), 'latin1');
  }

  switching(head: ResponseHead): void {
    this.begun = true;
    this.status = 101;
    const cold = this.terms.coldStart ? 'x-cold-start: true\r\n' : '';
    const extra = `${cold}Connection: Upgrade\r\nUpgrade: ${head.upgrade}\r\n`;
    this.connection.socket.write(buildResponseHead(head, null, extra), 'latin1');
  }

  /** Head and body at once. */
  whole(head: ResponseHead, chunk: Buffer, start: number, end: number): void {
    // Without a body of its own there is nothing to frame: a Content-Length of HEAD or 304 passes as it is.
    const text = this.headText(head, BodyKind.NONE);
    this.bytes = end - start;
    this.connection.socket.write(start === end ? text : text + chunk.toString('latin1', start, end), 'latin1');
  }

  /** The head of a response whose body comes in parts. */
  head(head: ResponseHead, kind: number): void {
    const { socket } = this.connection;
    socket.cork();
    socket.write(this.headText(head, kind), 'latin1');
    // In one write with the bytes of the body that came with it.
    queueMicrotask(() => socket.uncork());
  }

  /** A part of the body. False: the client takes no more for now. */
  body(part: Buffer): boolean {
    const { socket } = this.connection;
    this.bytes += part.length;
    if (!this.chunked) return socket.write(part);
    socket.cork();
    socket.write(chunkHead(part.length), 'latin1');
    socket.write(part);
    const more = socket.write('\r\n', 'latin1');
    socket.uncork();
    return more;
  }

  /** The body is complete. `trailers`: whole lines. */
  end(trailers: string): void {
    if (!this.chunked) return;
    this.connection.socket.write(trailers === '' ? LAST_CHUNK : `0\r\n${trailers}\r\n`, 'latin1');
  }

  /** An answer of the gateway itself. */
  own(status: number, headers: string, body: string): void {
    const { connection, terms } = this;
    this.begun = true;
    this.status = status;
    this.bytes = terms.isHead ? 0 : Buffer.byteLength(body);
    if (!terms.requestDone && (terms.expectContinue || this.muchIsMissing())) connection.closing = true;
    if (connection.listener.draining) connection.closing = true;
    const date = httpDate(connection.listener.runtime.clock.wallMs());
    const text = simpleResponse({
      status,
      headers: `Date: ${date}\r\n${headers}`,
      body,
      keepAlive: !connection.closing,
      head: terms.isHead,
      minor: terms.minor,
    });
    connection.socket.write(text, 'latin1');
  }

  /** More of the request's body is to come than is worth reading only to throw it away. */
  private muchIsMissing(): boolean {
    const missing = this.connection.bodyMissing;
    return missing < 0 || missing > READ_AHEAD_BYTES;
  }

  private headText(head: ResponseHead, kind: number): string {
    const { connection, terms } = this;
    this.begun = true;
    this.status = head.status;
    let extra = terms.coldStart ? 'x-cold-start: true\r\n' : '';
    if (kind === BodyKind.CHUNKED || kind === BodyKind.UNTIL_CLOSE) {
      if (terms.minor === 0) connection.closing = true;
      else {
        this.chunked = true;
        extra += 'Transfer-Encoding: chunked\r\n';
      }
    }
    // An answer that comes while much of the body is still to come: what follows is thrown away, and the connection ends with it.
    if (!terms.requestDone && this.muchIsMissing()) connection.closing = true;
    if (connection.listener.draining) connection.closing = true;
    if (connection.closing) extra += 'Connection: close\r\n';
    else if (terms.minor === 0) extra += 'Connection: keep-alive\r\n';
    const filter = terms.filters === null ? null : terms.filters.response;
    if (filter === null) return buildResponseHead(head, null, extra);
    const { runtime } = connection.listener;
    const edit = runtime.responseEdit;
    edit.begin(terms, head.status);
    try {
      filter(edit);
    } catch (error) {
      runtime.logger.error('a response filter failed', { route: terms.routeName, error: String(error) });
      edit.reset();
    }
    return buildResponseHead(head, edit, extra);
  }
}
