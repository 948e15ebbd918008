/**
 * What an operator that does not lead does for gateways: it wakes. A wake never waits for a Lease; that two operators write the same number at once does no harm, since both have seen zero.
 * Everything else is the leader's.
 */
import type { Informer, KubernetesClient, Scale } from '../kubernetes/client.ts';
import { isReason } from '../kubernetes/api-error.ts';
import type { UpMessage } from '../link/messages.ts';
import type { BackendConfig, KubernetesConfig } from '../model/config.ts';
import type { Logger } from '../model/ports.ts';
import type { BackendObject } from './backend-object.ts';
import type { Compiled } from './backends.ts';
import { portName } from './in-place-config.ts';
import type { Service } from './kinds.ts';
import { routablePorts } from './service-plan.ts';
import type { WokenPods } from './woken-pods.ts';

/** For one wake, ms: the gateway asks again. */
const WAKE_MS = 10_000;
/** KEDA writes by itself what it has heard; one that is away is stood in for after this, ms. */
const KEDA_WAKES_WITHIN_MS = 3000;
/** Wakes under way at once; more are left to the leader. */
const MOST_WAKES = 100;

export interface StandbyDeps {
  client: KubernetesClient;
  logger: Logger;
  objects: Informer<BackendObject>;
  services: Informer<Service>;
  compile(object: BackendObject): Compiled;
  /** Tells the pods of what is woken while nobody leads. */
  pods: Pick<WokenPods, 'follow'>;
  /** Somebody waits for this backend: KEDA hears of it, if it listens for it here. */
  wanted(backend: string): void;
  /** Shorter ones are for tests. */
  kedaWakesWithinMs?: number;
}

export class Standby {
  readonly #deps: StandbyDeps;
  readonly #waking = new Set<string>();

  constructor(deps: StandbyDeps) {
    this.#deps = deps;
  }

  receive(message: UpMessage): void {
    if (message.type !== 'wake') return;
    // A further port's name comes behind a colon.
    const key = message.backend.split(':')[0]!;
    // First of all: whoever listens for another backend hears nothing of it.
    this.#deps.wanted(key);
    if (message.alone === true) this.#follow(key);
    if (this.#waking.has(key) || this.#waking.size >= MOST_WAKES) return;
    this.#waking.add(key);
    this.#wake(key)
      .catch((error: unknown) => {
        this.#deps.logger.warn('a wake by an operator that does not lead failed', {
          backend: key,
          reason: error instanceof Error ? error.message : String(error),
        });
      })
      .finally(() => this.#waking.delete(key));
  }

  #find(key: string): { object: BackendObject; backend: BackendConfig; kubernetes: KubernetesConfig } | null {
    const [namespace = '', name = ''] = key.split('/');
    const object = this.#deps.objects.get(namespace, name);
    if (object === undefined || object.metadata.deletionTimestamp !== undefined) return null;
    const compiled = this.#deps.compile(object);
    if (!compiled.ok || compiled.backend.source.driver !== 'kubernetes') return null;
    return { object, backend: compiled.backend, kubernetes: compiled.backend.source.kubernetes };
  }

  #follow(key: string): void {
    const found = this.#find(key);
    if (found === null) return;
    const { backend, kubernetes } = found;
    const { namespace, service } = kubernetes;
    const [main, ...further] = routablePorts(
      service === null ? undefined : this.#deps.services.get(namespace, service),
    );
    const protocol = main?.protocol ?? backend.endpoints.protocol;
    const ports = further.map((port) => ({ name: portName(port), protocol: port.protocol }));
    this.#deps.pods.follow({ ...backend, endpoints: { ...backend.endpoints, protocol }, ports });
  }

  async #wake(key: string): Promise<void> {
    const found = this.#find(key);
    if (found === null) return;
    const { object, backend, kubernetes } = found;
    if (backend.scale.by === 'keda') {
      const { kedaWakesWithinMs = KEDA_WAKES_WITHIN_MS } = this.#deps;
      await new Promise((resolve) => setTimeout(resolve, kedaWakesWithinMs).unref());
    }
    await this.#raise(kubernetes, object.status?.handover?.replicasBefore ?? 1, AbortSignal.timeout(WAKE_MS));
  }

  /** 0 -> `replicas`, if it is at zero still. */
  async #raise({ namespace, target }: KubernetesConfig, replicas: number, signal: AbortSignal): Promise<void> {
    const { client, logger } = this.#deps;
    const resource = await client.resourceOf(target.apiVersion, target.kind, signal);
    if (resource === null) return;
    const name = { namespace, name: target.name };
    const scale = await client.get<Scale>(resource, name, { subresource: 'scale', signal });
    if (scale === null || (scale.spec.replicas ?? 0) > 0) return;
    const { resourceVersion } = scale.metadata;
    const wanted = Math.max(1, replicas);
    try {
      await client.patch(
        resource,
        name,
        { type: 'merge', body: { metadata: { resourceVersion }, spec: { replicas: wanted } } },
        { subresource: 'scale', signal },
      );
      logger.info('woken by an operator that does not lead', {
        backend: `${namespace}/${target.name}`,
        replicas: wanted,
      });
    } catch (error) {
      // Somebody was first.
      if (!isReason(error, 'Conflict')) throw error;
    }
  }
}
