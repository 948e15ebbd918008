/** Certificates of a gRPC server that may be changed while it runs: new handshakes use them, connections that are there stay. */
import { experimental } from '@grpc/grpc-js';

/** PEM. Never logged. */
export interface PemCredentials {
  /** Who may have signed the other end's certificate: one or more certificates. */
  ca: string | Buffer;
  /** Own certificate and key. */
  cert: string | Buffer;
  key: string | Buffer;
}

type Provider = Parameters<typeof experimental.createCertificateProviderServerCredentials>[0];
type CaListener = Parameters<Provider['addCaCertificateListener']>[0];
type IdentityListener = Parameters<Provider['addIdentityCertificateListener']>[0];

/** Credentials of the server that may be changed while it runs. */
export class ChangingCredentials implements Provider {
  #now: { ca: Buffer; cert: Buffer; key: Buffer };
  readonly #unusable: (error: NodeJS.ErrnoException) => Error;
  readonly #ca = new Set<CaListener>();
  readonly #identity = new Set<IdentityListener>();

  /** `unusable` makes the error for what can't be read. */
  constructor(credentials: PemCredentials, unusable: (error: NodeJS.ErrnoException) => Error) {
    this.#unusable = unusable;
    this.#now = this.#readable(credentials);
  }

  /** Clients have to show a certificate of the same authority. */
  forServer(): ReturnType<typeof experimental.createCertificateProviderServerCredentials> {
    return experimental.createCertificateProviderServerCredentials(this, this, true);
  }

  /** Throws when they can't be read, and nothing changes. */
  set(credentials: PemCredentials): void {
    this.#now = this.#readable(credentials);
    for (const listener of this.#ca) listener({ caCertificate: this.#now.ca });
    for (const listener of this.#identity) this.#tell(listener);
  }

  addCaCertificateListener(listener: CaListener): void {
    this.#ca.add(listener);
    // Not at once: the server listens to the credentials only after they have begun to listen here.
    queueMicrotask(() => listener({ caCertificate: this.#now.ca }));
  }

  removeCaCertificateListener(listener: CaListener): void {
    this.#ca.delete(listener);
  }

  addIdentityCertificateListener(listener: IdentityListener): void {
    this.#identity.add(listener);
    queueMicrotask(() => this.#tell(listener));
  }

  removeIdentityCertificateListener(listener: IdentityListener): void {
    this.#identity.delete(listener);
  }

  #tell(listener: IdentityListener): void {
    listener({ certificate: this.#now.cert, privateKey: this.#now.key });
  }

  /** Tried out first: a server that is given what it can't read answers no handshake any more. */
  #readable({ ca, cert, key }: PemCredentials): { ca: Buffer; cert: Buffer; key: Buffer } {
    try {
      process.getBuiltinModule('node:tls').createSecureContext({ ca, cert, key });
    } catch (error) {
      throw this.#unusable(error as NodeJS.ErrnoException);
    }
    return { ca: Buffer.from(ca), cert: Buffer.from(cert), key: Buffer.from(key) };
  }
}
