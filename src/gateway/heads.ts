import type { RequestHead } from '../http1/request-head.ts';
import type { ResponseHead } from '../http1/response-head.ts';
import { TargetForm } from '../http1/request-head.ts';
import { HeaderKind, HOP_BY_HOP } from '../http1/header-kind.ts';
import type { ListenerConfig } from '../model/config.ts';
import type { RequestEdit } from './filters/edits.ts';
import type { HeadEdit } from './filters/head-edit.ts';
import type { ForwardingContext } from './forwarding/forwarded.ts';

/** Bytes that a request body may have at this listener. */
export function bodyLimit(listener: ListenerConfig): number {
  return listener.limits.bodyBytes === 0 ? Number.MAX_SAFE_INTEGER : listener.limits.bodyBytes;
}

/** An Upgrade that may pass: h2c would let a client speak past the rules of this gateway (h2c smuggling), so it is not offered on. */
export function passableUpgrade(upgrade: string): string {
  return upgrade !== '' && !/\bh2c?\b/i.test(upgrade) ? upgrade : '';
}

/**
 * The head that goes to the endpoint: the received lines without hop-by-hop ones, in runs as they stand, then ours. The lines were validated
 * by the parser, so that a run can be passed on without looking at it again. `bodyBytes`: the length of a body that took the received one's place;
 * -1: it is passed as it comes.
 */
export function buildRequestHead(
  head: RequestHead,
  forwarding: ForwardingContext,
  edit: RequestEdit | null,
  bodyBytes = -1,
): string {
  const { text, offsets, kinds, count } = head;
  const dropped = forwarding.dropped;
  const plain = head.connectionNames === null;
  const removing = edit !== null && edit.removesSome;
  const newHost = edit !== null && edit.host !== null ? edit.host : head.hostFromTarget ? head.host : null;
  let out = `${head.method} ${edit !== null && edit.target !== null ? edit.target : originForm(head)} HTTP/1.1\r\n`;
  let run = -1;
  let hops = '';
  for (let i = 0; i < count; i++) {
    const kind = kinds[i]!;
    if (kind === HeaderKind.MAX_FORWARDS && head.method === 'OPTIONS') {
      hops = head.valueAt(i);
    }
    const leaves =
      kind !== 0 &&
      (HOP_BY_HOP[kind] === 1 ||
        dropped[kind] === 1 ||
        (kind === HeaderKind.HOST && newHost !== null) ||
        (kind === HeaderKind.CONTENT_LENGTH && bodyBytes >= 0) ||
        (kind === HeaderKind.MAX_FORWARDS && hops !== ''))
        ? true
        : (!plain && head.dropped(i)) || (removing && edit.removes(head, i));
    if (leaves) {
      if (run >= 0) out += text.slice(run, offsets[i * 5]);
      run = -1;
    } else if (run < 0) run = offsets[i * 5]!;
  }
  if (run >= 0) out += text.slice(run, offsets[(count - 1) * 5 + 4]);
  if (newHost !== null) out += `Host: ${newHost}\r\n`;
  else if (head.hostIndex < 0) out += 'Host: \r\n';
  out += forwarding.lines(head);
  if (edit !== null) out += edit.append;
  // RFC 9110 7.6.2: one less at every hop. What is no number of a sane size is not passed on.
  if (/^[1-9]\d{0,8}$/.test(hops)) out += `Max-Forwards: ${Number(hops) - 1}\r\n`;
  if (bodyBytes >= 0) out += `Content-Length: ${bodyBytes}\r\n`;
  else if (head.chunked) out += 'Transfer-Encoding: chunked\r\n';
  if (head.upgrade !== '') {
    const upgrade = passableUpgrade(head.upgrade);
    if (upgrade !== '') out += `Connection: Upgrade\r\nUpgrade: ${upgrade}\r\n`;
  } else if (head.teTrailers) out += 'TE: trailers\r\nConnection: TE\r\n';
  return `${out}\r\n`;
}

/** Endpoints get origin-form (or `*`), whatever form the client used (RFC 9112 3.2.1). */
function originForm(head: RequestHead): string {
  if (head.form !== TargetForm.ABSOLUTE) return head.target;
  return head.hasQuery ? `${head.path}?${head.query}` : head.path;
}

/** The header lines that go to the client, without those of the connection and of the message's framing but Content-Length. */
export function responseLines(head: ResponseHead, edit: HeadEdit | null): string {
  const { text, offsets, kinds, count } = head;
  const plain = head.connectionNames === null;
  const removing = edit !== null && edit.removeNames.length > 0;
  let out = '';
  let run = -1;
  for (let i = 0; i < count; i++) {
    const kind = kinds[i]!;
    const leaves =
      (kind !== 0 && (HOP_BY_HOP[kind] === 1 || kind === HeaderKind.X_COLD_START)) ||
      ((!plain || (kind === HeaderKind.CONTENT_LENGTH && head.status < 205)) && head.dropped(i)) ||
      (removing && edit.removes(head, i));
    if (leaves) {
      if (run >= 0) out += text.slice(run, offsets[i * 5]);
      run = -1;
    } else if (run < 0) run = offsets[i * 5]!;
  }
  if (run >= 0) out += text.slice(run, offsets[(count - 1) * 5 + 4]);
  return edit === null ? out : out + edit.append;
}
