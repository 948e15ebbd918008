/** What is found out about a Backend object, as conditions say it: each with what to do when it is not as it should be. */
import type { AutoscalerCheck } from './autoscaler.ts';
import type { Finding } from './conditions.ts';
import type { ServicePlan } from './service-plan.ts';

export interface Facts {
  /** Kind and name. */
  target: string;
  /** Why the target can't be read or scaled; null: it can. */
  targetProblem: string | null;
  /** Of its Service; null: none is redirected. */
  plan: ServicePlan | null;
  /** Whether gateway ports were allocated for the Service. */
  hasPorts: boolean;
  /** Why a step of the handover fails; null: none does. */
  failure: string | null;
  autoscaler: AutoscalerCheck;
  /** Who can say that it is idle: the gateways, its triggers alone (no client reaches it), nothing, or idle sources, which say this against it. */
  idle: 'gateways' | 'triggers' | 'nothing' | readonly string[];
  /** Of its triggers those whose source can't be asked, and why; null: it has none. */
  troubles: readonly { name: string; reason: string }[] | null;
  /** What NetworkPolicies may keep from its pods; null: nothing. */
  concern: string | null;
  /** Why its pods do not start; null: they do. */
  crash: string | null;
}

export function invalid(problems: readonly string[]): Finding[] {
  return [no('Accepted', 'Invalid', problems.join('; '))];
}

/** `what`: the target or the Service that the older object `key` has. */
export function conflict({ what, key }: { what: string; key: string }): Finding[] {
  return [
    no(
      'Accepted',
      'Conflict',
      `${what} belongs to Backend ${key}, which is older. Delete one of the two, or name another target`,
    ),
  ];
}

/** `reason`: what a gateway says against the configuration of the cluster, which need not be about this object. */
export function refused(reason: string): Finding {
  const text = `gateways refused the configuration that this object is part of, and go on with the former one: ${reason.replace(/\.$/, '')}. It is tried again every few seconds; correct or delete what is named there`;
  return no('Accepted', 'Refused', text);
}

export function valid(): Finding[] {
  return [yes('Accepted', 'Valid', 'the object is valid')];
}

/** Of an object that is valid and scales something. */
export function findingsOf(facts: Facts): Finding[] {
  const { concern, crash } = facts;
  return [
    ...valid(),
    targetFinding(facts),
    serviceFinding(facts),
    autoscalerFinding(facts),
    idleFinding(facts),
    ...triggerFindings(facts),
    concern === null
      ? yes('PodsReachable', 'NoPolicy', 'no NetworkPolicy restricts who reaches its pods')
      : { type: 'PodsReachable', status: 'Unknown', reason: 'NetworkPolicy', message: concern },
    crash === null
      ? no('Crashing', 'No', 'its pods start')
      : { type: 'Crashing', status: 'True', reason: 'StartFailed', message: crash },
  ];
}

function targetFinding({ target, targetProblem, crash }: Facts): Finding {
  if (targetProblem !== null) return no('TargetReady', 'TargetUnusable', targetProblem);
  return crash !== null && /not found|there is no|can not be scaled|forbidden/i.test(crash)
    ? no('TargetReady', 'TargetUnusable', crash)
    : yes('TargetReady', 'Found', `${target} is scaled by its /scale subresource`);
}

function serviceFinding({ plan, hasPorts, failure, idle }: Facts): Finding {
  if (idle === 'triggers') return yes('ServiceReady', 'None', 'it has no Service and no route: its triggers wake it');
  if (plan === null) return yes('ServiceReady', 'Routed', 'routes lead to it; its Service is left alone');
  if (!plan.ok) return no('ServiceReady', plan.reason, plan.message);
  if (!hasPorts) {
    return no(
      'ServiceReady',
      'NoPortsLeft',
      'no gateway ports are left for its Service: widen the range (--gateway-ports)',
    );
  }
  return failure === null
    ? yes('ServiceReady', 'Redirectable', plan.warnings.join('; ') || 'its Service can be redirected')
    : no('ServiceReady', 'HandoverFailed', `its Service can not be redirected or handed back: ${failure}`);
}

function autoscalerFinding({ autoscaler }: Facts): Finding {
  if (!autoscaler.ok) return no('AutoscalerReady', autoscaler.reason, autoscaler.message);
  const { scaledObject, made } = autoscaler;
  if (made !== undefined) return yes('AutoscalerReady', made.reason, made.message);
  return scaledObject === null
    ? yes('AutoscalerReady', 'None', 'nothing else scales the target')
    : yes('AutoscalerReady', 'Pausable', `ScaledObject ${scaledObject} is paused while it sleeps`);
}

function idleFinding({ idle }: Facts): Finding {
  if (idle === 'gateways') return yes('IdleSource', 'Gateways', 'gateways see all of its requests');
  if (idle === 'triggers') return yes('IdleSource', 'Triggers', 'its triggers say when it is needed');
  if (idle === 'nothing') {
    return no(
      'IdleSource',
      'NoIdleSource',
      'while it is awake its traffic does not pass a gateway, so nothing can say that it is idle and it never sleeps. Add idle.prometheus or idle.schedule, or route to it through a Gateway',
    );
  }
  const broken = idle.find((reason) => /Prometheus.*(answer|reach|error|empty)/i.test(reason));
  return broken === undefined
    ? yes('IdleSource', 'Configured', 'its idle sources answer')
    : no('IdleSource', 'NoAnswer', broken);
}

function triggerFindings({ troubles }: Facts): Finding[] {
  if (troubles === null) return [];
  if (troubles.length === 0) return [yes('TriggersReady', 'Answering', 'the sources of its triggers answer')];
  const said = troubles.map(({ name, reason }) => `trigger ${name}: ${reason}`).join('; ');
  return [no('TriggersReady', 'SourceFails', `${said}. Meanwhile the scale stays as it is, or at scale.fallback`)];
}

function yes(type: Finding['type'], reason: string, message: string): Finding {
  return { type, status: 'True', reason, message };
}

function no(type: Finding['type'], reason: string, message: string): Finding {
  return { type, status: 'False', reason, message };
}
