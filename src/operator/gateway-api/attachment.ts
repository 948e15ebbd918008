/** Which listeners a route attaches to, by its parentRefs, what listeners allow, and the hosts of both. */
import type { KubernetesObject } from '../../kubernetes/client.ts';
import type { EvaluatedGateway } from './gateways.ts';
import type { Problem } from './gateways.ts';
import { hostsOn, HostnameSet } from './hostnames.ts';
import { selects } from './label-selector.ts';
import type { EvaluatedListener } from './listener.ts';
import { GATEWAY_GROUP, type ParentReference, type Route } from './objects.ts';

export interface Attachment {
  listener: EvaluatedListener;
  /** Of the route on this listener, without those that a more specific listener of the Gateway has; '' stands for all. May be empty. */
  hosts: string[];
}

export interface AttachedParent {
  parentRef: ParentReference;
  generation: number;
  /** Why the Gateway does not take the route; null: it does. */
  refused: Problem | null;
  attachments: Attachment[];
}

export class Attaching {
  readonly #gateways = new Map<string, EvaluatedGateway>();
  readonly #labels = new Map<string, Readonly<Record<string, string>>>();
  /** Hostnames of what is served, by Gateway and port: a request belongs to the most specific of them. */
  readonly #hostnames = new Map<string, HostnameSet>();

  constructor(gateways: readonly EvaluatedGateway[], namespaces: readonly KubernetesObject[]) {
    for (const evaluated of gateways) {
      const { metadata } = evaluated.gateway;
      this.#gateways.set(`${metadata.namespace}/${metadata.name}`, evaluated);
      for (const listener of evaluated.listeners)
        if (listener.serves) this.#namesBeside(listener).add(listener.hostname);
    }
    for (const { metadata } of namespaces) this.#labels.set(metadata.name, metadata.labels ?? {});
  }

  /** What becomes of each parentRef that names one of our Gateways. */
  attach(route: Route): AttachedParent[] {
    const parents: AttachedParent[] = [];
    const namespace = route.metadata.namespace ?? '';
    for (const parentRef of route.spec.parentRefs ?? []) {
      if ((parentRef.group ?? GATEWAY_GROUP) !== GATEWAY_GROUP || (parentRef.kind ?? 'Gateway') !== 'Gateway') continue;
      const gateway = this.#gateways.get(`${parentRef.namespace ?? namespace}/${parentRef.name}`);
      if (gateway !== undefined) parents.push(this.#attachTo(gateway, parentRef, route));
    }
    return parents;
  }

  /** Hostnames that would be answered by a broader listener's routes where their own have none, by listener of the configuration. */
  narrowHostnames(): Map<string, Set<string>> {
    const found = new Map<string, Set<string>>();
    for (const { refused, listeners } of this.#gateways.values()) {
      if (refused !== null) continue;
      for (const target of new Set(listeners.filter(({ serves }) => serves).map((listener) => listener.target))) {
        const one = listeners.find((listener) => listener.serves && listener.target === target)!;
        for (const name of this.#namesBeside(one).narrower()) {
          const names = found.get(target);
          if (names === undefined) found.set(target, new Set([name]));
          else names.add(name);
        }
      }
    }
    return found;
  }

  #attachTo(
    { gateway, listeners, refused: ofGateway }: EvaluatedGateway,
    parentRef: ParentReference,
    route: Route,
  ): AttachedParent {
    const generation = route.metadata.generation ?? 0;
    const refuse = (reason: string, message: string): AttachedParent => ({
      parentRef,
      generation,
      refused: { reason, message },
      attachments: [],
    });
    const { sectionName, port } = parentRef;
    const meant = listeners.filter(
      ({ spec }) =>
        (sectionName === undefined || spec.name === sectionName) && (port === undefined || spec.port === port),
    );
    if (meant.length === 0) {
      const what = [
        sectionName === undefined ? '' : ` named ${sectionName}`,
        port === undefined ? '' : ` on port ${port}`,
      ];
      return refuse('NoMatchingParent', `Gateway ${parentRef.name} has no listener${what.join('')}`);
    }
    const allowing = meant.filter(
      (listener) => listener.kinds.includes(route.kind) && this.#allowsNamespace(listener, route),
    );
    if (allowing.length === 0) {
      return refuse(
        'NotAllowedByListeners',
        `No listener of Gateway ${parentRef.name} that is meant takes a ${route.kind} from namespace ${route.metadata.namespace}: see its protocol and allowedRoutes`,
      );
    }
    const attachments: Attachment[] = [];
    for (const listener of allowing) {
      const hosts = listener.protocol === 'tcp' ? [''] : hostsOn(listener.hostname, route.spec.hostnames);
      if (hosts !== null) attachments.push({ listener, hosts: this.#ownHosts(listener, hosts) });
    }
    if (attachments.length === 0) {
      const names = allowing.map(({ hostname }) => hostname).join(', ');
      return refuse(
        'NoMatchingListenerHostname',
        `None of the hostnames of the route is one of the listeners that it may attach to (${names})`,
      );
    }
    if (ofGateway !== null)
      return refuse('GatewayNotAccepted', `Gateway ${gateway.metadata.name} is not accepted: ${ofGateway.message}`);
    return { parentRef, generation, refused: null, attachments };
  }

  /** Without hosts whose requests belong to a more specific listener (listener isolation). */
  #ownHosts(listener: EvaluatedListener, hosts: string[]): string[] {
    if (!listener.serves || listener.protocol === 'tcp') return listener.serves ? hosts : [];
    const names = this.#namesBeside(listener);
    return hosts.filter((host) => names.mostSpecific(host) === listener.hostname);
  }

  #namesBeside({ gateway, spec }: EvaluatedListener): HostnameSet {
    const key = `${gateway.metadata.namespace}/${gateway.metadata.name}:${spec.port}`;
    let names = this.#hostnames.get(key);
    if (names === undefined) {
      names = new HostnameSet();
      this.#hostnames.set(key, names);
    }
    return names;
  }

  #allowsNamespace({ gateway, spec }: EvaluatedListener, { metadata }: Route): boolean {
    const { from = 'Same', selector } = spec.allowedRoutes?.namespaces ?? {};
    switch (from) {
      case 'All':
        return true;
      case 'Same':
        return metadata.namespace === gateway.metadata.namespace;
      case 'Selector': {
        const labels = this.#labels.get(metadata.namespace ?? '');
        return selector !== undefined && labels !== undefined && selects(selector, labels);
      }
      default:
        return false;
    }
  }
}
