/** What only gateways know of backends, added to what the controller knows: each worker has its own breakers and ejections. */
import type { GatewayStatus } from '../link/messages.ts';
import type { BackendStatus } from '../model/status.ts';

/** The same statuses with the breakers and ejections of all gateways that answered. */
export function withGateways(backends: readonly BackendStatus[], gateways: readonly GatewayStatus[]): BackendStatus[] {
  const seen = new Map<string, GatewayStatus['backends']>();
  for (const gateway of gateways) {
    for (const backend of gateway.backends) {
      const known = seen.get(backend.name);
      if (known === undefined) seen.set(backend.name, [backend]);
      else known.push(backend);
    }
  }
  return backends.map((backend) => {
    const views = seen.get(backend.name) ?? [];
    return { ...backend, breaker: breakerOf(backend, views, gateways.length), instances: instancesOf(backend, views) };
  });
}

function breakerOf(
  { breaker }: BackendStatus,
  views: GatewayStatus['backends'],
  gateways: number,
): BackendStatus['breaker'] {
  if (breaker === null) return null;
  const halfOpen = views.filter((view) => view.breaker === 'half-open').length;
  const open = views.filter((view) => view.breaker === 'open').length;
  // Gateways are silent about backends on which nothing is going on: their breakers are closed.
  return { closed: gateways - halfOpen - open, halfOpen, open };
}

function instancesOf({ instances }: BackendStatus, views: GatewayStatus['backends']): BackendStatus['instances'] {
  if (!views.some((view) => view.ejected.length > 0)) return instances;
  return instances.map((instance) => ({
    ...instance,
    ejectedBy: views.filter((view) => view.ejected.includes(instance.id)).length,
  }));
}
