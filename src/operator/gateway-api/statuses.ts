/** A status as it is to be written: what belongs to others stays, a condition that is as it was keeps its time, and what is already so is not written at all. */
import { isDeepStrictEqual } from 'node:util';
import type { KubernetesObject } from '../../kubernetes/client.ts';
import type { Condition } from '../backend-object.ts';
import {
  GATEWAY_GROUP,
  type Gateway,
  type GatewayClass,
  type ParentReference,
  type PolicyAncestorStatus,
  type Route,
  type RouteFilterObject,
  type RouteParentStatus,
  type RoutePolicyObject,
} from './objects.ts';
import type { NewCondition, StatusOf } from './translation.ts';

/** Conditions that are ours and go when they don't hold. */
const COME_AND_GO: ReadonlySet<string> = new Set(['OverlappingTLSConfig', 'PartiallyInvalid', 'SupportedVersion']);
/** The schema's bounds. */
const MAX_CONDITIONS = 8;
const MAX_PARENTS = 32;
const MAX_ANCESTORS = 16;

/**
 * The merge patch that brings `object` (as it is now) to this status, with its resourceVersion as precondition; null: it has it, or somebody has seen a newer generation of it
 * than `wanted` was made from.
 */
export function statusPatch(wanted: StatusOf, object: KubernetesObject, nowMs: number): object | null {
  const { generation = 0, resourceVersion } = object.metadata;
  if (generation !== (wanted.object.metadata.generation ?? 0)) return null;
  const now = `${new Date(nowMs).toISOString().slice(0, 19)}Z`;
  const status = merged(wanted, object, now);
  const before = ((object as { status?: object }).status ?? {}) as Record<string, unknown>;
  const same = Object.entries(status).every(([key, value]) =>
    isDeepStrictEqual(before[key] ?? (Array.isArray(value) && value.length === 0 ? value : undefined), value),
  );
  if (same || seenNewer(before, generation)) return null;
  return { metadata: { resourceVersion }, status };
}

function merged(wanted: StatusOf, object: KubernetesObject, now: string): Record<string, unknown> {
  switch (wanted.kind) {
    case 'GatewayClass': {
      const before = (object as GatewayClass).status;
      const { conditions, supportedFeatures } = wanted.status;
      return { conditions: mergeConditions(before?.conditions, conditions, now), supportedFeatures };
    }
    case 'Gateway': {
      const before = (object as Gateway).status;
      const { addresses, conditions, listeners } = wanted.status;
      return {
        addresses,
        conditions: mergeConditions(before?.conditions, conditions, now),
        listeners: listeners.map((listener) => ({
          ...listener,
          conditions: mergeConditions(
            before?.listeners?.find(({ name }) => name === listener.name)?.conditions,
            listener.conditions,
            now,
          ),
        })),
      };
    }
    case 'RouteFilter': {
      const before = (object as RouteFilterObject).status;
      return {
        observedGeneration: object.metadata.generation ?? 0,
        conditions: mergeConditions(before?.conditions, wanted.status.conditions, now),
      };
    }
    case 'RoutePolicy': {
      const before = (object as RoutePolicyObject).status?.ancestors ?? [];
      const others = before.filter(({ controllerName }) => controllerName !== wanted.controllerName);
      const ours = wanted.status.ancestors.map((one): PolicyAncestorStatus => {
        const known = before.find(
          ({ controllerName, ancestorRef }) =>
            controllerName === wanted.controllerName && isDeepStrictEqual(ancestorRef, one.ancestorRef),
        );
        return { ...one, conditions: mergeConditions(known?.conditions, one.conditions, now) };
      });
      return { ancestors: [...others, ...ours].slice(0, MAX_ANCESTORS) };
    }
    default: {
      const before = (object as Route).status?.parents ?? [];
      const { parents } = wanted.status;
      const controller = wanted.controllerName;
      const others = before.filter(({ controllerName }) => controllerName !== controller);
      const ours = parents.map((parent): RouteParentStatus => {
        const known = before.find(
          (one) => one.controllerName === controller && isSameParent(one.parentRef, parent.parentRef),
        );
        return {
          ...parent,
          // As the server completed it: otherwise each look would find a difference.
          parentRef: known?.parentRef ?? parent.parentRef,
          conditions: mergeConditions(known?.conditions, parent.conditions, now),
        };
      });
      return { parents: [...others, ...ours].slice(0, MAX_PARENTS) };
    }
  }
}

function mergeConditions(
  before: readonly Condition[] | undefined,
  wanted: readonly NewCondition[],
  now: string,
): Condition[] {
  const left = new Map(wanted.map((one) => [one.type, one]));
  const result: Condition[] = [];
  for (const known of before ?? []) {
    const next = left.get(known.type);
    left.delete(known.type);
    if (next === undefined) {
      if (!COME_AND_GO.has(known.type)) result.push(known);
    } else result.push({ ...next, lastTransitionTime: known.status === next.status ? known.lastTransitionTime : now });
  }
  for (const next of left.values()) result.push({ ...next, lastTransitionTime: now });
  return result.slice(0, MAX_CONDITIONS);
}

/** Somebody who writes these conditions, another replica say, has seen a generation that is not here yet. */
function seenNewer(status: unknown, generation: number): boolean {
  const { conditions = [] } = status as { conditions?: Condition[] };
  return conditions.some(
    ({ type, observedGeneration = 0 }) =>
      (type === 'Accepted' || type === 'Programmed') && observedGeneration > generation,
  );
}

function isSameParent(a: ParentReference, b: ParentReference): boolean {
  return (
    (a.group ?? GATEWAY_GROUP) === (b.group ?? GATEWAY_GROUP) &&
    (a.kind ?? 'Gateway') === (b.kind ?? 'Gateway') &&
    a.namespace === b.namespace &&
    a.name === b.name &&
    a.sectionName === b.sectionName &&
    a.port === b.port
  );
}
