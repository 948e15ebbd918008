/**
 * RoutePolicy objects: what they change in the rules of the routes that they name, and what is told of it (GEP-713, a policy that is attached directly). What a policy of a
 * rule says wins over what one of its whole route says, key by key; both win over the route itself. Of two for the same target the older one counts.
 */
import { renderObjectProblem, type RoutePolicyConfig } from '../../config/index.ts';
import type { ClientRules, RuleConfig } from '../../model/config.ts';
import type { BackendReferences } from './backend-references.ts';
import { byAge, nameOf } from './by-age.ts';
import { condition } from './conditions.ts';
import type { Problem } from './gateways.ts';
import {
  GATEWAY_GROUP,
  type GrpcRoute,
  type HttpRoute,
  type PolicyTargetReference,
  type RoutePolicyObject,
} from './objects.ts';
import type { CompiledRule } from './rules.ts';
import type { NewAncestorStatus, StatusOf, TranslationSettings } from './translation.ts';

type Effect = Pick<RoutePolicyConfig, 'clients' | 'timeouts' | 'retry' | 'webSocket' | 'sse'>;

/** `closed`: it can't be read, and may be what keeps people out, so that its target answers with an error. */
type Held = { object: RoutePolicyObject; effect: Effect | 'closed' };

interface Claim {
  object: RoutePolicyObject;
  targets: { reference: PolicyTargetReference; problem: Problem | null }[];
}

const NOBODY_SAYS: ClientRules = { allow: [], deny: [] };

export class Policies {
  readonly #controllerName: string;
  /** By target. */
  readonly #held = new Map<string, Held>();
  readonly #claims: Claim[] = [];
  /** Routes of our Gateways with the names of their rules, and those that are somebody else's alone. */
  readonly #ours = new Map<string, ReadonlySet<string>>();
  readonly #others = new Set<string>();

  constructor(objects: readonly RoutePolicyObject[], { compiler, controllerName }: TranslationSettings) {
    this.#controllerName = controllerName;
    for (const object of byAge(objects)) this.#claim(object, compiler);
  }

  #claim(object: RoutePolicyObject, compiler: TranslationSettings['compiler']): void {
    const { namespace = '', name } = object.metadata;
    const compiled = compiler.routePolicy({ metadata: { name, namespace }, spec: object.spec });
    const isRead = 'policy' in compiled;
    const problem = isRead
      ? null
      : { reason: 'Invalid', message: compiled.problems.map(renderObjectProblem).join('; ') };
    const effect = isRead ? compiled.policy : object.spec?.['clients'] === undefined ? null : 'closed';
    const claim: Claim = { object, targets: [] };
    const seen = new Set<string>();
    for (const reference of targetsOf(object)) {
      const key = targetKey(reference.kind, namespace, reference.name, reference.sectionName);
      if (seen.has(key)) continue;
      seen.add(key);
      const holder = this.#held.get(key);
      if (holder === undefined && effect !== null) this.#held.set(key, { object, effect });
      const conflict =
        holder === undefined
          ? null
          : {
              reason: 'Conflicted',
              message: `RoutePolicy ${nameOf(holder.object)} is older and has the same target; put both into one, or delete one of them`,
            };
      claim.targets.push({ reference, problem: problem ?? conflict });
    }
    this.#claims.push(claim);
  }

  /** A route that names one of our Gateways, or is only somebody else's. */
  meet({ kind, metadata, spec }: HttpRoute | GrpcRoute, isOurs: boolean): void {
    const key = targetKey(kind, metadata.namespace ?? '', metadata.name, undefined);
    if (isOurs) this.#ours.set(key, new Set((spec.rules ?? []).flatMap(({ name }) => name ?? [])));
    else this.#others.add(key);
  }

  /** A route's rules, in the route's order, as they are with its policies. */
  applied(
    { kind, metadata, spec }: HttpRoute | GrpcRoute,
    rules: readonly CompiledRule[],
    references: BackendReferences,
  ): CompiledRule[] {
    if (this.#held.size === 0) return [...rules];
    const key = (section: string | undefined): string =>
      targetKey(kind, metadata.namespace ?? '', metadata.name, section);
    const whole = this.#held.get(key(undefined));
    return rules.map((compiled, index) => {
      if (!('rule' in compiled)) return compiled;
      const name = spec.rules?.[index]?.name;
      const own = name === undefined ? undefined : this.#held.get(key(name));
      const held = [whole, own].filter((one) => one !== undefined);
      const effects = held.flatMap(({ effect }) => (effect === 'closed' ? [] : [effect]));
      if (effects.length < held.length) {
        const standIn = references.standIn(kind === 'GRPCRoute' ? 'grpc' : 'http');
        return { ...compiled, rule: { ...compiled.rule, filters: [], backends: [{ name: standIn, weight: 1 }] } };
      }
      return effects.length === 0 ? compiled : withEffects(compiled, effects);
    });
  }

  /** Once every route has been met. */
  statuses(): StatusOf[] {
    const controllerName = this.#controllerName;
    return this.#claims.flatMap(({ object, targets }): StatusOf[] => {
      const ancestors = targets.flatMap(({ reference, problem }): NewAncestorStatus[] => {
        const { kind, name, sectionName } = reference;
        const { namespace = '', generation } = object.metadata;
        const key = targetKey(kind, namespace, name, undefined);
        // A route of another controller's Gateways is nothing of ours to speak about.
        if (this.#others.has(key)) return [];
        const found = problem ?? this.#notFound(key, reference, namespace);
        return [
          {
            ancestorRef: {
              group: GATEWAY_GROUP,
              kind,
              namespace,
              name,
              ...(sectionName === undefined ? {} : { sectionName }),
            },
            controllerName,
            conditions: [
              found === null
                ? condition('Accepted', true, 'Accepted', 'The policy is in force', generation)
                : condition('Accepted', false, found.reason, found.message, generation),
            ],
          },
        ];
      });
      const before = object.status?.ancestors?.some((one) => one.controllerName === controllerName) === true;
      return ancestors.length === 0 && !before
        ? []
        : [{ kind: 'RoutePolicy', object, controllerName, status: { ancestors } }];
    });
  }

  #notFound(key: string, { kind, name, sectionName }: PolicyTargetReference, namespace: string): Problem | null {
    const rules = this.#ours.get(key);
    if (rules === undefined)
      return { reason: 'TargetNotFound', message: `there is no ${kind} ${name} in namespace ${namespace}` };
    if (sectionName === undefined || rules.has(sectionName)) return null;
    const names = [...rules].join(', ');
    const has = names === '' ? 'none of its rules has a name' : `it has ${names}`;
    return { reason: 'TargetNotFound', message: `${kind} ${name} has no rule ${sectionName}; ${has}` };
  }
}

/** Later ones win. */
function withEffects(compiled: Extract<CompiledRule, { rule: RuleConfig }>, effects: readonly Effect[]): CompiledRule {
  let { rule, clients = NOBODY_SAYS } = compiled;
  for (const effect of effects) {
    rule = {
      ...rule,
      timeouts: { ...rule.timeouts, ...effect.timeouts },
      retry: { ...rule.retry, ...effect.retry },
      webSocket: { ...rule.webSocket, ...effect.webSocket },
      sse: { ...rule.sse, ...effect.sse },
    };
    clients = effect.clients ?? clients;
  }
  return { ...compiled, rule, clients };
}

/** Also of a policy that can't be read: the schema of its CRD may have been another one. */
function targetsOf({ spec }: RoutePolicyObject): PolicyTargetReference[] {
  const targets: unknown = spec?.targetRefs;
  if (!Array.isArray(targets)) return [];
  return (targets as Partial<PolicyTargetReference>[]).flatMap((target) =>
    typeof target?.kind === 'string' && typeof target.name === 'string' ? [target as PolicyTargetReference] : [],
  );
}

/** Names have no slash. */
function targetKey(kind: string, namespace: string, name: string, sectionName: string | undefined): string {
  return `${kind}/${namespace}/${name}/${sectionName ?? ''}`;
}
