/** Who the client is: resolved once per request, here. */
import { isIP } from 'node:net';
import { DormouseError } from '../../model/errors.ts';
import { joinedValue, type RequestView } from '../request-view.ts';
import { AddressSet } from './address-set.ts';

/** Entries of X-Forwarded-For that are read at most, from the right: a chain of proxies is shorter. */
const MAX_HOPS = 32;

export class ClientAddress {
  /** null: nobody is trusted, which is the default. */
  readonly #trusted: AddressSet | null;

  /** `trustedProxies`: addresses or CIDR blocks. Throws DORMOUSE_TRUSTED_PROXY when one is neither. */
  constructor(trustedProxies: readonly string[]) {
    this.#trusted = trustedProxies.length === 0 ? null : new AddressSet(trustedProxies, notTrustable);
  }

  /** Whether this peer may speak for others. Ask once per connection and keep the answer. `peer`: an address in the form of `plainAddress`. */
  isTrusted(peer: string): boolean {
    return this.#trusted !== null && this.#trusted.has(peer);
  }

  /** The client's address: the peer's, unless the peer is a trusted proxy. */
  resolve(peer: string, view: RequestView): string {
    return this.isTrusted(peer) ? this.resolveTrusted(peer, view) : peer;
  }

  /**
   * The same when the peer is known to be trusted: X-Forwarded-For from the right, passing over trusted proxies, to the first address that is
   * not one. What is left of that may be invented. An entry that is no address ends the walk: the client is then the proxy that wrote it.
   */
  resolveTrusted(peer: string, view: RequestView): string {
    const chain = joinedValue(view, 'x-forwarded-for');
    if (chain === undefined) return peer;
    let client = peer;
    let end = chain.length;
    for (let hop = 0; hop < MAX_HOPS && end >= 0; hop++) {
      const comma = end === 0 ? -1 : chain.lastIndexOf(',', end - 1);
      const entry = chain.slice(comma + 1, end).trim();
      end = comma;
      // An empty list element counts for nothing (RFC 9110 section 5.6.1.2).
      if (entry === '') continue;
      const address = addressOf(entry);
      if (address === null) return client;
      client = address;
      if (!this.isTrusted(address)) return client;
    }
    return client;
  }
}

/** A socket's address as it is written everywhere: an IPv4 address that came through an IPv6 socket (::ffff:10.0.0.1) is an IPv4 address. */
export function plainAddress(address: string): string {
  if (address.startsWith('::ffff:') && isIP(address.slice(7)) === 4) return address.slice(7);
  const zone = address.indexOf('%');
  return zone < 0 ? address : address.slice(0, zone);
}

/** The address of an entry: as it is, in brackets, or with a port (some balancers write one). */
function addressOf(entry: string): string | null {
  if (entry.length > 64) return null;
  if (isIP(entry) !== 0) return plainAddress(entry);
  const match = /^(?:\[([^\]]+)\]|([^:]+))(?::\d{1,5})?$/.exec(entry);
  const address = match?.[1] ?? match?.[2];
  return address === undefined || isIP(address) === 0 ? null : plainAddress(address);
}

function notTrustable(block: string): DormouseError {
  return new DormouseError(
    'DORMOUSE_TRUSTED_PROXY',
    `security.trustedProxies: "${block}" is no address and no CIDR block; write e.g. 10.0.0.0/8`,
    { userFault: true },
  );
}
