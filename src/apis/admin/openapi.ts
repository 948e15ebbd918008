/** The OpenAPI 3.1 document of the admin API, made of its models. What is served lies beside this file (openapi.json); a test holds it, this and the routes together. */
import { z } from 'zod';
import * as models from './models.ts';

type Json = Record<string, unknown>;

const SCHEMAS = {
  BackendName: models.backendName,
  CreateMachineBackend: models.machineCreate,
  MachineBackend: models.machineSpec,
  CreateClusterBackend: models.clusterCreate,
  ClusterBackend: models.clusterSpec,
  AwakeUntil: models.pinRequest,
  Backend: models.backendView,
  BackendStatus: models.backendStatus,
  BackendList: models.backendList,
  Removal: models.removal,
  Event: models.event,
  Problem: models.problem,
} as const;

type SchemaName = keyof typeof SCHEMAS;

/** What stands in openapi.json (written by `npm run crd`). `configuration`: the JSON Schema of dormouse.yaml. */
export function openApiText(version: string, configuration: Json): string {
  const { backends } = configuration['properties'] as { backends: { additionalProperties: Json } };
  return `${JSON.stringify(openApiDocument(version, backends.additionalProperties), null, 1)}\n`;
}

/** `entry`: JSON Schema of an entry of `backends:` in dormouse.yaml, whose keys a body may have. */
function openApiDocument(version: string, entry: Json): Json {
  return {
    openapi: '3.1.1',
    info: {
      title: 'Dormouse admin API',
      version,
      description:
        'Backends of one machine (dormouse up) or of a cluster (dormouse admin). On the control socket all paths stand below /admin, and no token is needed.',
      license: { name: 'Apache-2.0', identifier: 'Apache-2.0' },
    },
    servers: [{ url: 'http://127.0.0.1:8081', description: 'The usual address of one machine' }],
    security: [{ token: [] }],
    tags: [{ name: 'backends' }, { name: 'actions' }, { name: 'about' }],
    paths: {
      '/v1/backends': {
        get: operation('listBackends', 'backends', 'read', 'List backends, in the order of their names', {
          parameters: [
            number('limit', 'How many at most', 1, 1000, 100),
            {
              name: 'after',
              in: 'query',
              description: 'What `next` of the page before says',
              schema: { type: 'string' },
            },
          ],
          responses: ok('A page', 'BackendList'),
          problems: [400],
        }),
        post: operation('createBackend', 'backends', 'admin', 'Make a backend', {
          description:
            'With process: (on one machine) the scope commands is needed, and a loopback address or the control socket. On a cluster a step that fails takes back those before it.',
          parameters: [
            {
              name: 'Idempotency-Key',
              in: 'header',
              description: 'The same request again with the same key changes nothing and is answered as the first was',
              schema: { type: 'string', minLength: 1, maxLength: 255 },
            },
          ],
          requestBody: body([
            ['application/json', { oneOf: [ref('CreateMachineBackend'), ref('CreateClusterBackend')] }],
          ]),
          responses: {
            201: {
              description: 'It is there',
              headers: {
                Location: { schema: { type: 'string' } },
                'Idempotent-Replayed': {
                  description: 'true: a former request with this key made it',
                  schema: { type: 'string' },
                },
              },
              content: json('Backend'),
            },
          },
          problems: [400, 409, 413, 415, 422, 502],
        }),
      },
      '/v1/backends/{name}': {
        parameters: [nameParameter, namespaceParameter],
        get: operation('getBackend', 'backends', 'read', 'One backend', {
          responses: ok('The backend', 'Backend'),
          problems: [404],
        }),
        put: operation('replaceBackend', 'backends', 'admin', 'Give a backend another spec', {
          requestBody: body([['application/json', { oneOf: [ref('MachineBackend'), ref('ClusterBackend')] }]]),
          responses: ok('As it is now', 'Backend'),
          problems: [400, 404, 409, 413, 415, 422, 502],
        }),
        patch: operation('patchBackend', 'backends', 'admin', 'Change parts of the spec of a backend (RFC 7396)', {
          requestBody: body([
            ['application/merge-patch+json', { type: 'object' }],
            ['application/json', { type: 'object' }],
          ]),
          responses: ok('As it is now', 'Backend'),
          problems: [400, 404, 409, 413, 415, 422, 502],
        }),
        delete: operation('deleteBackend', 'backends', 'admin', 'Delete a backend and what was made with it', {
          responses: ok('What was deleted and what is left', 'Removal'),
          problems: [404, 409, 502],
        }),
      },
      '/v1/backends/{name}/wake': {
        parameters: [nameParameter, namespaceParameter],
        post: operation('wakeBackend', 'actions', 'operate', 'Wake it', {
          parameters: [number('wait', 'How long to wait until it is awake, ms', 0, 600_000, 0)],
          responses: { 200: { description: 'It is awake' }, 202: { description: 'It is waking' } },
          problems: [400, 404, 503],
        }),
      },
      '/v1/backends/{name}/sleep': {
        parameters: [nameParameter, namespaceParameter],
        post: operation('putBackendToSleep', 'actions', 'operate', 'Put it to sleep after what it is doing', {
          responses: { 200: { description: 'It is asleep' }, 202: { description: 'It was asked to' } },
          problems: [404, 409],
        }),
      },
      '/v1/backends/{name}/awake': {
        parameters: [nameParameter, namespaceParameter],
        put: operation('keepBackendAwake', 'actions', 'operate', 'Wake it and keep it awake until a time', {
          requestBody: body([['application/json', ref('AwakeUntil')]]),
          responses: { 200: { description: 'It is kept awake' } },
          problems: [400, 404, 409, 415, 422],
        }),
        delete: operation('letBackendSleep', 'actions', 'operate', 'Keep it awake no longer than anything else does', {
          responses: { 200: { description: 'It may sleep' } },
          problems: [404],
        }),
      },
      '/v1/events': {
        get: operation('watchEvents', 'actions', 'read', 'What happens, as server-sent events', {
          parameters: [
            { name: 'backend', in: 'query', description: 'Events of this one alone', schema: { type: 'string' } },
            {
              name: 'traffic',
              in: 'query',
              description:
                'true: what traffic does, too (docs/events.md), as events wake, window and request, without ids. On one machine',
              schema: { type: 'boolean', default: false },
            },
            {
              name: 'Last-Event-ID',
              in: 'header',
              description:
                'The last event that was seen: what came since is told first, as far as it is kept (1,000 events)',
              schema: { type: 'string' },
            },
          ],
          responses: {
            200: {
              description:
                'Events named after their kind, with an Event as data; `gap` when something that the client has not seen is not kept any more',
              content: { 'text/event-stream': { schema: { type: 'string' } } },
            },
          },
          problems: [503],
        }),
      },
      '/v1/openapi.json': {
        get: operation('describe', 'about', 'read', 'This document', {
          responses: {
            200: { description: 'This document', content: { 'application/json': { schema: { type: 'object' } } } },
          },
          problems: [],
        }),
      },
    },
    components: {
      securitySchemes: {
        token: {
          type: 'http',
          scheme: 'bearer',
          description:
            'One of admin.tokens, or the one in the file admin-token of the state folder. Scopes: read, operate, admin, commands; each may what those before it may.',
        },
      },
      schemas: schemas(entry),
      responses: {
        Problem: {
          description: 'What was wrong, and what to do next',
          content: { 'application/problem+json': { schema: ref('Problem') } },
        },
      },
    },
  };
}

const nameParameter = { name: 'name', in: 'path', required: true, schema: { type: 'string', maxLength: 253 } };
const namespaceParameter = {
  name: 'namespace',
  in: 'query',
  description: 'On a cluster; left out: the first that the API may use',
  schema: { type: 'string' },
};

interface OperationParts {
  description?: string;
  parameters?: Json[];
  requestBody?: Json;
  responses: Json;
  problems: number[];
}

function operation(operationId: string, tag: string, scope: string, summary: string, parts: OperationParts): Json {
  const { description, parameters, requestBody, responses, problems } = parts;
  const refused = Object.fromEntries(
    [...new Set([401, 403, 429, ...problems])]
      .sort((a, b) => a - b)
      .map((status) => [status, { $ref: '#/components/responses/Problem' }]),
  );
  return {
    operationId,
    tags: [tag],
    summary,
    description: `${description === undefined ? '' : `${description} `}Scope: ${scope}.`,
    ...(parameters === undefined ? {} : { parameters }),
    ...(requestBody === undefined ? {} : { requestBody }),
    responses: { ...responses, ...refused },
  };
}

function ok(description: string, schema: SchemaName): Json {
  return { 200: { description, content: json(schema) } };
}

function json(schema: SchemaName): Json {
  return { 'application/json': { schema: ref(schema) } };
}

function body(content: [type: string, schema: Json][]): Json {
  return { required: true, content: Object.fromEntries(content.map(([type, schema]) => [type, { schema }])) };
}

function ref(name: SchemaName): Json {
  return { $ref: `#/components/schemas/${name}` };
}

function number(name: string, description: string, minimum: number, maximum: number, standard: number): Json {
  return { name, in: 'query', description, schema: { type: 'integer', minimum, maximum, default: standard } };
}

/** Of one machine; on a cluster the pods are the API's to make. */
const SOURCES = ['process', 'servers', 'kubernetes'];

function schemas(entry: Json): Json {
  const registry = z.registry<{ id: string }>();
  for (const [id, schema] of Object.entries(SCHEMAS)) registry.add(schema as z.ZodType, { id });
  const made = z.toJSONSchema(registry, {
    io: 'input',
    unrepresentable: 'any',
    uri: (id) => `#/components/schemas/${id}`,
  }).schemas as Record<string, Json>;
  const named = Object.entries(made).map(
    ([name, { $schema: _draft, $id: _id, id: _own, ...schema }]): [string, Json] => [name, schema],
  );
  const known = entry['properties'] as Record<string, Json>;
  const keys = [...models.SETTINGS, ...SOURCES];
  for (const [, schema] of named) {
    const properties = schema['properties'] as Json | undefined;
    for (const key of keys) {
      if (properties?.[key] !== undefined) properties[key] = { $ref: `#/components/schemas/entry.${key}` };
    }
  }
  const parts = keys.map((key): [string, Json] => {
    const description = `As backends.NAME.${key} of dormouse.yaml`;
    return [`entry.${key}`, { description, ...known[key] }];
  });
  return Object.fromEntries([...named, ...parts]);
}
