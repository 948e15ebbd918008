/** Makes, changes and removes what scales Backends, and knows KEDA's side of it. */
import { isReason } from '../../kubernetes/api-error.ts';
import type { Informer, KubernetesClient } from '../../kubernetes/client.ts';
import { AUTOSCALERS } from '../../kubernetes/resources.ts';
import type { BackendConfig, ScaleConfig } from '../../model/config.ts';
import type { ScaleMetric } from '../../model/demand.ts';
import { orAwake } from '../../model/scale-metrics.ts';
import type { Clock } from '../../model/ports.ts';
import { keyOf, type BackendObject } from '../backend-object.ts';
import { SCALED_OBJECTS, type HorizontalPodAutoscaler, type ScaledObject } from '../kinds.ts';
import { isOurs, type ScalerAddress } from './objects.ts';
import { planScaler, type ScalerPlan } from './plan.ts';

/** Of fields that server-side apply owns. */
const FIELD_MANAGER = 'dormouse';
/** What KEDA takes when a ScaledObject doesn't say, s. */
const KEDA_POLLING_S = 30;
const KEDA_COOLDOWN_S = 300;
/** Beyond two looks and the cooldown: for a KEDA that is slow, ms. */
const ZERO_MARGIN_MS = 30_000;

export interface ScalersDeps {
  client: KubernetesClient;
  clock: Clock;
  autoscalers: Informer<HorizontalPodAutoscaler>;
  /** null: the cluster has no KEDA. */
  scaledObjects(): Informer<ScaledObject> | null;
  controller: {
    scaledBy(name: string): ScaleConfig['by'] | null;
    scaleMetrics(name: string): ScaleMetric[] | null;
    wanted(name: string): boolean | null;
  };
  keda(): ScalerAddress | { problem: string };
  /** Why external metrics are not read from us; null: they are. */
  externalMetrics(): { reason: string; message: string } | null;
}

type Listener = (isGone: boolean) => void;

export class Scalers {
  readonly #deps: ScalersDeps;
  /** By backend. */
  readonly #scaledObjects = new Map<string, string>();
  readonly #listeners = new Map<string, Set<Listener>>();
  #stop: (() => void) | null = null;

  constructor(deps: ScalersDeps) {
    this.#deps = deps;
  }

  /** What is to be done; reads only what is known already. `backend`: as it is written. */
  plan(object: BackendObject, backend: BackendConfig): ScalerPlan {
    const { source } = backend;
    const key = keyOf(object);
    if (source.driver !== 'kubernetes') {
      return { by: backend.scale.by, changing: null, check: null, scaledObject: null, todo: null };
    }
    const { controller, keda, externalMetrics, clock } = this.#deps;
    const namespace = object.metadata.namespace ?? '';
    const metrics = controller.scaleMetrics(key);
    const plan = planScaler({
      object,
      backend,
      kubernetes: source.kubernetes,
      inForce: controller.scaledBy(key),
      metrics: metrics === null ? null : orAwake(metrics, controller.wanted(key) === true, clock.wallMs()),
      scaledObjects: this.#scaledObjectsOf(namespace),
      autoscalers: [...this.#deps.autoscalers.list(namespace)].filter(
        ({ metadata }) => metadata.namespace === namespace,
      ),
      keda: keda(),
      externalMetrics: backend.scale.by === 'hpa' ? externalMetrics() : null,
    });
    if (plan.scaledObject === null) this.#scaledObjects.delete(key);
    else this.#scaledObjects.set(key, `${namespace}/${plan.scaledObject}`);
    return plan;
  }

  #scaledObjectsOf(namespace: string): ScaledObject[] | null {
    const informer = this.#deps.scaledObjects();
    if (informer === null) return null;
    return [...informer.list(namespace)].filter(({ metadata }) => metadata.namespace === namespace);
  }

  /** Names and targets of what it is scaled by, for comparing; '': not known. */
  metricsKey(key: string): string {
    return (this.#deps.controller.scaleMetrics(key) ?? []).map(({ name, target }) => `${name}=${target}`).join(',');
  }

  /** Does what the plan says. Rejects as the API server does. */
  async act({ todo }: ScalerPlan, signal: AbortSignal): Promise<void> {
    if (todo === null) return;
    const { client } = this.#deps;
    const { kind, metadata } = todo.object as ScaledObject;
    const resource = kind === 'ScaledObject' ? SCALED_OBJECTS : AUTOSCALERS;
    const name = { namespace: metadata.namespace ?? '', name: metadata.name };
    if (todo.action === 'apply') {
      const patch = { type: 'apply', body: todo.object, fieldManager: FIELD_MANAGER, force: true } as const;
      await client.patch(resource, name, patch, { signal });
      return;
    }
    await this.#delete(todo.object, signal);
  }

  /** Of an object that is being deleted: everything that was made for it. */
  async remove(object: BackendObject, signal: AbortSignal): Promise<void> {
    const namespace = object.metadata.namespace ?? '';
    for (const one of [...(this.#scaledObjectsOf(namespace) ?? []), ...this.#deps.autoscalers.list(namespace)]) {
      const isKept = one.metadata.namespace !== namespace || !isOurs(one, object);
      if (!isKept && one.metadata.deletionTimestamp === undefined) await this.#delete(one, signal);
    }
    this.#scaledObjects.delete(keyOf(object));
  }

  async #delete({ kind, metadata }: ScaledObject | HorizontalPodAutoscaler, signal: AbortSignal): Promise<void> {
    const resource = kind === 'ScaledObject' ? SCALED_OBJECTS : AUTOSCALERS;
    try {
      const name = { namespace: metadata.namespace ?? '', name: metadata.name };
      await this.#deps.client.delete(resource, name, { uid: metadata.uid, signal });
    } catch (error) {
      // Another one of the same name, which is not ours.
      if (!isReason(error, 'Conflict', 'NotFound')) throw error;
    }
  }

  // ---- what KEDA does, for drivers

  zeroWithinMs(backend: string): number {
    const { pollingInterval = KEDA_POLLING_S, cooldownPeriod = KEDA_COOLDOWN_S } =
      this.#scaledObject(backend)?.spec ?? {};
    return (2 * pollingInterval + cooldownPeriod) * 1000 + ZERO_MARGIN_MS;
  }

  onActed(backend: string, listener: Listener): () => void {
    const own: Listener = (isGone) => listener(isGone);
    const known = this.#listeners.get(backend) ?? new Set();
    this.#listeners.set(backend, known.add(own));
    return () => {
      known.delete(own);
      if (known.size === 0 && this.#listeners.get(backend) === known) this.#listeners.delete(backend);
    };
  }

  #scaledObject(backend: string): ScaledObject | undefined {
    const [namespace = '', name = ''] = (this.#scaledObjects.get(backend) ?? '').split('/');
    return this.#deps.scaledObjects()?.get(namespace, name);
  }

  /** Begins to listen to ScaledObjects. */
  watch(informer: Informer<ScaledObject>): void {
    this.#stop?.();
    this.#stop = informer.onChange((change) => {
      if (this.#listeners.size === 0) return;
      const { object } = change;
      const isGone = change.type === 'removed';
      const hasActed =
        change.type === 'changed' && change.before.status?.lastActiveTime !== object.status?.lastActiveTime;
      if (!isGone && !hasActed) return;
      const key = keyOf(object);
      for (const [backend, listeners] of this.#listeners) {
        if (this.#scaledObjects.get(backend) === key) for (const listener of [...listeners]) listener(isGone);
      }
    });
  }

  close(): void {
    this.#stop?.();
    this.#listeners.clear();
  }
}

/** Whether a change of a ScaledObject is one that plans may change by: KEDA notes with each look when it was active last. */
export function isNews(before: ScaledObject, after: ScaledObject): boolean {
  return newsOf(before) !== newsOf(after);
}

function newsOf({ metadata, spec, status }: ScaledObject): string {
  const conditions = (status?.conditions ?? [])
    .filter(({ type }) => type === 'Ready' || type === 'Paused')
    .map((condition) => [condition.type, condition.status, condition.reason, condition.message]);
  return JSON.stringify([
    metadata.deletionTimestamp,
    metadata.annotations,
    metadata.labels,
    spec,
    status?.hpaName,
    status?.externalMetricNames,
    conditions,
  ]);
}
