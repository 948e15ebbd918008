import type { Socket } from 'node:net';
import { chunkHead, LAST_CHUNK } from '../../http1/writer.ts';

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
  keptBytes = 0;
  private chunked = false;
  private trailers = '';
  private kept: Buffer[] = [];

  begin(chunked: boolean, done: boolean): void {
    this.chunked = chunked;
    this.done = done;
    this.received = 0;
    this.replayable = true;
    this.trailers = '';
    this.drop();
  }

  keep(part: Buffer): void {
    this.kept.push(part);
    this.keptBytes += part.length;
  }

  /** It won't be sent again. */
  forget(): void {
    this.replayable = false;
    this.drop();
  }

  drop(): void {
    if (this.kept.length > 0) this.kept = [];
    this.keptBytes = 0;
  }

  end(trailers: string): void {
    this.done = true;
    this.trailers = trailers;
  }

  /** False: the socket's buffer is full. */
  write(socket: Socket, chunk: Buffer, start: number, end: number): boolean {
    const part = start === 0 && end === chunk.length ? chunk : chunk.subarray(start, end);
    if (!this.chunked) return socket.write(part);
    socket.cork();
    socket.write(chunkHead(end - start), 'latin1');
    socket.write(part);
    const more = socket.write('\r\n', 'latin1');
    socket.uncork();
    return more;
  }

  /** What is kept, and the end if it has come. False: the socket's buffer is full. */
  writeKept(socket: Socket): boolean {
    let more = true;
    for (const part of this.kept) more = this.write(socket, part, 0, part.length);
    if (this.done) more = this.writeEnd(socket);
    return more;
  }

  /** What marks the end of a chunked body. */
  writeEnd(socket: Socket): boolean {
    if (!this.chunked) return true;
    return socket.write(this.trailers === '' ? LAST_CHUNK : `0\r\n${this.trailers}\r\n`, 'latin1');
  }

  /** There is nothing to send after the head. */
  get isEmpty(): boolean {
    return this.done && this.keptBytes === 0 && !this.chunked;
  }
}
