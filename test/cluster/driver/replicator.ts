/**
 * A kind of a user's own with a scale subresource, as Argo's Rollout is one, and the small controller that makes its pods. Its number of replicas is at a place
 * of its own, so that only /scale tells it.
 */
import { setTimeout as delay } from 'node:timers/promises';
import type { ApiClient } from '../../../src/kubernetes/api-client.ts';
import type { KubernetesObject, Resource } from '../../../src/kubernetes/client.ts';
import { CUSTOM_RESOURCES, PODS } from '../../../src/kubernetes/resources.ts';
import { appObjects, until, type Cluster } from '../machine/index.ts';

const GROUP = 'driver.dormouse.test';
const RESOURCE: Resource = { group: GROUP, version: 'v1', plural: 'replicators', kind: 'Replicator', namespaced: true };

interface ReplicatorObject extends KubernetesObject {
  spec: { size?: number };
}

const schema = {
  type: 'object',
  properties: {
    spec: { type: 'object', properties: { size: { type: 'integer' } } },
    status: { type: 'object', properties: { size: { type: 'integer' }, selector: { type: 'string' } } },
  },
};

const CRD = {
  apiVersion: 'apiextensions.k8s.io/v1',
  kind: 'CustomResourceDefinition',
  metadata: { name: `replicators.${GROUP}` },
  spec: {
    group: GROUP,
    scope: 'Namespaced',
    names: { plural: 'replicators', singular: 'replicator', kind: 'Replicator' },
    versions: [
      {
        name: 'v1',
        served: true,
        storage: true,
        schema: { openAPIV3Schema: schema },
        subresources: {
          status: {},
          scale: {
            specReplicasPath: '.spec.size',
            statusReplicasPath: '.status.size',
            labelSelectorPath: '.status.selector',
          },
        },
      },
    ],
  },
};

export class Replicator implements AsyncDisposable {
  readonly target = { apiVersion: `${GROUP}/v1`, kind: 'Replicator' };
  readonly #client: ApiClient;
  readonly #ending = new AbortController();
  #turn: Promise<void> = Promise.resolve();

  private constructor(client: ApiClient) {
    this.#client = client;
  }

  static async install(cluster: Cluster, client: ApiClient): Promise<Replicator> {
    await cluster.apply([CRD]);
    await until('the kind is served', async () => {
      const { status } = await cluster.request('GET', `/apis/${GROUP}/v1/replicators`);
      return status === 200;
    });
    const replicator = new Replicator(client);
    const informer = client.informer<ReplicatorObject>(RESOURCE);
    informer.onChange(({ type, object }) => {
      if (type !== 'removed') replicator.#turn = replicator.#turn.then(() => replicator.#untilReconciled(object));
    });
    informer.start(replicator.#ending.signal);
    await informer.synced(replicator.#ending.signal);
    return replicator;
  }

  object(name: string, size: number): object {
    return { ...this.target, metadata: { name }, spec: { size } };
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#ending.abort();
    await this.#turn;
    await this.#client.delete(CUSTOM_RESOURCES, { name: CRD.metadata.name });
  }

  /** As controllers do: a failure is tried again. */
  async #untilReconciled({ metadata }: ReplicatorObject): Promise<void> {
    const name = { namespace: metadata.namespace!, name: metadata.name };
    for (let tries = 0; tries < 20 && !this.#ending.signal.aborted; tries++) {
      try {
        const object = await this.#client.get<ReplicatorObject>(RESOURCE, name);
        if (object !== null) await this.#reconcile(object);
        return;
      } catch {
        await delay(100);
      }
    }
  }

  async #reconcile({ metadata, spec }: ReplicatorObject): Promise<void> {
    const { name } = metadata;
    const namespace = metadata.namespace!;
    const { size = 0 } = spec;
    const labelSelector = `app=${name}`;
    const [deployment] = appObjects({ name, terminationGracePeriodSeconds: 1 }) as [
      { spec: { template: { metadata: object; spec: object } } },
    ];
    const { items } = await this.#client.list(PODS, { namespace, labelSelector });
    const there = items.filter((pod) => pod.metadata.deletionTimestamp === undefined);
    for (let number = there.length; number < size; number++) {
      const { template } = deployment.spec;
      const pod = {
        apiVersion: 'v1',
        kind: 'Pod',
        metadata: { ...template.metadata, generateName: `${name}-` },
        spec: template.spec,
      };
      await this.#client.create(PODS, pod, { namespace });
    }
    for (const pod of there.slice(size)) await this.#client.delete(PODS, { namespace, name: pod.metadata.name });
    const status = { size: there.length, selector: labelSelector };
    await this.#client
      .patch(RESOURCE, { namespace, name }, { type: 'merge', body: { status } }, { subresource: 'status' })
      .catch(() => {});
  }
}
