/** The table of docs/adr/0001-parts-and-layers.md: which folder of src/ may import which. A folder may always import itself. */
export const LAYERS: Readonly<Record<string, readonly string[]>> = {
  model: [],
  http1: ['model'],
  http2: ['model', 'http1'],
  // What servers of gRPC have in common.
  grpc: [],
  link: ['model', 'grpc'],
  tls: ['model'],
  config: ['model', 'tls'],
  autoscaling: ['model'],
  gateway: ['model', 'http1', 'http2', 'link', 'autoscaling', 'tls'],
  drivers: ['model', 'kubernetes', 'http1', 'tls'],
  controller: ['model', 'autoscaling', 'link', 'drivers/driver.ts'],
  // Messages of other programs' protocols.
  protobuf: [],
  kubernetes: ['model', 'tls'],
  idle: ['model'],
  // The protocol; what is sent over it is others' business.
  nats: [],
  events: ['model', 'nats', 'link/link.ts', 'link/messages.ts'],
  operator: ['model', 'kubernetes', 'config', 'controller', 'drivers', 'idle', 'link', 'tls'],
  supervisor: ['model', 'link'],
  telemetry: ['model'],
  triggers: ['model', 'nats', 'protobuf', 'idle/prometheus-answer.ts', 'idle/zone-clock.ts'],
  // What plugins may be: the interfaces of their parts.
  plugins: [
    'model',
    'gateway/balancing/strategy.ts',
    'gateway/filters/body-transform.ts',
    'gateway/filters/edits.ts',
    'gateway/filters/filter.ts',
    'gateway/filters/header-line.ts',
    'gateway/request-view.ts',
    'telemetry/metrics-sink.ts',
    'triggers/trigger.ts',
  ],
  apis: ['model', 'controller', 'kubernetes', 'grpc', 'protobuf'],
  commands: [
    'model',
    'http1',
    'http2',
    'link',
    'tls',
    'config',
    'autoscaling',
    'gateway',
    'drivers',
    'controller',
    'kubernetes',
    'events',
    'idle',
    'operator',
    'supervisor',
    'telemetry',
    'triggers',
    'plugins',
    'apis',
    'grpc',
    'protobuf',
  ],
};

/** What schemas of filter options (`*.schema.ts`, never loaded by workers) may import besides: durations, sizes and names are read in one way. */
export const FOR_SCHEMAS: readonly string[] = ['config/schema/scalars.ts', 'config/schema/idle.ts'];

/** Which package may be imported where: folders of src/, or the ending of a file's name. A package that is not in here may be imported nowhere. */
export const PACKAGES: Readonly<Record<string, readonly string[]>> = {
  zod: ['config/', 'apis/', '.schema.ts'],
  yaml: ['config/', 'kubernetes/'],
  undici: ['kubernetes/'],
  commander: ['commands/'],
  pino: ['telemetry/'],
  jose: ['gateway/auth/', 'commands/'],
  '@peculiar/x509': ['commands/', 'tls/authority.ts'],
  'reflect-metadata': ['commands/', 'tls/authority.ts'],
  '@grpc/grpc-js': ['grpc/', 'link/grpc-server.ts', 'link/grpc-client.ts', 'apis/keda/', 'triggers/external.ts'],
  '@opentelemetry/api': ['telemetry/'],
  '@opentelemetry/otlp-transformer': ['telemetry/'],
  '@opentelemetry/resources': ['telemetry/'],
  '@opentelemetry/sdk-trace-base': ['telemetry/'],
  redis: ['gateway/limits/', 'events/redis/', 'triggers/redis-client.ts'],
  ajv: ['gateway/filters/'],
  jsep: ['config/formula.ts'],
  re2js: ['gateway/', 'config/', '.schema.ts'],
};

/** What a worker process must not load: it costs memory and start-up time in every worker. Folders of src/ and packages. */
export const NOT_IN_WORKERS: readonly string[] = [
  'zod',
  'yaml',
  'commander',
  'src/config/',
  'src/drivers/',
  'src/controller/',
  'src/apis/',
  'src/events/',
];

/** What a worker process loads only when a configuration needs it. */
export const NOT_AT_ONCE_IN_WORKERS: readonly string[] = [
  'node:http',
  'node:https',
  'node:http2',
  'node:tls',
  'node:crypto',
  'node:zlib',
  'jose',
  'ajv',
  'redis',
  'src/http2/',
  'src/gateway/auth/',
];
