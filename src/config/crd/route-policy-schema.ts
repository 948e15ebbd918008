import { z } from 'zod';
import { networks } from '../schema/clients.ts';
import { objectName } from '../schema/kubernetes.ts';
import { retrySection, sseSection, timeoutsSection, webSocketSection } from '../schema/route.ts';
import { oneOf, section } from '../schema/scalars.ts';

/** The spec of a RoutePolicy. What it leaves out is left as the route has it. */
export function routePolicySchema() {
  const { on, ...shape } = retrySection().shape;
  return section({
    targetRefs: z
      .array(
        section({
          group: oneOf(['gateway.networking.k8s.io']),
          kind: oneOf(['HTTPRoute', 'GRPCRoute']),
          name: objectName(),
          sectionName: objectName().optional(),
        }),
      )
      .min(1)
      .max(16),
    clients: section({ allow: networks(), deny: networks() }).optional(),
    timeouts: timeoutsSection().optional(),
    // Kubernetes' tools read a plain `on` as true, also as a key.
    retry: section({ ...shape, conditions: on }).optional(),
    webSocket: webSocketSection().optional(),
    sse: sseSection().optional(),
  });
}
