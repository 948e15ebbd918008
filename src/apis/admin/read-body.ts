import type { IncomingMessage } from 'node:http';
import { AdminError } from './admin-error.ts';

export const MOST_BODY_BYTES = 1_000_000;
/** Deeper nesting than any configuration has: a bound on what visits a body. */
const MOST_DEPTH = 40;

/**
 * The JSON object in a request's body. Throws DORMOUSE_ADMIN_MEDIA (415), DORMOUSE_ADMIN_BODY (413, over 1 MB), DORMOUSE_ADMIN_JSON (400). What is too long is not read to
 * its end.
 */
export async function readBody(request: IncomingMessage, types: readonly string[]): Promise<Record<string, unknown>> {
  const type = (request.headers['content-type'] ?? '').split(';', 1)[0]!.trim().toLowerCase();
  if (!types.includes(type)) {
    throw new AdminError(
      415,
      'DORMOUSE_ADMIN_MEDIA',
      `the body is ${type === '' ? 'of no type' : type.slice(0, 100)}; send it with content-type: ${types[0]}`,
    );
  }
  if (request.headers['content-encoding'] !== undefined) {
    throw new AdminError(415, 'DORMOUSE_ADMIN_MEDIA', 'the body has a content-encoding; send it as it is');
  }
  const length = Number(request.headers['content-length'] ?? 0);
  if (length > MOST_BODY_BYTES) throw tooLong();
  const chunks: Buffer[] = [];
  let bytes = 0;
  // Not for await: leaving that would destroy the socket before the answer is on its way.
  await new Promise<void>((resolve, reject) => {
    const fail = (error: Error): void => {
      request.off('data', take);
      request.pause();
      reject(error);
    };
    const take = (chunk: Buffer): void => {
      bytes += chunk.length;
      if (bytes > MOST_BODY_BYTES) fail(tooLong());
      else chunks.push(chunk);
    };
    request.on('data', take);
    request.once('end', resolve);
    request.once('error', () =>
      fail(new AdminError(400, 'DORMOUSE_ADMIN_JSON', 'the body was cut off; send it again')),
    );
    request.once('close', () =>
      fail(new AdminError(400, 'DORMOUSE_ADMIN_JSON', 'the body was cut off; send it again')),
    );
  });
  let text: string;
  try {
    text = new TextDecoder('utf-8', { fatal: true }).decode(Buffer.concat(chunks));
  } catch {
    throw new AdminError(400, 'DORMOUSE_ADMIN_JSON', 'the body is not UTF-8 text; send JSON in UTF-8');
  }
  return objectIn(text);
}

export function objectIn(text: string): Record<string, unknown> {
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch (error) {
    // The parser's own words have pieces of the body, which may have secrets: the place alone is told.
    const place = /position (\d+)/.exec((error as Error).message)?.[1];
    const where =
      place === undefined ? (text.trim() === '' ? 'it is empty' : 'it ends too early') : `at character ${place}`;
    throw new AdminError(400, 'DORMOUSE_ADMIN_JSON', `the body is no JSON (${where}); send one JSON object`);
  }
  if (typeof value !== 'object' || value === null || Array.isArray(value))
    throw new AdminError(400, 'DORMOUSE_ADMIN_JSON', 'the body is JSON, but no object; send { … }');
  if (isDeeper(value, MOST_DEPTH))
    throw new AdminError(400, 'DORMOUSE_ADMIN_JSON', `the body is nested deeper than ${MOST_DEPTH} levels`);
  return value as Record<string, unknown>;
}

function isDeeper(value: unknown, levels: number): boolean {
  if (typeof value !== 'object' || value === null) return false;
  if (levels === 0) return true;
  return Object.values(value).some((inner) => isDeeper(inner, levels - 1));
}

function tooLong(): AdminError {
  return new AdminError(413, 'DORMOUSE_ADMIN_BODY', `the body is longer than ${MOST_BODY_BYTES} bytes; send less`);
}

const MOST_DISCARDED_BYTES = 16_000_000;
const DISCARD_MS = 2000;

/** Reads on past an answer, within bounds: closing at once would reset the connection, and the client might lose the answer. */
export function discardRest(request: IncomingMessage): void {
  if (request.complete || request.destroyed) return;
  let bytes = 0;
  const end = (): void => void request.socket.destroy();
  const timer = setTimeout(end, DISCARD_MS);
  request.once('close', () => clearTimeout(timer));
  request.once('end', () => clearTimeout(timer));
  request.on('data', (chunk: Buffer) => {
    bytes += chunk.length;
    if (bytes > MOST_DISCARDED_BYTES) end();
  });
  request.resume();
}
