/**
 * What KEDA needs to reach the scaler: a certificate for clients in a Secret of KEDA's namespace, and a ClusterTriggerAuthentication that names it. One for the cluster: a certificate
 * in every namespace would be there for everybody who may read Secrets of it.
 */
import type { KubernetesClient, Resource } from '../../kubernetes/client.ts';
import type { Logger } from '../../model/ports.ts';
import { MANAGED_BY, MANAGED_BY_LABEL, type ScalerAddress } from './objects.ts';
import { pause } from '../../model/pause.ts';

export const TRIGGER_AUTHENTICATIONS: Resource = {
  group: 'keda.sh',
  version: 'v1alpha1',
  plural: 'clustertriggerauthentications',
  kind: 'ClusterTriggerAuthentication',
  namespaced: false,
};

/** Of the ClusterTriggerAuthentication and the Secret. */
export const AUTHENTICATION = 'dormouse';
export const SCALER_SECRET = 'dormouse-scaler-client';
/** How often it is looked at, and tried again, ms. */
const LOOK_MS = 60_000;
const AGAIN_MS = 5000;
const BOUND_MS = 15_000;

export interface KedaSetupOptions {
  client: KubernetesClient;
  logger: Logger;
  /** null: the operator was not told. */
  namespace: string | null;
  /** HOST:PORT of the scaler, as KEDA reaches it. */
  address: string;
  certificates: { prepareScalerClient(namespace: string, name: string, signal: AbortSignal): Promise<string> };
  /** What `state` says is another thing now. */
  changed(): void;
}

export class KedaSetup {
  readonly #options: KedaSetupOptions;
  #state: ScalerAddress | { problem: string } = { problem: 'KEDA is being set up' };
  #begun = false;

  constructor(options: KedaSetupOptions) {
    this.#options = options;
  }

  get state(): ScalerAddress | { problem: string } {
    return this.#state;
  }

  /** Prepares it, and looks at it once a minute until `signal` aborts. Does nothing when it has begun. */
  begin(signal: AbortSignal): void {
    if (this.#begun) return;
    this.#begun = true;
    void this.#run(signal);
  }

  async #run(signal: AbortSignal): Promise<void> {
    const { namespace } = this.#options;
    if (namespace === null) {
      this.#set({
        problem:
          "scale.by is keda, but the operator does not know KEDA's namespace: set keda.enabled and keda.namespace in the chart's values (--keda-namespace)",
      });
      return;
    }
    while (!signal.aborted) {
      const isDone = await this.#prepare(namespace, AbortSignal.any([signal, AbortSignal.timeout(BOUND_MS)]));
      await pause(isDone ? LOOK_MS : AGAIN_MS, signal);
    }
  }

  async #prepare(namespace: string, signal: AbortSignal): Promise<boolean> {
    const { certificates, client, address, logger } = this.#options;
    try {
      const credentials = await certificates.prepareScalerClient(namespace, SCALER_SECRET, signal);
      const patch = { type: 'apply', body: authentication(), fieldManager: MANAGED_BY, force: true } as const;
      await client.patch(TRIGGER_AUTHENTICATIONS, { name: AUTHENTICATION }, patch, { signal });
      this.#set({ address, authentication: AUTHENTICATION, credentials });
      return true;
    } catch (error) {
      const reason = error instanceof Error ? error.message : String(error);
      logger.warn('what KEDA needs to ask dormouse can not be prepared', { namespace, reason });
      // What was prepared is good as long as it was not renewed.
      if ('problem' in this.#state)
        this.#set({
          problem: `what KEDA needs to ask dormouse can not be prepared in namespace ${namespace}: ${reason}`,
        });
      return false;
    }
  }

  #set(state: ScalerAddress | { problem: string }): void {
    if (JSON.stringify(state) === JSON.stringify(this.#state)) return;
    this.#state = state;
    this.#options.changed();
  }
}

function authentication(): object {
  const from = (parameter: string, key: string): object => ({ parameter, name: SCALER_SECRET, key });
  return {
    apiVersion: 'keda.sh/v1alpha1',
    kind: 'ClusterTriggerAuthentication',
    metadata: { name: AUTHENTICATION, labels: { [MANAGED_BY_LABEL]: MANAGED_BY } },
    spec: {
      secretTargetRef: [from('caCert', 'ca.crt'), from('tlsClientCert', 'tls.crt'), from('tlsClientKey', 'tls.key')],
    },
  };
}
