import type { BalanceConfig } from '../../model/config.ts';
import { cookieValue, hashText } from './hash-key.ts';
import { nextNamed, type RequestView } from '../request-view.ts';

/**
 * The cookie that keeps a client at its endpoint. Its value is a hash of the endpoint's id: it says nothing about addresses or the number of
 * endpoints, and is the same in every worker. It is no secret: whoever makes one up chooses an endpoint, and nothing else.
 */
export class StickyCookie<E extends { readonly id: string }> {
  readonly #name: string;
  readonly #ttlMs: number;
  readonly #byValue = new Map<string, E>();

  constructor(config: NonNullable<BalanceConfig['sticky']>) {
    this.#name = config.cookie;
    this.#ttlMs = config.ttlMs;
  }

  /** The endpoints that may be stuck to; replaces the former ones. */
  update(endpoints: Iterable<E>): void {
    this.#byValue.clear();
    for (const endpoint of endpoints) this.#byValue.set(stickyValue(endpoint.id), endpoint);
  }

  /** The endpoint that the request's cookie names, or null. */
  find(view: RequestView): E | null {
    for (let i = view.indexOf('cookie'); i >= 0; i = nextNamed(view, 'cookie', i + 1)) {
      const value = cookieValue(view.valueAt(i), this.#name);
      if (value !== null) return this.#byValue.get(value) ?? null;
    }
    return null;
  }

  /** The whole Set-Cookie line (RFC 6265). `secure`: the client came over TLS. */
  line(endpoint: E, secure: boolean): string {
    const age = this.#ttlMs > 0 ? `; Max-Age=${Math.ceil(this.#ttlMs / 1000)}` : '';
    return `Set-Cookie: ${this.#name}=${stickyValue(endpoint.id)}; Path=/${age}; HttpOnly; SameSite=Lax${secure ? '; Secure' : ''}\r\n`;
  }
}

/** 13 characters of base 36: two hashes of 32 bits each, so that no two endpoints of a backend share one. */
export function stickyValue(id: string): string {
  return (BigInt(hashText(id)) * 0x1_0000_0000n + BigInt(hashText(`sticky ${id}`))).toString(36).padStart(13, '0');
}
