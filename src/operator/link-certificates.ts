/**
 * Certificates of the link, kept in two Secrets of the operator's own namespace: the authority, which only operators read, and the gateways' pair. Every operator has a certificate of its
 * own, signed in memory, as a server and as a client. Whoever comes first makes what is missing; the others take what they find.
 */
import { createHash } from 'node:crypto';
import { isReason } from '../kubernetes/api-error.ts';
import type { KubernetesClient, KubernetesObject } from '../kubernetes/client.ts';
import { SECRETS } from '../kubernetes/resources.ts';
import type { Clock, Logger } from '../model/ports.ts';
import {
  authorityFromSecret,
  authorityToSecret,
  issueClient,
  issueOperator,
  pairFromSecret,
  pairIsDue,
  pairToSecret,
  renewedAuthority,
  trustBundle,
  type Authority,
  type IssuedPair,
  type SecretData,
} from '../tls/authority.ts';
import { pause } from '../model/pause.ts';

/** How often dates and Secrets are looked at, ms. */
const LOOK_MS = 60_000;
/** Others may write at the same time. */
const MOST_TRIES = 10;

interface Secret extends KubernetesObject {
  type?: string;
  data?: SecretData;
}

export interface LinkCertificatesOptions {
  client: KubernetesClient;
  clock: Clock;
  logger: Logger;
  namespace: string;
  /** DNS names of the operator's Service. */
  names: readonly string[];
  /** Names of the Secrets. */
  authority: string;
  gateway: string;
}

export interface LinkPair {
  ca: string;
  cert: string;
  key: string;
}

export class LinkCertificates {
  readonly #options: LinkCertificatesOptions;
  #authority: Authority = [];
  #own: IssuedPair | null = null;
  #client: IssuedPair | null = null;

  constructor(options: LinkCertificatesOptions) {
    this.#options = options;
  }

  /** What this operator shows and trusts. Call `prepare` before. */
  get credentials(): LinkPair {
    if (this.#own === null) throw new Error('the certificates of the link have not been prepared');
    return { ca: trustBundle(this.#authority), cert: this.#own.cert, key: this.#own.key };
  }

  /** What this operator shows where it asks another one. Call `prepare` before. */
  get clientCredentials(): LinkPair {
    if (this.#client === null) throw new Error('the certificates of the link have not been prepared');
    return { ca: trustBundle(this.#authority), cert: this.#client.cert, key: this.#client.key };
  }

  /** KEDA's pair, in a Secret of a namespace in which KEDA looks for it. Gives a short name of its content, which changes with it. Rejects as the API server does. */
  async prepareScalerClient(namespace: string, name: string, signal: AbortSignal): Promise<string> {
    return this.#write(namespace, name, signal, async (data) => {
      const wallMs = this.#options.clock.wallMs();
      const known = pairFromSecret(data);
      const isDue = pairIsDue(known, this.#authority, wallMs);
      const pair = isDue || known === null ? await issueClient(this.#authority, 'scaler-client', wallMs) : known;
      const next = pairToSecret(this.#authority, pair);
      const result = createHash('sha256').update(next['ca.crt']!).update(pair.cert).digest('hex').slice(0, 16);
      return { result, data: !isDue && isSame(data, next) ? null : next };
    });
  }

  /** Reads, makes or renews whatever is due. True when this operator's credentials are different ones now. */
  async prepare(signal: AbortSignal): Promise<boolean> {
    const { clock, names } = this.#options;
    const bundle = trustBundle(this.#authority);
    this.#authority = await this.#prepareAuthority(signal);
    const wallMs = clock.wallMs();
    await this.#prepareGateway(signal);
    const isNew = pairIsDue(this.#own, this.#authority, wallMs, names);
    if (isNew) this.#own = await issueOperator(this.#authority, names, wallMs);
    if (pairIsDue(this.#client, this.#authority, wallMs))
      this.#client = await issueClient(this.#authority, 'operator', wallMs);
    return isNew || bundle !== trustBundle(this.#authority);
  }

  /** Looks once a minute until `signal` aborts. */
  async run(changed: () => void, signal: AbortSignal): Promise<void> {
    while (!signal.aborted) {
      await pause(LOOK_MS, signal);
      if (signal.aborted) return;
      try {
        if (await this.prepare(signal)) changed();
      } catch (error) {
        if (signal.aborted) return;
        this.#options.logger.warn('the certificates of the link could not be looked at', {
          reason: error instanceof Error ? error.message : String(error),
        });
      }
    }
  }

  async #prepareAuthority(signal: AbortSignal): Promise<Authority> {
    const { authority: name, clock, namespace } = this.#options;
    return this.#write(namespace, name, signal, async (data) => {
      const known = authorityFromSecret(data);
      const next = await renewedAuthority(known, clock.wallMs());
      return { result: next, data: next === known ? null : authorityToSecret(next) };
    });
  }

  async #prepareGateway(signal: AbortSignal): Promise<void> {
    const { gateway: name, clock, namespace } = this.#options;
    await this.#write(namespace, name, signal, async (data) => {
      const wallMs = clock.wallMs();
      const known = pairFromSecret(data);
      const isDue = pairIsDue(known, this.#authority, wallMs);
      const pair = isDue || known === null ? await issueClient(this.#authority, 'gateway', wallMs) : known;
      const next = pairToSecret(this.#authority, pair);
      return { result: undefined, data: !isDue && isSame(data, next) ? null : next };
    });
  }

  /** `next` gives the new content, or null when it is right as it is. */
  async #write<T>(
    namespace: string,
    name: string,
    signal: AbortSignal,
    next: (data: SecretData | undefined) => Promise<{ result: T; data: SecretData | null }>,
  ): Promise<T> {
    const { client } = this.#options;
    for (let tries = 1; ; tries++) {
      const secret = await client.get<Secret>(SECRETS, { namespace, name }, { signal });
      const { result, data } = await next(secret?.data);
      if (data === null) return result;
      try {
        const metadata = {
          name,
          namespace,
          labels: { 'app.kubernetes.io/managed-by': 'dormouse' },
          ...(secret === null ? {} : { resourceVersion: secret.metadata.resourceVersion }),
        };
        const object = { apiVersion: 'v1', kind: 'Secret', type: secret?.type ?? 'Opaque', metadata, data };
        if (secret === null) await client.create(SECRETS, object, { namespace, signal });
        else await client.replace(SECRETS, { namespace, name }, object, { signal });
        return result;
      } catch (error) {
        // Another operator was first: what it wrote is as good.
        if (!isReason(error, 'Conflict', 'AlreadyExists') || tries >= MOST_TRIES) throw error;
      }
    }
  }
}

function isSame(a: SecretData | undefined, b: SecretData): boolean {
  return a !== undefined && Object.entries(b).every(([key, value]) => a[key] === value);
}
