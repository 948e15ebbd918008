import type { RouteConfig } from '../../model/config.ts';
import type { RandomSource } from '../../model/ports.ts';
import { ClientRules } from '../forwarding/client-rules.ts';

/** Where connections go that are passed through by the name of their ClientHello. */
export interface SniRoute {
  name: string;
  backends: readonly { name: string; weight: number }[];
  /** null: everybody may connect. */
  clients: ClientRules | null;
}

/**
 * The routes of a `tls` listener: those that name it. Hosts decide alone, with the same precedence as for requests: an exact one, the longest wildcard, a route without hosts;
 * of several with the same host the first one of the file. The first rule's backends are meant.
 */
export class SniRoutes {
  readonly #exact = new Map<string, SniRoute>();
  /** By the part after `*.`. */
  readonly #wildcards = new Map<string, SniRoute>();
  #any: SniRoute | null = null;

  constructor(routes: readonly RouteConfig[], listener: string) {
    for (const route of routes) {
      const rule = route.rules[0];
      if (!route.listeners.includes(listener) || rule === undefined) continue;
      const target: SniRoute = {
        name: route.name,
        backends: rule.backends,
        clients: ClientRules.compile(route.clients, `routes.${route.name}.clients`),
      };
      if (route.hosts.length === 0) this.#any ??= target;
      for (const host of route.hosts) {
        if (host === '*') this.#any ??= target;
        else if (host.startsWith('*.')) setFirst(this.#wildcards, host.slice(2), target);
        else setFirst(this.#exact, host, target);
      }
    }
  }

  /** `serverName`: lower case; '' when the client named none. null: no route is for it. */
  find(serverName: string): SniRoute | null {
    const exact = this.#exact.get(serverName);
    if (exact !== undefined) return exact;
    if (this.#wildcards.size > 0) {
      for (let dot = serverName.indexOf('.'); dot >= 0; dot = serverName.indexOf('.', dot + 1)) {
        const wildcard = dot === 0 ? undefined : this.#wildcards.get(serverName.slice(dot + 1));
        if (wildcard !== undefined) return wildcard;
      }
    }
    return this.#any;
  }
}

function setFirst(map: Map<string, SniRoute>, host: string, route: SniRoute): void {
  if (!map.has(host)) map.set(host, route);
}

/** By weight; null when nothing has one. */
export function chooseBackend(route: SniRoute, random: RandomSource): string | null {
  const weighted = route.backends.filter((backend) => backend.weight > 0);
  let at = random() * weighted.reduce((sum, backend) => sum + backend.weight, 0);
  for (const { name, weight } of weighted) {
    at -= weight;
    if (at < 0) return name;
  }
  return weighted.at(-1)?.name ?? null;
}
