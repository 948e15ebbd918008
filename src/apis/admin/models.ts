/**
 * What the admin API takes and gives, as zod models: bodies are checked with them, and openapi.json is made of them. Loaded only where a body is checked (the process that
 * reads the configuration, `dormouse admin`), never by the supervisor.
 */
import { z } from 'zod';
import type { FieldError } from './admin-error.ts';

/** RFC 1123: a name of a DNS label, since it becomes a part of names of hosts, Services and Deployments. */
export const backendName = z
  .string()
  .regex(/^[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?$/, {
    error:
      'is no DNS label: use a-z, 0-9 and - inside, at most 63 characters, and begin and end with a letter or digit',
  })
  .meta({ id: 'BackendName', description: 'A DNS label (RFC 1123)' });

const hostName = z
  .string()
  .max(253)
  .regex(/^(\*\.)?[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?(\.[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?)*$/, {
    error: 'is no host name: write shop.example.com or *.example.com, in lower case and without a port',
  });

const environment = z
  .record(
    z.string().regex(/^[A-Za-z_][A-Za-z0-9_]{0,255}$/, { error: 'is no name of an environment variable' }),
    z.string().max(32_768),
  )
  .describe('Environment variables. In answers every value is shown as ********; that text sent back means: as it was');

/** Where requests come from: a route is made when any of these is given. */
const routing = {
  hosts: z.array(hostName).max(100).optional().describe('Hosts whose requests lead to it'),
  path: z
    .string()
    .max(1024)
    .regex(/^\/[^\s?#]*$/, { error: 'is no path: begin with /, without spaces, ? and #' })
    .optional()
    .describe('Prefix of the paths whose requests lead to it; / by default when hosts are given'),
};

/** Keys of an entry of `backends:` in dormouse.yaml, which are checked as that file's are. */
const settings = z.record(z.string(), z.unknown());

export const SETTINGS = [
  'scale',
  'triggers',
  'idle',
  'wake',
  'balance',
  'endpoints',
  'clients',
  'tls',
  'proxyProtocol',
  'health',
  'ejection',
  'breaker',
] as const;

const settingShape = Object.fromEntries(
  SETTINGS.map((key) => [
    key,
    z
      .unknown()
      .optional()
      .meta({ description: `As backends.NAME.${key} of dormouse.yaml` }),
  ]),
);

/** Of `dormouse up`. */
export const machineSpec = z
  .strictObject({
    ...routing,
    listeners: z.array(z.string().max(253)).max(100).optional().describe('Of the route; left out: all'),
    process: settings.optional().describe('A program that dormouse runs; needs the scope commands'),
    servers: z
      .array(z.union([z.string().max(4096), settings]))
      .min(1)
      .max(1000)
      .optional()
      .describe('Servers that somebody else runs'),
    kubernetes: settings.optional().describe('A workload with a scale subresource'),
    ...settingShape,
  })
  .meta({ id: 'MachineBackend', description: 'A backend of one machine: one of process, servers and kubernetes' });

const quantity = z.string().regex(/^[0-9]+(\.[0-9]+)?(m|k|Ki|M|Mi|G|Gi)?$/, {
  error: 'is no quantity: write 100m, 0.5 or 128Mi',
});

/** Of `dormouse admin` on a cluster. */
export const clusterSpec = z
  .strictObject({
    ...routing,
    image: z
      .string()
      .max(1024)
      .regex(/^[a-zA-Z0-9][\w.:/@-]*$/, { error: 'is no name of an image' })
      .describe('What pods run'),
    pullPolicy: z.enum(['Always', 'IfNotPresent', 'Never']).optional().describe('Left out: as Kubernetes has it'),
    port: z.int().min(1).max(65_535).describe('Where the program listens'),
    command: z.array(z.string().max(4096)).max(256).optional().describe('In place of the image’s ENTRYPOINT'),
    args: z.array(z.string().max(4096)).max(256).optional().describe('In place of the image’s CMD'),
    env: environment.optional(),
    resources: z
      .strictObject({ cpu: quantity.optional(), memory: quantity.optional() })
      .optional()
      .describe('Requested for each pod; memory is its limit, too'),
    readyPath: z
      .string()
      .max(1024)
      .regex(/^\/[^\s]*$/, { error: 'is no path: begin with /' })
      .optional()
      .describe('A pod is ready when GET of it is answered 200 to 399; left out: when the port accepts'),
    ...settingShape,
  })
  .meta({ id: 'ClusterBackend', description: 'A backend of a cluster: Deployment, Service, route and Backend object' });

export const namespaceName = backendName.describe('Where on a cluster; left out: the first that the API may use');

export const machineCreate = machineSpec
  .extend({ name: backendName })
  .meta({ id: 'CreateMachineBackend', description: 'What a new backend of one machine is' });
export const clusterCreate = clusterSpec
  .extend({ name: backendName, namespace: namespaceName.optional() })
  .meta({ id: 'CreateClusterBackend', description: 'What a new backend of a cluster is' });

export const pinRequest = z
  .strictObject({
    until: z.iso
      .datetime({ offset: true, error: 'is no time of RFC 3339, such as 2030-01-31T18:00:00Z' })
      .describe('At most 366 days from now'),
  })
  .meta({ id: 'AwakeUntil', description: 'Until when it is kept awake' });

const time = z.iso.datetime();

export const backendStatus = z
  .object({
    state: z.enum(['asleep', 'waking', 'awake', 'falling-asleep', 'unknown']),
    since: time.nullable(),
    why: z.string().describe('Why it is in this state, one sentence'),
    awakeBecause: z.array(z.string()).describe('What keeps it awake now, one sentence each'),
    awakeUntil: time.nullable().describe('It is kept awake by command until then'),
    instances: z.int().describe('That are ready'),
    desired: z.int(),
    demand: z.object({
      concurrency: z.number(),
      requestsPerSecond: z.number(),
      inFlight: z.int(),
      held: z.int(),
    }),
    lastWoken: z.object({ at: time, by: z.string() }).nullable(),
    problems: z.array(z.string()).describe('What is wrong with it: crashes, conditions of a cluster'),
  })
  .meta({ id: 'BackendStatus' });

export const backendView = z
  .object({
    name: backendName,
    namespace: z.string().optional().describe('On a cluster'),
    origin: z
      .enum(['file', 'api', 'cluster'])
      .describe(
        'api: made over this API. file: stands in dormouse.yaml; cluster: a Backend object that somebody else made. Only the first can be changed here',
      ),
    createdAt: time.nullable(),
    spec: z
      .record(z.string(), z.unknown())
      .nullable()
      .describe('What PUT takes: as it was given, with secrets as ********; null for what was not made over this API'),
    status: backendStatus,
  })
  .meta({ id: 'Backend' });

export const backendList = z
  .object({
    items: z.array(backendView),
    next: z.string().nullable().describe('The value of `after` for the next page; null: this is the last'),
    on: z.enum(['machine', 'cluster']).describe('What the API works on'),
  })
  .meta({ id: 'BackendList' });

export const removal = z
  .object({
    name: z.string(),
    removed: z.array(z.string()).describe('What was deleted, as Deployment/shop'),
    left: z.array(z.string()).describe('What is left, with the reason'),
  })
  .meta({ id: 'Removal' });

export const problem = z
  .object({
    type: z.string().describe('urn:dormouse:error:…, one for each code'),
    title: z.string(),
    status: z.int(),
    code: z.string().describe('Stable: DORMOUSE_…, all of them in docs/errors.md'),
    detail: z.string().describe('What is wrong, where, and what to do next'),
    userFault: z.boolean(),
    errors: z
      .array(
        z.object({
          field: z.string().describe('JSON pointer (RFC 6901) into the body'),
          detail: z.string(),
          next: z.string().describe('What to do'),
        }),
      )
      .optional(),
  })
  .meta({ id: 'Problem', description: 'RFC 9457' });

export const event = z
  .object({
    atMs: z.number(),
    backend: z.string(),
    kind: z.string(),
    message: z.string(),
    tookMs: z.number().optional(),
  })
  .loose()
  .meta({ id: 'Event', description: 'The data of one event of the stream; its kind is the event’s name' });

/** What is wrong, with pointers; at most 20. Unknown keys name the nearest known one in `next`. */
export function fieldErrors(error: z.ZodError, known: readonly string[] = []): FieldError[] {
  return error.issues.slice(0, 20).flatMap((issue) => {
    const at = pointer(issue.path as (string | number)[]);
    if (issue.code === 'unrecognized_keys')
      return issue.keys.slice(0, 20).map((key) => ({
        field: `${at}/${escaped(key.slice(0, 100))}`,
        detail: 'is not known here',
        next: known.length === 0 ? 'remove it' : `remove it; there are ${known.join(', ')}`,
      }));
    const missing = issue.code === 'invalid_type' && issue.input === undefined;
    return [
      {
        field: at,
        detail: missing ? 'is missing' : issue.message,
        next: missing ? 'add it' : 'correct it',
      },
    ];
  });
}

export function pointer(path: readonly (string | number)[]): string {
  return path.map((part) => `/${escaped(String(part))}`).join('');
}

function escaped(part: string): string {
  return part.replaceAll('~', '~0').replaceAll('/', '~1');
}
