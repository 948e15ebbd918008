/**
 * Which listeners share a port. All Gateways are served by the same processes, so listeners of all of them with the same port and protocol become one listener of the
 * configuration, and hosts are told apart by routes. Listeners that can't share a port are in conflict: all of them within a Gateway, as the specification has it; among
 * Gateways the oldest keeps the port, so that nobody can take it from others.
 */
import { nameOf } from './by-age.ts';
import type { EvaluatedGateway } from './gateways.ts';
import { HostnameSet } from './hostnames.ts';
import type { EvaluatedListener } from './listener.ts';
import type { TranslationSettings } from './translation.ts';

/** `gateways`: oldest first. Tells each listener its conflicts and its place. */
export function settlePorts(gateways: readonly EvaluatedGateway[], settings: TranslationSettings): void {
  const owners = new Map<number, EvaluatedListener>();
  const portOf = new Map<number, number>();
  for (const { refused, listeners } of gateways) {
    if (refused !== null) continue;
    for (const [port, sharing] of groupBy(
      listeners.filter((listener) => listener.refused === null),
      (listener) => listener.spec.port,
    )) {
      conflictsWithin(sharing);
      const settled = sharing.filter((listener) => listener.conflict === null);
      const [first] = settled;
      if (first === undefined) continue;
      const owner = owners.get(port);
      if (owner !== undefined && (owner.protocol !== first.protocol || first.protocol === 'tcp')) {
        const message = `port ${port} has protocol ${owner.spec.protocol} for Gateway ${nameOf(owner.gateway)}, which is older; take another port`;
        for (const listener of settled) listener.conflict = { reason: 'ProtocolConflict', message };
        continue;
      }
      const containerPort = settings.containerPort(port);
      const other = containerPort === null ? undefined : portOf.get(containerPort);
      if (containerPort === null || (other !== undefined && other !== port)) {
        const message =
          containerPort === null
            ? `the gateways listen on port ${port} of their pods for something else (their metrics, Services that sleep in place); take another port`
            : `the gateways can't listen for port ${port} while they do for port ${other}: both would be port ${containerPort} of their pods`;
        for (const listener of settled) listener.refused = { reason: 'PortUnavailable', message };
        continue;
      }
      portOf.set(containerPort, port);
      if (owner === undefined) owners.set(port, first);
      for (const listener of settled) listener.containerPort = containerPort;
    }
  }
}

/** Listeners of one port and one Gateway. */
function conflictsWithin(sharing: readonly EvaluatedListener[]): void {
  const protocols = new Set(sharing.map(({ spec }) => spec.protocol));
  if (protocols.size > 1) {
    const message = `port ${sharing[0]!.spec.port} is used with the protocols ${[...protocols].join(' and ')}, which can't share it`;
    for (const listener of sharing) listener.conflict = { reason: 'ProtocolConflict', message };
    return;
  }
  for (const same of groupBy(sharing, (listener) => listener.hostname).values()) {
    if (same.length < 2) continue;
    const names = same.map(({ spec }) => spec.name).join(', ');
    const message = `listeners ${names} have the same port, protocol and hostname; keep one of them`;
    for (const listener of same) listener.conflict = { reason: 'HostnameConflict', message };
  }
}

/** Tells https listeners of one port whether their hostnames overlap: a client may use one's connection for the other's requests. */
export function findOverlaps(gateways: readonly EvaluatedGateway[]): void {
  const listeners = gateways.flatMap((gateway) =>
    gateway.refused === null ? gateway.listeners.filter(({ protocol, serves }) => protocol === 'https' && serves) : [],
  );
  for (const sharing of groupBy(listeners, (listener) => listener.spec.port).values()) {
    const names = new HostnameSet();
    const twice = new Set<string>();
    for (const { hostname } of sharing) if (!names.add(hostname)) twice.add(hostname);
    const overlapping = names.overlapping();
    for (const listener of sharing)
      listener.overlapping = overlapping.has(listener.hostname) || twice.has(listener.hostname);
  }
}

export function groupBy<Key, Item>(items: readonly Item[], keyOf: (item: Item) => Key): Map<Key, Item[]> {
  const groups = new Map<Key, Item[]>();
  for (const item of items) {
    const key = keyOf(item);
    const group = groups.get(key);
    if (group === undefined) groups.set(key, [item]);
    else group.push(item);
  }
  return groups;
}
