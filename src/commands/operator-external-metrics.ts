/**
 * External metrics, put together: the server of them, whom it believes (the ConfigMap in which the API server publishes that), and the APIService that leads to it. Another adapter may
 * own that API group: then nothing of it is changed, and who wants an HPA is told.
 */
import { AccessReviews } from '../apis/external-metrics/access-reviews.ts';
import { requestHeaderConfig, type RequestHeaderConfig } from '../apis/external-metrics/caller.ts';
import { serveMetrics, type MetricsServer } from '../apis/external-metrics/metrics-server.ts';
import type { FiguresSource } from '../apis/scale/figures.ts';
import type { KubernetesClient, KubernetesObject, Resource } from '../kubernetes/client.ts';
import { CONFIG_MAPS } from '../kubernetes/resources.ts';
import type { HostPort } from '../model/config.ts';
import type { Clock, Logger } from '../model/ports.ts';
import type { LinkPair } from '../operator/link-certificates.ts';
import { pause } from '../model/pause.ts';

export const EXTERNAL_METRICS_SERVICE = 'dormouse-external-metrics';
const API_SERVICE = 'v1beta1.external.metrics.k8s.io';
const API_SERVICES: Resource = {
  group: 'apiregistration.k8s.io',
  version: 'v1',
  plural: 'apiservices',
  kind: 'APIService',
  namespaced: false,
};
const SUBJECT_ACCESS_REVIEWS: Resource = {
  group: 'authorization.k8s.io',
  version: 'v1',
  plural: 'subjectaccessreviews',
  kind: 'SubjectAccessReview',
  namespaced: false,
};
/** How often the ConfigMap and the APIService are looked at, ms: when all is well, and when it is not. */
const LOOK_MS = 30_000;
const AGAIN_MS = 2000;
const BOUND_MS = 10_000;

interface ConfigMap extends KubernetesObject {
  data?: Record<string, string>;
}

interface ApiService extends KubernetesObject {
  spec?: { service?: { name?: string; namespace?: string }; caBundle?: string };
}

interface SubjectAccessReview extends KubernetesObject {
  status?: { allowed?: boolean; reason?: string };
}

export type Refusal = { reason: string; message: string } | null;

export interface OperatorExternalMetricsOptions {
  client: KubernetesClient;
  clock: Clock;
  logger: Logger;
  /** null: not served. */
  address: HostPort | null;
  /** Where the operator runs. */
  namespace: string;
  figures: Pick<FiguresSource, 'get'>;
  credentials(): LinkPair;
  changed(): void;
}

export class OperatorExternalMetrics {
  readonly #options: OperatorExternalMetricsOptions;
  readonly #access: AccessReviews;
  #server: MetricsServer | null = null;
  #header: RequestHeaderConfig | null = null;
  #refusal: Refusal;

  constructor(options: OperatorExternalMetricsOptions) {
    const { client, clock, address } = options;
    this.#options = options;
    this.#refusal =
      address === null
        ? refused(
            'ExternalMetricsNotServed',
            'the operator does not serve external metrics: set externalMetrics.enabled in the values of the chart',
          )
        : refused('ExternalMetricsNotServed', 'external metrics are being set up');
    this.#access = new AccessReviews({
      nowMs: () => clock.nowMs(),
      review: async (caller, { namespace, verb, resource }, signal) => {
        const review = {
          apiVersion: 'authorization.k8s.io/v1',
          kind: 'SubjectAccessReview',
          metadata: {},
          spec: {
            user: caller.user,
            groups: caller.groups,
            extra: caller.extra,
            resourceAttributes: { namespace, verb, group: 'external.metrics.k8s.io', version: 'v1beta1', resource },
          },
        };
        const answer = await client.create<SubjectAccessReview>(SUBJECT_ACCESS_REVIEWS, review, { signal });
        return { allowed: answer.status?.allowed === true, reason: answer.status?.reason ?? '' };
      },
    });
  }

  /** Why HPAs can't be scaled by our metrics; null: they can. */
  get refusal(): Refusal {
    return this.#refusal;
  }

  /** Serves as soon as it is known whom to believe, and looks after it until `signal` aborts. */
  async run(signal: AbortSignal): Promise<void> {
    while (!signal.aborted) {
      let isWell = false;
      try {
        await this.#look(AbortSignal.any([signal, AbortSignal.timeout(BOUND_MS)]));
        isWell = this.#refusal === null;
      } catch (error) {
        if (signal.aborted) return;
        const reason = error instanceof Error ? error.message : String(error);
        this.#options.logger.warn('external metrics could not be set up; trying again', { reason });
        if (this.#server === null)
          this.#refuse(refused('ExternalMetricsNotServed', `external metrics can not be served: ${reason}`));
      }
      await pause(isWell ? LOOK_MS : AGAIN_MS, signal);
    }
  }

  async #look(signal: AbortSignal): Promise<void> {
    const { client, address, logger, figures, credentials } = this.#options;
    const name = { namespace: 'kube-system', name: 'extension-apiserver-authentication' };
    // Without the address this replica serves nothing; whoever leads has to know all the same who does.
    if (address !== null) {
      const header = requestHeaderConfig((await client.get<ConfigMap>(CONFIG_MAPS, name, { signal }))?.data);
      if (header === null)
        throw new Error(
          'the API server has no aggregation layer (requestheader-client-ca-file is missing in kube-system/extension-apiserver-authentication)',
        );
      if (this.#server === null) {
        this.#server = await serveMetrics({
          address,
          credentials: credentials(),
          requestHeader: header,
          access: this.#access,
          figures,
          logger,
        });
      } else if (JSON.stringify(header) !== JSON.stringify(this.#header))
        this.#server.setCredentials(credentials(), header);
      this.#header = header;
    }
    await this.#register(signal);
  }

  /** The APIService is the chart's; what it is to be believed by is ours. */
  async #register(signal: AbortSignal): Promise<void> {
    const { client, namespace, address, credentials } = this.#options;
    if (address === null) return;
    const found = await client.get<ApiService>(API_SERVICES, { name: API_SERVICE }, { signal });
    const service = found?.spec?.service;
    if (found === null) {
      this.#refuse(
        refused(
          'ExternalMetricsNotServed',
          `there is no APIService ${API_SERVICE}: install the chart with externalMetrics.enabled`,
        ),
      );
      return;
    }
    if (service?.name !== EXTERNAL_METRICS_SERVICE || service.namespace !== namespace) {
      const owner = `${service?.namespace ?? ''}/${service?.name ?? 'the API server itself'}`;
      this.#refuse(
        refused(
          'ExternalMetricsElsewhere',
          `external.metrics.k8s.io is served by ${owner}, and one adapter of a cluster can: write scale.by: keda where that is KEDA's, or scale.by: dormouse`,
        ),
      );
      return;
    }
    const caBundle = Buffer.from(credentials().ca).toString('base64');
    if (found.spec?.caBundle !== caBundle) {
      const body = { spec: { caBundle } };
      await client.patch(API_SERVICES, { name: API_SERVICE }, { type: 'merge', body }, { signal });
    }
    this.#refuse(null);
  }

  #refuse(refusal: Refusal): void {
    if (JSON.stringify(refusal) === JSON.stringify(this.#refusal)) return;
    this.#refusal = refusal;
    this.#options.changed();
  }

  /** There are new certificates. */
  setCredentials(): void {
    if (this.#header !== null) this.#server?.setCredentials(this.#options.credentials(), this.#header);
  }

  async close(): Promise<void> {
    await this.#server?.close();
  }
}

function refused(reason: string, message: string): Refusal {
  return { reason, message: `scale.by is hpa, but ${message}` };
}
