import type { TlsSettings } from './cluster-config.ts';

/** Counts how often TLS settings have become different. */
export class TlsRevision {
  #last: TlsSettings | null = null;
  #count = 0;

  of(tls: TlsSettings): number {
    const last = this.#last;
    const same = last !== null && equal(last.ca, tls.ca) && equal(last.cert, tls.cert) && equal(last.key, tls.key);
    if (!same) this.#count += 1;
    this.#last = tls;
    return this.#count;
  }
}

function equal(one: Buffer | null, other: Buffer | null): boolean {
  return one === other || (one !== null && other !== null && one.equals(other));
}
