/**
 * What a request tells its backend about the way that it came: X-Forwarded-For, -Proto, -Host, -Port and X-Request-Id always, Via always,
 * Forwarded (RFC 7239) when a trusted proxy began one.
 *
 * X-Forwarded-Client-Cert is added when the client has shown a certificate that was verified.
 *
 * From a peer that is not in security.trustedProxies, all of these (and X-Real-IP) are dropped and said anew; only Via is kept, which claims
 * nothing about the client. From a trusted peer, X-Forwarded-For and Forwarded are continued with the peer's address, the others are kept
 * where they were sent.
 */
import { HEADER_NAMES, HeaderKind } from '../../http1/header-kind.ts';
import { joinedValue, type RequestView } from '../request-view.ts';
import { isSaneRequestId, type RequestIds } from './request-ids.ts';

const WRITTEN = [
  HeaderKind.X_FORWARDED_FOR,
  HeaderKind.X_FORWARDED_PROTO,
  HeaderKind.X_FORWARDED_HOST,
  HeaderKind.X_FORWARDED_PORT,
  HeaderKind.FORWARDED,
  HeaderKind.X_REQUEST_ID,
];

/** Kinds whose received lines are not passed on, because `lines` says them anew: index by kind, 1 = dropped. */
const DROPPED_WHEN_TRUSTED = kindTable(WRITTEN);
const DROPPED_WHEN_UNTRUSTED = kindTable([...WRITTEN, HeaderKind.X_REAL_IP, HeaderKind.X_FORWARDED_CLIENT_CERT]);

function kindTable(kinds: readonly number[]): Uint8Array {
  const table = new Uint8Array(HEADER_NAMES.length);
  for (const kind of kinds) table[kind] = 1;
  return table;
}

export interface ForwardingPeer {
  /** The peer's address in the form of `plainAddress`. */
  address: string;
  /** Whether the peer may speak for others: ClientAddress.isTrusted, asked once. */
  trusted: boolean;
  scheme: 'http' | 'https';
  /** The port that the client connected to. */
  port: number;
  /** The whole line about its certificate; left out: it has shown none. */
  certificateLine?: string;
  /** It speaks HTTP/2, whatever the head that stands for its request says. */
  http2?: boolean;
}

/** Of one client connection. What is the same for each of its requests is put together once. */
export class ForwardingContext {
  readonly #peer: ForwardingPeer;
  readonly #ids: RequestIds;
  /** Lines that depend on the connection only. */
  readonly #fixed: string;
  /** The last request's host, and the lines up to the request id: the next request usually has the same. */
  #host: string | null = null;
  #start = '';
  /** Received header kinds that are not passed on: index by kind, 1 = dropped. The head writer may read it in its loop. */
  readonly dropped: Uint8Array;
  /** The id of the request that `lines` was last called for. */
  requestId = '';

  constructor(peer: ForwardingPeer, ids: RequestIds) {
    this.#peer = peer;
    this.#ids = ids;
    this.dropped = peer.trusted ? DROPPED_WHEN_TRUSTED : DROPPED_WHEN_UNTRUSTED;
    this.#fixed = `X-Forwarded-For: ${peer.address}\r\nX-Forwarded-Proto: ${peer.scheme}\r\nX-Forwarded-Port: ${peer.port}\r\n${peer.certificateLine ?? ''}`;
  }

  /** Whether received headers of this kind (http1's HeaderKind) are left out. */
  drops(kind: number): boolean {
    return this.dropped[kind] === 1;
  }

  /** The scheme that the client used: what a trusted proxy says of it, else that of the connection. */
  scheme(view: RequestView): 'http' | 'https' {
    if (!this.#peer.trusted) return this.#peer.scheme;
    const said = view.value('x-forwarded-proto')?.toLowerCase();
    return said === 'https' || said === 'http' ? said : this.#peer.scheme;
  }

  /** The lines to append to a request's headers, each ended by CR LF. Sets `requestId`. Call it once per request. */
  lines(view: RequestView): string {
    return this.#peer.trusted ? this.#continued(view) : this.#said(view);
  }

  #said(view: RequestView): string {
    if (view.host !== this.#host) {
      this.#host = view.host;
      const host = view.host === '' ? '' : `X-Forwarded-Host: ${view.host}\r\n`;
      this.#start = `${this.#fixed}${host}X-Request-Id: `;
    }
    const id = this.#ids.next();
    this.requestId = id;
    return this.#start + id + this.#viaAfterId(view);
  }

  #continued(view: RequestView): string {
    const { address, scheme, port, certificateLine = '' } = this.#peer;
    const chain = joinedValue(view, 'x-forwarded-for');
    const sentProto = joinedValue(view, 'x-forwarded-proto');
    const sentHost = joinedValue(view, 'x-forwarded-host');
    const sentPort = joinedValue(view, 'x-forwarded-port');
    const sentId = joinedValue(view, 'x-request-id');
    const forwarded = joinedValue(view, 'forwarded');
    const host = sentHost ?? view.host;
    this.requestId = sentId !== undefined && isSaneRequestId(sentId) ? sentId : this.#ids.next();
    let lines = `${certificateLine}X-Forwarded-For: ${chain === undefined || chain === '' ? '' : chain + ', '}${address}\r\nX-Forwarded-Proto: ${sentProto ?? scheme}\r\n`;
    lines += `X-Forwarded-Port: ${sentPort ?? portOf(host, sentProto, port)}\r\n`;
    if (host !== '') lines += `X-Forwarded-Host: ${host}\r\n`;
    if (forwarded !== undefined)
      lines += `Forwarded: ${forwarded}, ${forwardedElement(address, scheme, view.host)}\r\n`;
    return lines + 'X-Request-Id: ' + this.requestId + this.#viaAfterId(view);
  }

  /** Via names the version in which the request was received (RFC 9110 section 7.6.3); a line of its own continues those before it. */
  #viaAfterId(view: RequestView): string {
    if (this.#peer.http2 === true) return '\r\nVia: 2.0 dormouse\r\n';
    return view.minor === 1 ? '\r\nVia: 1.1 dormouse\r\n' : '\r\nVia: 1.0 dormouse\r\n';
  }
}

/**
 * A trusted proxy that says scheme or host but no port: the port that the client's URL had, which is the one in the host, else the scheme's
 * own. A proxy that says nothing: the port of this listener.
 */
function portOf(host: string, proto: string | undefined, listenerPort: number): string {
  const written = /:(\d{1,5})$/.exec(host);
  if (written !== null) return written[1]!;
  if (proto === 'https' || proto === 'wss') return '443';
  if (proto === 'http' || proto === 'ws') return '80';
  return String(listenerPort);
}

/** RFC 7239 section 4; an IPv6 address is in brackets and quoted (section 6). */
function forwardedElement(address: string, scheme: string, host: string): string {
  const node = address.includes(':') ? `"[${address}]"` : address;
  const authority = host === '' ? '' : `;host=${/^[\w.-]+$/.test(host) ? host : `"${host.replace(/["\\]/g, '\\$&')}"`}`;
  return `for=${node};proto=${scheme}${authority}`;
}
