/** An autoscaler that scales the same target: KEDA's is paused while the target sleeps and resumed afterwards; an HPA stands still at zero by itself. */
import { isReason } from '../kubernetes/api-error.ts';
import type { Informer, KubernetesClient } from '../kubernetes/client.ts';
import { AUTOSCALERS } from '../kubernetes/resources.ts';
import type { KubernetesConfig } from '../model/config.ts';
import { SCALED_OBJECTS, type HorizontalPodAutoscaler, type ScaledObject } from './kinds.ts';
import { scales } from './target-reference.ts';

/** KEDA's: stops its loop, deletes its HPA and leaves the count as it is. Never together with `paused-replicas` (a known bug of KEDA). */
const PAUSED = 'autoscaling.keda.sh/paused';
const PAUSED_REPLICAS = 'autoscaling.keda.sh/paused-replicas';
/** Says that it was us who paused it. */
const PAUSED_BY_US = 'dormouse.dev/paused';

export interface AutoscalerDeps {
  client: KubernetesClient;
  /** null: the cluster has no KEDA. */
  scaledObjects: Informer<ScaledObject> | null;
  autoscalers: Informer<HorizontalPodAutoscaler>;
}

export type AutoscalerCheck =
  /** `made`: the scaler that was made for it, in the words of the condition. */
  | { ok: true; scaledObject: string | null; made?: { reason: string; message: string } }
  | { ok: false; reason: string; message: string };

export class Autoscaler {
  readonly #deps: AutoscalerDeps;
  readonly #config: KubernetesConfig;

  constructor(config: KubernetesConfig, deps: AutoscalerDeps) {
    this.#deps = deps;
    this.#config = config;
  }

  /** Whether what scales the target lets it sleep. `own`: name of the ScaledObject that asks dormouse and goes to zero by its word. */
  check(own: string | null = null): AutoscalerCheck {
    const { namespace, target, autoscaler } = this.#config;
    const named = autoscaler === null ? undefined : this.#scaledObject;
    if (autoscaler !== null && this.#deps.scaledObjects === null) {
      return refused(
        'KedaNotInstalled',
        `kubernetes.autoscaler names a ScaledObject, but this cluster has no KEDA. Install it, or remove the key`,
      );
    }
    if (autoscaler !== null && named === undefined) {
      return refused(
        'AutoscalerNotFound',
        `there is no ScaledObject ${autoscaler.name} in namespace ${namespace}. Create it, or correct kubernetes.autoscaler.name`,
      );
    }
    for (const other of this.#deps.scaledObjects?.list(namespace) ?? []) {
      if (other.metadata.namespace !== namespace || other.metadata.name === autoscaler?.name) continue;
      if (other.metadata.name === own) continue;
      if (!scales(other.spec.scaleTargetRef, target)) continue;
      return refused(
        'AutoscalerNotNamed',
        `ScaledObject ${other.metadata.name} scales ${target.kind} ${target.name} and would wake it. Name it: kubernetes.autoscaler: { kind: ScaledObject, name: ${other.metadata.name} }`,
      );
    }
    if (named !== undefined) {
      const { minReplicaCount = 0, idleReplicaCount } = named.spec;
      if (!scales(named.spec.scaleTargetRef, target)) {
        return refused(
          'AutoscalerForAnother',
          `ScaledObject ${named.metadata.name} scales ${named.spec.scaleTargetRef?.kind ?? 'Deployment'} ${named.spec.scaleTargetRef?.name ?? ''}, not ${target.kind} ${target.name}`,
        );
      }
      if (minReplicaCount < 1 || idleReplicaCount === 0) {
        return refused(
          'AutoscalerScalesToZero',
          `ScaledObject ${named.metadata.name} goes to zero by itself (${minReplicaCount < 1 ? `minReplicaCount is ${minReplicaCount}` : 'idleReplicaCount is 0'}) and would end what was just woken. Set minReplicaCount to 1 or more and remove idleReplicaCount, or use scale.by: keda`,
        );
      }
    }
    for (const hpa of this.#deps.autoscalers.list(namespace)) {
      if (hpa.metadata.namespace !== namespace || !scales(hpa.spec.scaleTargetRef, target)) continue;
      if (hpa.spec.minReplicas === 0) {
        return refused(
          'AutoscalerScalesToZero',
          `HorizontalPodAutoscaler ${hpa.metadata.name} has minReplicas 0 and would wake what sleeps. Set it to 1 or more: at zero replicas an HPA stands still by itself`,
        );
      }
    }
    return { ok: true, scaledObject: autoscaler?.name ?? null };
  }

  get #scaledObject(): ScaledObject | undefined {
    const { namespace, autoscaler } = this.#config;
    return autoscaler === null ? undefined : this.#deps.scaledObjects?.get(namespace, autoscaler.name);
  }

  /** Whether somebody else has paused it: it is left as it is. */
  get isPausedByOthers(): boolean {
    const annotations = this.#scaledObject?.metadata.annotations ?? {};
    const paused = annotations[PAUSED] !== undefined || annotations[PAUSED_REPLICAS] !== undefined;
    return paused && annotations[PAUSED_BY_US] === undefined;
  }

  /** Whether `pause` has something to do. */
  get willPause(): boolean {
    const check = this.check();
    return check.ok && check.scaledObject !== null && !this.isPausedByOthers;
  }

  /** Asks KEDA to stand still. Nothing to do without a ScaledObject, or when somebody else has paused it. */
  async pause(signal: AbortSignal): Promise<void> {
    const object = this.#scaledObject;
    if (object === undefined || this.isPausedByOthers || object.metadata.annotations?.[PAUSED] === 'true') return;
    await this.#annotate({ [PAUSED]: 'true', [PAUSED_BY_US]: 'true' }, signal);
  }

  /** KEDA says that it is paused, and its HPA is gone: the condition alone is written before that. */
  async isPaused(signal: AbortSignal): Promise<boolean> {
    const object = this.#scaledObject;
    if (object === undefined) return true;
    const { conditions = [], hpaName } = object.status ?? {};
    if (!conditions.some(({ type, status }) => type === 'Paused' && status === 'True')) return false;
    const name = hpaName === undefined || hpaName === '' ? `keda-hpa-${object.metadata.name}` : hpaName;
    return (await this.#deps.client.get(AUTOSCALERS, { namespace: this.#config.namespace, name }, { signal })) === null;
  }

  /** Takes back what `pause` did; nothing else. */
  async resume(signal: AbortSignal): Promise<void> {
    if (this.#scaledObject?.metadata.annotations?.[PAUSED_BY_US] === undefined) return;
    try {
      await this.#annotate({ [PAUSED]: null, [PAUSED_BY_US]: null }, signal);
    } catch (error) {
      if (!isReason(error, 'NotFound')) throw error;
    }
  }

  async #annotate(annotations: Record<string, string | null>, signal: AbortSignal): Promise<void> {
    const { namespace, autoscaler } = this.#config;
    if (autoscaler === null) return;
    await this.#deps.client.patch(
      SCALED_OBJECTS,
      { namespace, name: autoscaler.name },
      { type: 'merge', body: { metadata: { annotations } } },
      { signal },
    );
  }
}

function refused(reason: string, message: string): AutoscalerCheck {
  return { ok: false, reason, message };
}
