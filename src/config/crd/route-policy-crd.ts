/** The custom resource RoutePolicy: what dormouse.yaml says of a rule besides matches, filters and backends, attached to routes of the Gateway API. */
import { z } from 'zod';
import { AGE, conditions, customResource } from './definition.ts';
import { routePolicySchema } from './route-policy-schema.ts';
import { structural, type Schema } from './structural.ts';

const SECTIONS: Readonly<Record<string, string>> = {
  targetRefs:
    'HTTPRoutes and GRPCRoutes of this namespace, or one rule of them by its name. A policy of a rule wins over one of its route',
  'targetRefs[].group': 'gateway.networking.k8s.io',
  'targetRefs[].kind': 'HTTPRoute or GRPCRoute',
  'targetRefs[].sectionName': 'The name of a rule; left out: all rules',
  clients: 'Whose requests are let through',
  timeouts: 'How long requests may take',
  retry: 'What is tried again',
  webSocket: 'How WebSockets are kept',
  sse: 'How event streams are kept',
};

export function routePolicyResource(meanings: ReadonlyMap<string, string>): Schema {
  const spec = structural(z.toJSONSchema(routePolicySchema(), { io: 'input', unrepresentable: 'any' }) as Schema, '', {
    leftOut: new Set(),
    required: new Map(),
    rules: new Map([
      [
        '',
        [
          {
            rule: 'has(self.clients) || has(self.timeouts) || has(self.retry) || has(self.webSocket) || has(self.sse)',
            message: 'says nothing: give clients, timeouts, retry, webSocket or sse',
          },
        ],
      ],
    ]),
    describe: (place) =>
      meanings.get(`routes[].rules[].${place === 'retry.conditions' ? 'retry.on' : place}`) ??
      meanings.get(`routes[].${place}`) ??
      SECTIONS[place],
  });
  const reference = {
    type: 'object',
    required: ['group', 'kind', 'name'],
    properties: Object.fromEntries(
      ['group', 'kind', 'namespace', 'name', 'sectionName'].map((key) => [key, { type: 'string', maxLength: 253 }]),
    ),
  };
  return customResource({
    kind: 'RoutePolicy',
    plural: 'routepolicies',
    shortNames: [],
    description: 'Timeouts, retries and the like for HTTPRoutes and GRPCRoutes in its namespace',
    // As the Gateway API has it for kinds of policies that change only what they name.
    labels: { 'gateway.networking.k8s.io/policy': 'Direct' },
    columns: [AGE],
    spec: { description: 'Keys that are left out stay as the route has them', ...spec },
    status: {
      type: 'object',
      properties: {
        ancestors: {
          description: 'What came of it at each route',
          type: 'array',
          maxItems: 16,
          items: {
            type: 'object',
            required: ['ancestorRef', 'controllerName'],
            properties: {
              ancestorRef: reference,
              controllerName: { type: 'string', minLength: 1, maxLength: 253 },
              conditions: conditions(),
            },
          },
        },
      },
    },
  });
}
