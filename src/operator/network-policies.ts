/** NetworkPolicies that decide who reaches a target's pods: what a gateway holds must reach them, and the operator probes them. What a policy enforces is the network plugin's. */
import type { Informer, KubernetesObject } from '../kubernetes/client.ts';
import { compileLabelSelector, matchesLabels, type LabelSelector, type Labels } from '../kubernetes/selectors.ts';
import type { Pod } from './kinds.ts';

export interface NetworkPolicy extends KubernetesObject {
  spec: {
    podSelector?: LabelSelector;
    policyTypes?: string[];
    ingress?: { from?: unknown[]; ports?: unknown[] }[];
  };
}

/** Names in one message. */
const MOST_NAMES = 3;
/** Pods that are looked at for their labels; those of one Service mostly differ in a hash only. */
const MOST_PODS = 20;

export class NetworkPolicies {
  readonly #policies: Informer<NetworkPolicy>;
  readonly #pods: Informer<Pod>;
  readonly #installation: string;

  /** `installation`: the namespace of operator and gateways. */
  constructor(policies: Informer<NetworkPolicy>, pods: Informer<Pod>, installation: string) {
    this.#policies = policies;
    this.#pods = pods;
    this.#installation = installation;
  }

  /**
   * What to look at, in a sentence; null when no policy selects pods with these labels (a Service's selector), or those that do let everybody in. While no pod runs, the selector stands for
   * its pods' labels. Policies of other namespaces select nothing here.
   */
  concern(namespace: string, selector: Labels): string | null {
    const restricting: NetworkPolicy[] = [];
    for (const policy of this.#policies.list(namespace)) {
      if (policy.metadata.namespace === namespace && isRestricting(policy)) restricting.push(policy);
    }
    if (restricting.length === 0) return null;
    const labels = this.#labels(namespace, selector);
    const selecting = restricting.filter(({ spec }) => {
      const matches = compileLabelSelector(spec.podSelector ?? {});
      return labels.some((one) => matches(one));
    });
    if (selecting.length === 0) return null;
    const names = selecting.slice(0, MOST_NAMES).map(({ metadata }) => metadata.name);
    if (selecting.length > MOST_NAMES) names.push(`${selecting.length - MOST_NAMES} more`);
    const [subject, verb] = selecting.length === 1 ? ['NetworkPolicy', 'selects'] : ['NetworkPolicies', 'select'];
    return `${subject} ${names.join(', ')} ${verb} its pods: gateways and operator (namespace ${this.#installation}) must be let in, or held requests can't reach them; while it sleeps, gateway ports stand in for its Service (docs/kubernetes.md, NetworkPolicies)`;
  }

  #labels(namespace: string, selector: Labels): Labels[] {
    const found: Labels[] = [];
    for (const { metadata } of this.#pods.list(namespace)) {
      if (metadata.namespace !== namespace || !matchesLabels(selector, metadata.labels)) continue;
      found.push(metadata.labels ?? {});
      if (found.length === MOST_PODS) break;
    }
    return found.length === 0 ? [selector] : found;
  }
}

/** Without policyTypes a policy is about what comes in, at least (NetworkPolicySpec). A rule with neither peers nor ports lets everything in. */
function isRestricting({ spec }: NetworkPolicy): boolean {
  if (spec.policyTypes !== undefined && !spec.policyTypes.includes('Ingress')) return false;
  return !(spec.ingress ?? []).some(({ from = [], ports = [] }) => from.length === 0 && ports.length === 0);
}
