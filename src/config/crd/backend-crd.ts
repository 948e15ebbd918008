/** The custom resource Backend: an entry of `backends:` in its long form, with what the operator tells about it. */
import { HANDOVER_STEPS } from '../../model/handover-step.ts';
import { z } from 'zod';
import { SECRET_CREDENTIALS } from '../../model/credentials.ts';
import { fileSchema, type ConfigRegistry } from '../schema/file.ts';
import { triggerName } from '../schema/backend.ts';
import type { PartSchemas } from '../schema/named-parts.ts';
import { AGE, conditions, count, customResource, observedGeneration, text, time } from './definition.ts';
import { exactlyOne } from './exactly-one.ts';
import { structural, type CelRule, type Schema } from './structural.ts';

const ROOT = 'backends.NAME';

/** Keys of the file that a Backend doesn't have. */
const LEFT_OUT = [
  // Run by `dormouse up` on its own machine.
  'process',
  // Its own.
  'kubernetes.namespace',
  // Files of the gateways' own file system are nobody's to name.
  'tls.ca',
  'tls.cert',
  'tls.key',
  'breaker.fallback.file',
  // Of plugins.
  'balance.options',
];

const TRIGGER_SECTIONS: Readonly<Record<string, string>> = {
  'triggers[].http': 'Requests, as a route implies them: how they count in place of scale.target',
  'triggers[].redis-list': 'The length of a Redis list',
  'triggers[].redis-streams': 'A Redis stream: its length, or what is pending or lags of a group',
  'triggers[].nats-jetstream': 'What a consumer of a JetStream stream has before it',
  'triggers[].prometheus': 'What a query gives',
  'triggers[].cron': 'A time of the day or week',
  'triggers[].external': 'A KEDA external scaler',
  ...Object.fromEntries(
    ['redis-list', 'redis-streams', 'nats-jetstream', 'prometheus', 'external'].map((type) => [
      `triggers[].${type}.authentication`,
      'A Secret in this namespace that says who dormouse is to the source',
    ]),
  ),
};

const SECTIONS: Readonly<Record<string, string>> = {
  kubernetes: 'A workload with a scale subresource, in the namespace of this object. Its pods are the instances',
  'kubernetes.target': 'What is scaled',
  'kubernetes.autoscaler': 'The KEDA object that scales the target and is paused while it sleeps',
  servers: 'Servers that somebody else runs, in place of kubernetes. They never sleep',
  scale: 'How many instances there are, and when none',
  'scale.target': 'The load that one instance should have: concurrency or rps',
  'scale.windows': 'Over what the load is averaged',
  'scale.rates': 'How fast the number of instances may change',
  'scale.formula': 'What is made of the numbers of triggers, in place of the largest',
  'scale.fallback': 'How many there are at least when the source of a trigger fails',
  'scale.jobs': 'Each instance is a run, a Job that ends by itself: one for each batch of messages',
  idle: 'What has to agree before it sleeps, besides that no request came for scale.idleAfter',
  'idle.prometheus': 'A Prometheus query that says whether it is idle',
  'idle.schedule': 'When it may sleep and when it has to be awake, in cron expressions of five fields',
  wake: 'What happens to requests while it sleeps and wakes',
  'wake.before': 'Wakes it at set times, before it is needed',
  'wake.answers': 'Requests that are answered without waking it while it sleeps: probes and the like',
  'wake.answers[].match': 'What a request must have',
  'wake.answers[].match.path': 'One of three',
  'wake.never': 'Who may not wake it',
  balance: 'Which instance a request goes to',
  'balance.hash': 'What consistent-hash goes by',
  'balance.sticky': 'A cookie that keeps a client at its instance',
  endpoints: 'How instances are spoken to',
  clients: 'Whose requests are let through',
  tls: 'TLS towards the instances',
  health: 'Active health checks',
  ejection:
    'When an instance that fails gets no requests for a while. With consecutiveErrors and failurePercent 0: never',
  breaker: 'When the whole backend is left alone for a while',
  'breaker.fallback': 'What clients get meanwhile',
  triggers: 'What besides requests wakes it, keeps it awake and asks for instances',
  ...TRIGGER_SECTIONS,
};

const VALUE = exactlyOne(['exact', 'regex']);
const SPEAKS = 'has(self.endpoints) && has(self.endpoints.protocol) && self.endpoints.protocol ==';

const RULES: Readonly<Record<string, readonly CelRule[]>> = {
  '': [
    exactlyOne(['kubernetes', 'servers']),
    {
      rule: '!has(self.kubernetes) || has(self.kubernetes.service) || has(self.kubernetes.port) || (has(self.triggers) && size(self.triggers) > 0)',
      message: 'kubernetes needs service or port; workers without one need triggers',
    },
    {
      rule: `!(${SPEAKS} 'h2') || has(self.tls) || (has(self.servers) && self.servers.exists(server, server.url.startsWith('https:')))`,
      message: 'endpoints.protocol h2 needs tls: add tls: {}; without TLS it is h2c',
    },
    {
      rule: `!(${SPEAKS} 'h2c') || !has(self.tls)`,
      message: 'endpoints.protocol h2c is HTTP/2 without TLS, but there is tls: write h2',
    },
    {
      rule: `!(${SPEAKS} 'h2' || ${SPEAKS} 'h2c') || !has(self.proxyProtocol) || self.proxyProtocol == 'off'`,
      message: 'proxyProtocol has no place with h2 and h2c, whose connections are shared by clients',
    },
    {
      rule: '!has(self.servers) || !has(self.tls) || !self.servers.exists(server, server.url.startsWith("http:"))',
      message: 'tls has no effect on http:// servers: write https://',
    },
  ],
  kubernetes: [
    { rule: '!has(self.service) || !has(self.port)', message: 'port has no place beside service, whose ports count' },
  ],
  servers: [
    {
      rule: 'self.exists(server, !has(server.backup) || !server.backup)',
      message: 'has backups only: leave one server without backup',
    },
  ],
  scale: [
    {
      rule: "!has(self.min) || self.min <= (has(self.by) && self.by == 'none' ? 1 : has(self.max) ? self.max : 1)",
      message: 'min is more than max, which is 1 when it is left out and with by: none',
      fieldPath: '.min',
    },
  ],
  'scale.target': [
    { rule: '!has(self.concurrency) || !has(self.rps)', message: 'has both concurrency and rps: keep one' },
  ],
  'idle.schedule': [
    {
      rule: '(has(self.allow) && size(self.allow) > 0) || (has(self.awake) && size(self.awake) > 0)',
      message: 'has neither allow nor awake',
    },
  ],
  'idle.schedule.allow[]': [fiveFields()],
  'idle.schedule.awake[]': [fiveFields()],
  'wake.before.cron': [fiveFields()],
  'wake.answers[].match.path': [exactlyOne(['exact', 'prefix', 'regex'])],
  'wake.answers[].match.headers.NAME': [VALUE],
  'wake.answers[].match.query.NAME': [VALUE],
  'wake.never.userAgents[]': [VALUE],
  'balance.hash': [exactlyOne(['header', 'cookie', 'client', 'uri'])],
};

function fiveFields(): CelRule {
  return {
    rule: "self.matches('^ *[^ ]+( +[^ ]+){4} *$')",
    message: 'expected a cron expression of five fields: minute, hour, day of the month, month and day of the week',
  };
}

/** `meanings`: descriptions of keys by their places in docs/configuration.md. */
export function backendResource(registry: ConfigRegistry, meanings: ReadonlyMap<string, string>): Schema {
  const at = (key: string): string => (key === '' ? ROOT : `${ROOT}.${key}`);
  const { backend } = fileSchema(registry);
  const { triggers = {} } = registry;
  const hasTriggers = Object.keys(triggers).length > 0;
  const json = z.toJSONSchema(backend, { io: 'input', unrepresentable: 'any' }) as Schema;
  if (hasTriggers) writeTriggers(json, triggers);
  const rules = hasTriggers ? { ...RULES, 'triggers[]': [oneTrigger(Object.keys(triggers))] } : RULES;
  const spec = structural(json, ROOT, {
    leftOut: new Set([...LEFT_OUT, ...(hasTriggers ? leftOutOf(triggers) : ['triggers'])].map(at)),
    required: new Map(),
    rules: new Map(Object.entries(rules).map(([key, list]) => [at(key), list])),
    describe: (place) => meanings.get(place) ?? SECTIONS[place.slice(ROOT.length + 1)],
  });
  return customResource({
    kind: 'Backend',
    plural: 'backends',
    shortNames: ['dmb'],
    description: 'An application that sleeps while nobody needs it and wakes on the first request',
    columns: [
      { name: 'State', type: 'string', jsonPath: '.status.state' },
      { name: 'Instances', type: 'integer', jsonPath: '.status.instances' },
      { name: 'Since', type: 'date', jsonPath: '.status.since' },
      { name: 'Woken-By', type: 'string', jsonPath: '.status.lastWoken.by' },
      { name: 'Ready', type: 'string', jsonPath: '.status.conditions[?(@.type=="Ready")].status' },
      { name: 'Why', type: 'string', jsonPath: '.status.why', priority: 1 },
      AGE,
    ],
    spec: { description: 'An entry of backends in dormouse.yaml, in its long form', ...spec },
    status: status(),
    rules: [
      {
        rule: '!has(self.spec.wake) || !has(self.spec.wake.with) || !(self.metadata.name in self.spec.wake.with)',
        message: 'wake.with names this object itself: it would wait for itself',
      },
    ],
  });
}

/** An entry of triggers as the structural schema has it: an object with all of them, of which one is there. Plugins' are not known in a cluster. */
function writeTriggers(json: Schema, triggers: PartSchemas): void {
  const { triggers: list } = json['properties'] as Record<string, Schema>;
  const properties = Object.entries({ name: triggerName(), ...triggers }).map(([name, schema]) => [
    name,
    z.toJSONSchema(schema, { io: 'input', unrepresentable: 'any' }),
  ]);
  list!['items'] = { type: 'object', properties: Object.fromEntries(properties) };
}

/** What an object can't name, or must not hold. */
function leftOutOf(triggers: PartSchemas): string[] {
  return Object.entries(triggers).flatMap(([name, schema]) => {
    const { properties = {} } = z.toJSONSchema(schema, { io: 'input', unrepresentable: 'any' }) as {
      properties?: Record<string, unknown>;
    };
    return Object.keys(properties)
      .filter((key) => key.endsWith('File') || SECRET_CREDENTIALS.some((secret) => secret === key))
      .map((key) => `triggers[].${name}.${key}`);
  });
}

/** CEL escapes what a name may not have. */
function oneTrigger(names: readonly string[]): CelRule {
  const given = names.map((name) => `has(self.${name.replaceAll('-', '__dash__')})`);
  return {
    rule: `[${given.join(', ')}].exists_one(given, given)`,
    message: `needs exactly one of ${names.join(', ')}`,
  };
}

/** As written by the operator. */
function status(): Schema {
  const decimal = (description: string): Schema => ({ ...text(description, 32), pattern: '^[0-9]+(\\.[0-9]+)?$' });
  return {
    type: 'object',
    description: 'What the operator knows of it',
    properties: {
      observedGeneration: observedGeneration(),
      state: { type: 'string', enum: ['asleep', 'waking', 'awake', 'falling-asleep'] },
      since: time('When it came into this state'),
      why: text('Why it is in this state', 1024),
      instances: count('Instances that are ready'),
      desired: count('Instances that are wanted'),
      demand: {
        type: 'object',
        description: 'The load that gateways measured; only what goes through them',
        properties: {
          concurrency: decimal('Requests at once, averaged'),
          requestsPerSecond: decimal('Averaged'),
          inFlight: count('Requests at instances'),
          held: count('Requests that wait for it'),
        },
      },
      lastWoken: {
        type: 'object',
        properties: {
          at: time('When it was woken'),
          by: text('Who woke it', 1024),
          tookSeconds: decimal('From the first demand to the first instance that was ready'),
        },
      },
      lastSlept: time('When it last fell asleep'),
      handover: {
        type: 'object',
        description:
          "How far the Service's traffic has been moved between its pods and the gateways. Written before each step",
        required: ['step', 'since'],
        properties: {
          step: {
            type: 'string',
            enum: [...HANDOVER_STEPS],
          },
          since: time('When this step was begun'),
          message: text('What it waits for', 1024),
          ports: {
            type: 'array',
            description: 'The port of the gateways that stands for each port of the Service',
            maxItems: 100,
            items: {
              type: 'object',
              required: ['port', 'gatewayPort'],
              properties: {
                name: text('Of the port of the Service', 63),
                port: { type: 'integer', minimum: 1, maximum: 65_535, description: 'Of the Service' },
                gatewayPort: { type: 'integer', minimum: 1, maximum: 65_535 },
                protocol: text('TCP', 16),
              },
            },
          },
          replicasBefore: count('Replicas of the target before it was put to sleep: it is woken with as many'),
          pausedAutoscaler: { type: 'boolean', description: 'Whether the autoscaler was paused by dormouse' },
        },
      },
      conditions: conditions(),
    },
  };
}
