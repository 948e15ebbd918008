import { createSecureContext, type SecureContext } from 'node:tls';
import type { CertificatePair } from '../../tls/certificate-pair.ts';

/** The longest host name of the DNS: bounds the labels that are tried. */
const MAX_HOST_LENGTH = 255;

/** Which certificate a client is shown that asks for a name: an exact one before a wildcard before the first of the file. */
export class CertificateTable {
  /** What is shown when no certificate names the host. */
  readonly first: SecureContext;
  readonly #exact = new Map<string, SecureContext>();
  /** By the part after `*.`. A wildcard stands for one label (RFC 6125 section 6.4.3). */
  readonly #wildcards = new Map<string, SecureContext>();
  /** By the part after `**.`, which stands for one or more labels, as wildcards of the Gateway API do. */
  readonly #suffixes = new Map<string, SecureContext>();
  /** One for each set of certificates that are shown together. */
  readonly #contexts = new Map<string, SecureContext>();
  readonly #pairs: readonly CertificatePair[];
  readonly #contextFor: (pairs: readonly CertificatePair[]) => SecureContext;

  /** `pairs`: at least one. `contextFor` may throw, for instance when OpenSSL refuses a certificate as too weak. */
  constructor(pairs: readonly CertificatePair[], contextFor: (pairs: readonly CertificatePair[]) => SecureContext) {
    this.#pairs = pairs;
    this.#contextFor = contextFor;
    for (const [name, indexes] of byName(pairs)) {
      const context = this.#contextOf(indexes);
      if (name.startsWith('**.')) this.#suffixes.set(name.slice(3), context);
      else if (name.startsWith('*.')) this.#wildcards.set(name.slice(2), context);
      else this.#exact.set(name, context);
    }
    const first = pairs[0]!.names[0];
    this.first = (first === undefined ? null : this.find(first.replace(/^\*\*?\./, 'x.'))) ?? this.#contextOf([0]);
  }

  /** Whether all hosts get the same. */
  get isUniform(): boolean {
    return this.#contexts.size === 1;
  }

  /** `name`: lower case; '' when the client named none. */
  select(name: string): SecureContext {
    return this.find(name) ?? this.first;
  }

  private find(name: string): SecureContext | null {
    const exact = this.#exact.get(name);
    if (exact !== undefined) return exact;
    const dot = name.indexOf('.');
    if (dot <= 0) return null;
    const wildcard = this.#wildcards.get(name.slice(dot + 1));
    if (wildcard !== undefined) return wildcard;
    if (this.#suffixes.size === 0 || name.length > MAX_HOST_LENGTH) return null;
    for (let at = dot; at >= 0; at = name.indexOf('.', at + 1)) {
      const suffix = this.#suffixes.get(name.slice(at + 1));
      if (suffix !== undefined) return suffix;
    }
    return null;
  }

  #contextOf(indexes: readonly number[]): SecureContext {
    const key = indexes.join();
    let context = this.#contexts.get(key);
    if (context === undefined) {
      context = this.#contextFor(indexes.map((index) => this.#pairs[index]!));
      this.#contexts.set(key, context);
    }
    return context;
  }
}

/** For each name the first certificate of each kind of key: a client that can't use ECDSA is shown the RSA one. */
function byName(pairs: readonly CertificatePair[]): Map<string, number[]> {
  const table = new Map<string, number[]>();
  pairs.forEach((pair, index) => {
    for (const name of pair.names) {
      const known = table.get(name);
      if (known === undefined) table.set(name, [index]);
      else if (known.every((other) => pairs[other]!.keyType !== pair.keyType)) known.push(index);
    }
  });
  return table;
}

/** Suites with forward secrecy and authenticated encryption, in the order of Mozilla's intermediate configuration; those of TLS 1.3 come first. */
const CIPHERS = [
  'TLS_AES_128_GCM_SHA256',
  'TLS_AES_256_GCM_SHA384',
  'TLS_CHACHA20_POLY1305_SHA256',
  'ECDHE-ECDSA-AES128-GCM-SHA256',
  'ECDHE-RSA-AES128-GCM-SHA256',
  'ECDHE-ECDSA-AES256-GCM-SHA384',
  'ECDHE-RSA-AES256-GCM-SHA384',
  'ECDHE-ECDSA-CHACHA20-POLY1305',
  'ECDHE-RSA-CHACHA20-POLY1305',
].join(':');

/** How long a client may take up its session again, s. Its certificate isn't looked at anew during this time. */
const SESSION_SECONDS = 3600;

export interface ServerContextOptions {
  minVersion: '1.2' | '1.3';
  /** PEM certificates of the authorities of clients; null: clients are not asked for a certificate. */
  clientCa: Buffer | null;
  /** Sessions are only taken up under the same one: at most 32 bytes. */
  sessionIdContext: string;
  /** 48 bytes, shared by all workers. */
  ticketKeys: Buffer;
  secureOptions: number;
}

/** Throws the error of OpenSSL. */
export function serverContext(pairs: readonly CertificatePair[], options: ServerContextOptions): SecureContext {
  return createSecureContext({
    cert: pairs.map((pair) => pair.cert),
    key: pairs.map((pair) => pair.key),
    // An empty list, where it is left out, keeps Node from loading its own authorities, which no client's certificate is held against.
    ca: options.clientCa ?? [],
    minVersion: options.minVersion === '1.3' ? 'TLSv1.3' : 'TLSv1.2',
    ciphers: CIPHERS,
    sessionIdContext: options.sessionIdContext,
    sessionTimeout: SESSION_SECONDS,
    ticketKeys: options.ticketKeys,
    secureOptions: options.secureOptions,
  });
}
