import type { Socket } from 'node:net';
import { chunkHead } from '../http1/writer.ts';

/** Parts of a body up to this size are copied together with their framing. */
const SMALL_PART_BYTES = 4096;

/** Writes a part of a chunked body (RFC 9112 7.1), not empty; it is kept until it has gone out. False: the socket takes no more for now. */
export function writeChunk(socket: Socket, part: Buffer): boolean {
  // One write of one string costs less than three that are gathered.
  if (part.length <= SMALL_PART_BYTES)
    return socket.write(`${chunkHead(part.length)}${part.toString('latin1')}\r\n`, 'latin1');
  socket.cork();
  socket.write(chunkHead(part.length), 'latin1');
  socket.write(part);
  const more = socket.write('\r\n', 'latin1');
  socket.uncork();
  return more;
}
