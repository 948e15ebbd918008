import { BodyDecoder } from '../../src/http1/body-decoder.ts';
import { requestBodyKind } from '../../src/http1/body-kind.ts';
import type { MessageHead } from '../../src/http1/message-head.ts';
import { RequestParser } from '../../src/http1/request-parser.ts';
import { bodyKind, BodyKind, ResponseParser } from '../../src/http1/response-parser.ts';
import type { Direction, Outcome, SeenMessage } from './outcome.ts';

const LIMITS = { headerBytes: 16_384, headers: 100, uriBytes: 8192 };

/**
 * Reads `bytes` the way a connection of the gateway does: heads and bodies in turn, until refusal, the end of the connection's use, or the end of the
 * bytes. `cuts`: ascending positions at which the stream is split into chunks. `requestMethod`: what the responses answer.
 */
export function readWithDormouse(
  bytes: Buffer,
  direction: Direction,
  cuts: readonly number[],
  requestMethod = 'GET',
): Outcome {
  const requests = new RequestParser(LIMITS);
  const responses = new ResponseParser(LIMITS);
  const parser = direction === 'requests' ? requests : responses;
  const decoder = new BodyDecoder(LIMITS);
  const messages: SeenMessage[] = [];
  const offsets: number[] = [];
  let body = '';
  const sink = {
    onBody(chunk: Buffer, start: number, end: number): void {
      body += chunk.toString('latin1', start, end);
    },
  };
  let current: SeenMessage | null = null;
  let last = false;
  let upgraded = false;

  let from = 0;
  for (const to of [...cuts, bytes.length]) {
    // A chunk of its own each time: what a parser keeps of a chunk that is reused would show.
    const base = from;
    const chunk = Buffer.from(bytes.subarray(from, to));
    from = to;
    let at = 0;
    while (at < chunk.length) {
      if (current === null) {
        const after = parser.execute(chunk, at, chunk.length);
        if (after === -2) return { messages, offsets, end: 'refused', reason: parser.error!.detail };
        if (after === -1) break;
        at = after;
        const head = parser.head;
        const offset = base + after - head.text.length;
        offsets.push(offset);
        current = { start: startOf(head), headers: headersOf(head), body: '' };
        let kind: number;
        if (direction === 'requests') {
          // The gateway answers CONNECT with 405 and closes: nothing after its head is looked at.
          const connect = requests.head.method === 'CONNECT';
          kind = connect ? BodyKind.NONE : requestBodyKind(requests.head);
          upgraded = connect || head.upgrade !== '';
        } else {
          kind = bodyKind(responses.head, requestMethod);
          upgraded = responses.head.status === 101;
        }
        decoder.reset(kind, head.contentLength);
        last = !head.keepAlive || kind === BodyKind.UNTIL_CLOSE;
        body = '';
      }
      if (!decoder.done) {
        const after = decoder.execute(chunk, at, chunk.length, sink);
        if (after === -2) return { messages, offsets, end: 'refused', reason: decoder.error!.detail };
        at = after;
      }
      if (!decoder.done) break;
      current.body = body;
      messages.push(current);
      current = null;
      if (upgraded) return { messages, offsets, end: 'upgraded', reason: '' };
      if (last) return { messages, offsets, end: 'complete', reason: '' };
    }
  }
  if (current !== null) {
    if (!decoder.finish()) return { messages, offsets, end: 'partial', reason: '' };
    current.body = body;
    messages.push(current);
    return { messages, offsets, end: 'complete', reason: '' };
  }
  return { messages, offsets, end: parser.partial ? 'partial' : 'complete', reason: '' };
}

function startOf(head: MessageHead): string {
  const fields = head as MessageHead & { method?: string; target?: string; status?: number };
  return fields.method === undefined
    ? `${fields.status} ${head.minor}`
    : `${fields.method} ${fields.target} ${head.minor}`;
}

function headersOf(head: MessageHead): [string, string][] {
  const headers: [string, string][] = [];
  for (let i = 0; i < head.count; i++) headers.push([head.nameAt(i).toLowerCase(), head.valueAt(i)]);
  return headers;
}
