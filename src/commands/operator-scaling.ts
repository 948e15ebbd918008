/** What KEDA and HPAs ask of this operator, put together: the scaler's port, what KEDA needs to reach it, and the leader for a replica that does not lead. */
import { LeaderClient } from '../apis/keda/leader-client.ts';
import { serveScaler, type ScalerServer } from '../apis/keda/scaler-server.ts';
import { LeaderFigures } from '../apis/scale/leader-figures.ts';
import { ReplicaFigures } from '../apis/scale/replica-figures.ts';
import type { KubernetesClient } from '../kubernetes/client.ts';
import type { MetricFamily } from '../model/metrics.ts';
import type { Clock, Logger } from '../model/ports.ts';
import type { LinkCertificates } from '../operator/link-certificates.ts';
import type { OperatorOptions } from '../operator/operator.ts';
import { KedaSetup } from '../operator/scalers/keda-setup.ts';
import { OperatorExternalMetrics } from './operator-external-metrics.ts';
import type { OperatorFlags } from './operator-options.ts';

export interface OperatorScalingOptions {
  client: KubernetesClient;
  clock: Clock;
  logger: Logger;
  flags: OperatorFlags;
  /** Where the operator runs. */
  namespace: string;
  certificates: LinkCertificates;
  /** Address of the pod that leads; null: nobody does, or it is this one. */
  leader(): string | null;
  /** How it is reached is another thing now. */
  changed(): void;
  signal: AbortSignal;
}

export class OperatorScaling {
  readonly #options: OperatorScalingOptions;
  readonly #others: LeaderClient;
  readonly #figures: ReplicaFigures;
  readonly #setup: KedaSetup;
  readonly #metrics: OperatorExternalMetrics;
  #own: LeaderFigures | null = null;
  #server: ScalerServer | null = null;

  constructor(options: OperatorScalingOptions) {
    const { client, logger, flags, namespace, certificates } = options;
    this.#options = options;
    const host = `${flags.service}.${namespace}.svc`;
    this.#others = new LeaderClient({
      leader: () => {
        const address = options.leader();
        return address === null ? null : { host: address, port: flags.scaler.port };
      },
      serverName: host,
      credentials: () => certificates.clientCredentials,
      logger,
    });
    this.#figures = new ReplicaFigures(this.#others);
    this.#setup = new KedaSetup({
      client,
      logger,
      namespace: flags.kedaNamespace,
      address: `${host}:${flags.scaler.port}`,
      certificates,
      changed: () => options.changed(),
    });
    this.#metrics = new OperatorExternalMetrics({
      client,
      clock: options.clock,
      logger,
      address: flags.externalMetrics,
      namespace,
      figures: this.#figures,
      credentials: () => certificates.credentials,
      changed: () => options.changed(),
    });
  }

  /** Listens before any ScaledObject is made. */
  async start(): Promise<void> {
    const { flags, logger, certificates } = this.#options;
    this.#server = await serveScaler({
      address: flags.scaler,
      credentials: certificates.credentials,
      figures: this.#figures,
      logger,
    });
    this.#others.start();
    void this.#metrics.run(this.#options.signal);
  }

  setCredentials(): void {
    this.#server?.setCredentials(this.#options.certificates.credentials);
    this.#metrics.setCredentials();
  }

  get options(): Pick<OperatorOptions, 'keda' | 'kedaFound' | 'externalMetrics' | 'figures'> {
    return {
      keda: () => this.#setup.state,
      kedaFound: () => this.#setup.begin(this.#options.signal),
      externalMetrics: () => this.#metrics.refusal,
      figures: {
        lead: (leading) => {
          this.#own?.close();
          this.#own =
            leading === null
              ? null
              : new LeaderFigures({
                  clock: this.#options.clock,
                  controller: leading.controller,
                  refresh: leading.refresh,
                });
          this.#figures.lead(this.#own);
        },
        wanted: (backend) => this.#figures.wanted(backend),
        // Of a leader that is none any more nothing is known.
        wasTold: (backend) => this.#own?.wasTold(backend) ?? true,
      },
    };
  }

  families(): MetricFamily[] {
    return [
      {
        name: 'dormouse_scaler_streams',
        help: 'ScaledObjects of KEDA that listen to this operator.',
        type: 'gauge',
        series: [{ labels: {}, value: this.#server?.streams ?? 0 }],
      },
    ];
  }

  async close(): Promise<void> {
    await Promise.all([this.#server?.close(), this.#metrics.close()]);
    this.#figures.close();
    this.#others.close();
  }
}
