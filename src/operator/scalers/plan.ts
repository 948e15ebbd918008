/**
 * What is to be done next about who scales a Backend, from what there is. One thing at a time, and never two that scale: the former one is seen to be gone before the next one
 * acts, and in between the number of instances stays and the backend stays awake.
 */
import { isDeepStrictEqual } from 'node:util';
import type { BackendConfig, KubernetesConfig, ScaleConfig } from '../../model/config.ts';
import type { ScaleMetric } from '../../model/demand.ts';
import type { BackendObject } from '../backend-object.ts';
import type { HorizontalPodAutoscaler, ScaledObject } from '../kinds.ts';
import { scales } from '../target-reference.ts';
import { MAX_LABEL, asksUs, autoscalerOf, isAsWanted, isOurs, scaledObjectOf, type ScalerAddress } from './objects.ts';

export interface ScalerFacts {
  object: BackendObject;
  /** As its author wrote it. */
  backend: BackendConfig;
  kubernetes: KubernetesConfig;
  /** Who scales it as the controller knows it; null: it does not know it yet. */
  inForce: ScaleConfig['by'] | null;
  /** What it is scaled by; null: not known yet. */
  metrics: readonly ScaleMetric[] | null;
  /** Of its namespace; null: the cluster has no KEDA. */
  scaledObjects: readonly ScaledObject[] | null;
  autoscalers: readonly HorizontalPodAutoscaler[];
  keda: ScalerAddress | { problem: string };
  /** Why external metrics are not read from us; null: they are. */
  externalMetrics: { reason: string; message: string } | null;
}

export interface ScalerPlan {
  /** Who scales it now, for the controller. */
  by: ScaleConfig['by'];
  /** Why it has to stay awake meanwhile; null: it may sleep. */
  changing: string | null;
  /** For the condition AutoscalerReady; null: there is nothing to say of it. */
  check: { ok: boolean; reason: string; message: string } | null;
  /** The ScaledObject that asks us, ours or a user's; null: none. */
  scaledObject: string | null;
  todo:
    | { action: 'delete'; object: ScaledObject | HorizontalPodAutoscaler }
    | { action: 'apply'; object: object }
    | null;
}

export function planScaler(facts: ScalerFacts): ScalerPlan {
  const { object, backend, keda, scaledObjects, autoscalers } = facts;
  const written = backend.scale.by;
  const address = 'problem' in keda ? '' : keda.address;
  const ourScaledObject = (scaledObjects ?? []).find((one) => isOurs(one, object));
  const ourAutoscaler = autoscalers.find((one) => isOurs(one, object));
  const usersScaledObject = (scaledObjects ?? []).find(
    (one) => !isOurs(one, object) && scalesIt(one.spec.scaleTargetRef, facts) && address !== '' && asksUs(one, address),
  );
  // Beside another scaler it is one that would fight.
  const scaledObject = ourScaledObject ?? (written === 'keda' ? usersScaledObject : undefined);
  const base = { scaledObject: scaledObject?.metadata.name ?? null, check: null, changing: null, todo: null };
  const former = formerOf(facts, written, ourScaledObject, ourAutoscaler);
  if (former !== null) return { ...base, ...former };
  switch (written) {
    case 'dormouse':
    case 'none':
      return { ...base, by: written };
    case 'keda':
      return { ...base, ...byKeda(facts, ourScaledObject, usersScaledObject) };
    case 'hpa':
      return { ...base, ...byHpa(facts, ourAutoscaler) };
  }
}

type Step = Partial<ScalerPlan> & Pick<ScalerPlan, 'by'>;

/** What scaled it before and is still there. */
function formerOf(
  { autoscalers, object, scaledObjects }: ScalerFacts,
  written: ScaleConfig['by'],
  ourScaledObject: ScaledObject | undefined,
  ourAutoscaler: HorizontalPodAutoscaler | undefined,
): Step | null {
  const kedas = autoscalers.find(({ metadata }) => metadata.name === `keda-hpa-${object.metadata.name}`);
  const former =
    written !== 'keda' && ourScaledObject !== undefined
      ? ourScaledObject
      : written !== 'hpa' && ourAutoscaler !== undefined
        ? ourAutoscaler
        : null;
  if (former !== null) {
    const isGoing = former.metadata.deletionTimestamp !== undefined;
    return {
      ...handingOver(`${former.kind} ${former.metadata.name} is being removed`),
      todo: isGoing ? null : { action: 'delete', object: former },
    };
  }
  // KEDA takes its own away a moment later.
  if (written !== 'keda' && kedas !== undefined && isOrphaned(kedas, scaledObjects ?? []))
    return handingOver(`KEDA's ${kedas.metadata.name} is being removed`);
  return null;
}

function isOrphaned({ metadata }: HorizontalPodAutoscaler, scaledObjects: readonly ScaledObject[]): boolean {
  const owner = metadata.ownerReferences?.find(({ kind }) => kind === 'ScaledObject');
  return owner !== undefined && !scaledObjects.some((one) => one.metadata.uid === owner.uid);
}

function handingOver(why: string): Step {
  const message = `who scales it is being changed: ${why}`;
  return { by: 'none', changing: message, check: { ok: false, reason: 'ScalerChanging', message } };
}

function refused(reason: string, message: string): Step {
  return { by: 'none', check: { ok: false, reason, message } };
}

function byKeda(facts: ScalerFacts, ours: ScaledObject | undefined, users: ScaledObject | undefined): Step {
  const { object, backend, kubernetes, inForce, metrics, scaledObjects, keda, autoscalers } = facts;
  const { name, namespace } = object.metadata;
  if (scaledObjects === null) {
    return refused(
      'KedaNotInstalled',
      'scale.by is keda, but this cluster has no KEDA. Install it, or write scale.by: dormouse',
    );
  }
  if ('problem' in keda) return refused('KedaNotSetUp', keda.problem);
  if (users !== undefined && ours === undefined) {
    return kedaActs(
      facts,
      users,
      `ScaledObject ${users.metadata.name}, which somebody else has written, scales it and asks dormouse`,
    );
  }
  const other =
    scaledObjects.find((one) => one !== ours && scalesIt(one.spec.scaleTargetRef, facts)) ??
    autoscalers.find(
      (one) =>
        !isOurs(one, object) && one.metadata.name !== kedasName(ours, name) && scalesIt(one.spec.scaleTargetRef, facts),
    );
  if (other !== undefined) {
    return refused(
      'ScalerConflict',
      `${other.kind} ${other.metadata.name} scales ${kubernetes.target.kind} ${kubernetes.target.name} already. Delete it, or let it ask dormouse (trigger external-push, backend: ${name}), or write scale.by: none`,
    );
  }
  const taken = scaledObjects.find((one) => one.metadata.name === name && one !== ours);
  if (taken !== undefined) {
    return refused(
      'ScalerConflict',
      `a ScaledObject ${name} of somebody else is in namespace ${namespace}. Delete or rename it`,
    );
  }
  if (inForce === 'dormouse') return handingOver('KEDA takes over');
  if (metrics === null) return handingOver('what it is scaled by is not known yet');
  const wanted = scaledObjectOf(object, backend, kubernetes, metrics, keda);
  if (ours === undefined)
    return { ...handingOver('its ScaledObject is being made'), todo: { action: 'apply', object: wanted } };
  const step = kedaActs(facts, ours, `ScaledObject ${name} scales it between 0 and ${Math.max(1, backend.scale.max)}`);
  return isAsWanted(ours.spec, (wanted as ScaledObject).spec)
    ? step
    : { ...step, todo: { action: 'apply', object: wanted } };
}

/** Once KEDA has looked at it. */
function kedaActs({ inForce }: ScalerFacts, { metadata, status }: ScaledObject, message: string): Step {
  const ready = status?.conditions?.find(({ type }) => type === 'Ready');
  const isKnown = (status?.externalMetricNames?.length ?? 0) > 0;
  if (!isKnown) {
    const why = ready?.status === 'False' ? `: ${ready.message ?? ready.reason ?? ''}` : '';
    return handingOver(`KEDA has not taken ScaledObject ${metadata.name} up yet${why}`);
  }
  // What is said of it is so when the controller goes by it.
  if (inForce !== 'keda') return { ...handingOver('KEDA takes over'), by: 'keda' };
  const paused = status?.conditions?.find(({ type }) => type === 'Paused');
  if (paused?.status === 'True') {
    const message = `ScaledObject ${metadata.name} is paused by somebody else, and scales nothing. Remove its annotation`;
    // Who does not write zero would not take one back either.
    return { by: 'keda', changing: message, check: { ok: false, reason: 'KedaPaused', message } };
  }
  if (ready?.status === 'False')
    return {
      by: 'keda',
      check: {
        ok: false,
        reason: 'KedaNotReady',
        message: `KEDA says of ScaledObject ${metadata.name}: ${ready.message ?? ready.reason ?? 'it is not ready'}`,
      },
    };
  return { by: 'keda', check: { ok: true, reason: 'Keda', message } };
}

function kedasName(ours: ScaledObject | undefined, name: string): string {
  const told = ours?.status?.hpaName;
  return told === undefined || told === '' ? `keda-hpa-${name}` : told;
}

function byHpa(facts: ScalerFacts, ours: HorizontalPodAutoscaler | undefined): Step {
  const { object, backend, kubernetes, inForce, metrics, externalMetrics, autoscalers, scaledObjects } = facts;
  const { name, namespace } = object.metadata;
  if (externalMetrics !== null) {
    const step = refused(externalMetrics.reason, externalMetrics.message);
    // One that reads them from somebody else would scale by something else.
    return ours === undefined || ours.metadata.deletionTimestamp !== undefined
      ? step
      : { ...step, todo: { action: 'delete', object: ours } };
  }
  if (name.length > MAX_LABEL) {
    const message = `scale.by is hpa, but its name is longer than ${MAX_LABEL} characters, which a label's value can not be. Give it a shorter one`;
    return refused('NameTooLong', message);
  }
  const other =
    (scaledObjects ?? []).find((one) => scalesIt(one.spec.scaleTargetRef, facts)) ??
    autoscalers.find((one) => one !== ours && scalesIt(one.spec.scaleTargetRef, facts));
  if (other !== undefined) {
    return refused(
      'ScalerConflict',
      `${other.kind} ${other.metadata.name} scales ${kubernetes.target.kind} ${kubernetes.target.name} already. Delete it, or write scale.by: none`,
    );
  }
  const taken = autoscalers.find((one) => one.metadata.name === name && one !== ours);
  if (taken !== undefined) {
    return refused(
      'ScalerConflict',
      `a HorizontalPodAutoscaler ${name} of somebody else is in namespace ${namespace}. Delete or rename it`,
    );
  }
  if (inForce === 'dormouse') return handingOver('an HPA takes over');
  if (metrics === null) return handingOver('what it is scaled by is not known yet');
  const wanted = autoscalerOf(object, backend, kubernetes, metrics);
  if (ours === undefined)
    return { ...handingOver('its HorizontalPodAutoscaler is being made'), todo: { action: 'apply', object: wanted } };
  const { min, max } = backend.scale;
  const step: Step = {
    by: 'hpa',
    check: {
      ok: true,
      reason: 'Hpa',
      message: `HorizontalPodAutoscaler ${name} scales it between ${Math.max(1, min)} and ${Math.max(1, min, max)}; dormouse puts it to sleep and wakes it`,
    },
  };
  return isAsWanted(ours.spec, (wanted as HorizontalPodAutoscaler).spec)
    ? step
    : { ...step, todo: { action: 'apply', object: wanted } };
}

function scalesIt(reference: ScaledObject['spec']['scaleTargetRef'], { kubernetes }: ScalerFacts): boolean {
  return scales(reference, kubernetes.target);
}

/** Whether two plans are the same for whoever looks at them, their work aside. */
export function isSamePlan(a: ScalerPlan | null, b: ScalerPlan): boolean {
  return a !== null && isDeepStrictEqual({ ...a, todo: null }, { ...b, todo: null });
}
