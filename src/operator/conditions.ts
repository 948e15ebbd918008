/** Conditions of a Backend object (metav1.Condition): what holds, since when, and what to do when something does not. */
import type { Condition } from './backend-object.ts';

export type ConditionType =
  /** The object can be used: valid, and nobody else's. */
  | 'Accepted'
  /** The target is there and can be scaled. */
  | 'TargetReady'
  /** The Service can be redirected, or none is needed. */
  | 'ServiceReady'
  /** What scales the target lets it sleep. */
  | 'AutoscalerReady'
  /** Something can say that it is idle. */
  | 'IdleSource'
  /** The sources of its triggers can be asked. Only where there are triggers. */
  | 'TriggersReady'
  /** Its pods can't start. */
  | 'Crashing'
  /** No NetworkPolicy stands between gateways and its pods; Unknown when one may. Says nothing about Ready. */
  | 'PodsReachable'
  /** All of the above are as they should be. */
  | 'Ready';

export interface Finding {
  type: ConditionType;
  status: 'True' | 'False' | 'Unknown';
  /** CamelCase. */
  reason: string;
  /** One or two sentences for people; cut to 1,000 characters. */
  message: string;
}

const MOST = 1000;

/** Conditions as they are to be written: one that is as it was keeps its time. */
export function conditionsOf(
  findings: readonly Finding[],
  before: readonly Condition[],
  generation: number | undefined,
  nowMs: number,
): Condition[] {
  const now = new Date(Math.floor(nowMs / 1000) * 1000).toISOString().replace('.000Z', 'Z');
  return findings.map(({ type, status, reason, message }) => {
    const known = before.find((one) => one.type === type);
    return {
      type,
      status,
      reason,
      message: message.slice(0, MOST),
      lastTransitionTime: known?.status === status ? known.lastTransitionTime : now,
      ...(generation === undefined ? {} : { observedGeneration: generation }),
    };
  });
}

/** Adds Ready: true when nothing stands against it. */
export function withReady(findings: readonly Finding[]): Finding[] {
  const wrong = findings.find(
    ({ type, status }) => type !== 'PodsReachable' && status !== (type === 'Crashing' ? 'False' : 'True'),
  );
  return [
    ...findings,
    wrong === undefined
      ? { type: 'Ready', status: 'True', reason: 'Ready', message: 'it sleeps when it is idle and wakes on demand' }
      : { type: 'Ready', status: 'False', reason: wrong.reason, message: wrong.message },
  ];
}
