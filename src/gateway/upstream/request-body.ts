import { withoutTrailers } from '../filters/trailer-lines.ts';
import { PartList } from '../../http1/part-list.ts';
import type { Upstream } from './upstream.ts';

/** This much of a body is read while nobody takes it (held, connecting), bytes; the rest stays in the socket (decisions, 4). */
export const READ_AHEAD_BYTES = 65_536;

/** The body of a request on its way to an endpoint: passed on as it comes, and kept in part while there is no endpoint or it may be needed again. */
export class RequestBody {
  /** Its last byte has come. */
  done = true;
  /** Payload bytes that came. */
  received = 0;
  /** What is kept holds the whole body so far, so that the request can be sent once more. */
  replayable = true;
  /** Its length is not known. */
  chunked = false;
  trailers = '';
  private readonly kept = new PartList();
  /** Names of trailers that filters have taken away. */
  private withheld: readonly string[] | null = null;

  get keptBytes(): number {
    return this.kept.bytes;
  }

  begin(chunked: boolean, done: boolean): void {
    this.chunked = chunked;
    this.done = done;
    this.received = 0;
    this.replayable = true;
    this.trailers = '';
    this.withheld = null;
    this.drop();
  }

  /** Headers of these names (lower case) are not passed on, so trailers aren't either. */
  withhold(lowerNames: readonly string[]): void {
    this.withheld = lowerNames;
    this.trailers = withoutTrailers(this.trailers, lowerNames);
  }

  keep(part: Buffer): void {
    this.kept.push(part);
  }

  /** It won't be sent again. */
  forget(): void {
    this.replayable = false;
    this.drop();
  }

  drop(): void {
    this.kept.clear();
  }

  end(trailers: string): void {
    this.done = true;
    this.trailers = this.withheld === null ? trailers : withoutTrailers(trailers, this.withheld);
  }

  /** A filter has the whole body and puts another one into its place. */
  replace(body: Buffer): void {
    this.drop();
    this.chunked = false;
    if (body.length > 0) this.keep(body);
  }

  /** All that is kept, in one piece. */
  whole(): Buffer {
    return this.kept.whole();
  }

  /** Sends what is kept, and the end if it has come. False: the endpoint takes no more for now. */
  sendKept(upstream: Upstream): boolean {
    let more = true;
    for (const part of this.kept) more = upstream.sendBody(part);
    if (this.done) upstream.sendEnd(this.trailers);
    return more;
  }

  /** There is nothing to send after the head. */
  get isEmpty(): boolean {
    return this.done && this.keptBytes === 0 && !this.chunked;
  }
}
