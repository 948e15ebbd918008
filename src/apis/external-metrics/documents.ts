/** What the aggregation layer asks of an API server besides the metrics: discovery, in both of its forms, and OpenAPI. */

export const GROUP = 'external.metrics.k8s.io';
export const VERSION = 'v1beta1';
const GROUP_VERSION = `${GROUP}/${VERSION}`;
/** What kubectl and the garbage collector see; the resources themselves are called as the metrics are. */
const RESOURCE = {
  name: '*',
  singularName: '',
  namespaced: true,
  kind: 'ExternalMetricValueList',
  verbs: ['get', 'list'],
};

/** What an `accept` has for aggregated discovery. */
const AGGREGATED =
  /application\/json\s*;[^,]*\bg=apidiscovery\.k8s\.io\b[^,]*\bv=(v2(?:beta1)?)\b[^,]*\bas=APIGroupDiscoveryList\b/;

export interface Document {
  body: object;
  contentType: string;
}

const JSON_TYPE = 'application/json';

/** The document at this path; null: there is none. */
export function documentAt(path: string, accept: string): Document | null {
  const aggregated = AGGREGATED.exec(accept)?.[1];
  switch (path) {
    case '/apis':
      return aggregated === undefined ? plain(groupList()) : aggregatedDiscovery(aggregated);
    case `/apis/${GROUP}`:
      return plain({ kind: 'APIGroup', apiVersion: 'v1', ...group() });
    case `/apis/${GROUP_VERSION}`:
      return plain({ kind: 'APIResourceList', apiVersion: 'v1', groupVersion: GROUP_VERSION, resources: [RESOURCE] });
    case '/openapi/v2':
      return plain({ swagger: '2.0', info: INFO, paths: {}, definitions: definitions('#/definitions/') });
    case '/openapi/v3':
      return plain({
        paths: { [`apis/${GROUP_VERSION}`]: { serverRelativeURL: `/openapi/v3/apis/${GROUP_VERSION}` } },
      });
    case `/openapi/v3/apis/${GROUP_VERSION}`:
      return plain({
        openapi: '3.0.0',
        info: INFO,
        paths: openapiPaths(),
        components: { schemas: definitions('#/components/schemas/') },
      });
    default:
      return null;
  }
}

function plain(body: object): Document {
  return { body, contentType: JSON_TYPE };
}

function group(): object {
  const version = { groupVersion: GROUP_VERSION, version: VERSION };
  return { name: GROUP, versions: [version], preferredVersion: version };
}

function groupList(): object {
  return { kind: 'APIGroupList', apiVersion: 'v1', groups: [group()] };
}

/** KEP-3352. */
function aggregatedDiscovery(version: string): Document {
  return {
    contentType: `${JSON_TYPE};g=apidiscovery.k8s.io;v=${version};as=APIGroupDiscoveryList`,
    body: {
      kind: 'APIGroupDiscoveryList',
      apiVersion: `apidiscovery.k8s.io/${version}`,
      metadata: {},
      items: [
        {
          metadata: { name: GROUP },
          versions: [
            {
              version: VERSION,
              freshness: 'Current',
              resources: [
                {
                  resource: RESOURCE.name,
                  responseKind: { group: '', version: '', kind: RESOURCE.kind },
                  scope: 'Namespaced',
                  singularResource: RESOURCE.singularName,
                  verbs: RESOURCE.verbs,
                },
              ],
            },
          ],
        },
      ],
    },
  };
}

const INFO = { title: 'dormouse external metrics', version: VERSION };
const VALUE = 'io.k8s.metrics.pkg.apis.external_metrics.v1beta1.ExternalMetricValue';
const LIST = 'io.k8s.metrics.pkg.apis.external_metrics.v1beta1.ExternalMetricValueList';

function definitions(at: string): object {
  const kind = { group: GROUP, version: VERSION };
  const text = { type: 'string' };
  return {
    [VALUE]: {
      type: 'object',
      description: 'A value of a metric that is not of the cluster itself.',
      required: ['metricName', 'metricLabels', 'timestamp', 'value'],
      properties: {
        apiVersion: text,
        kind: text,
        metricName: { ...text, description: "Which of the Backend's metrics." },
        metricLabels: { type: 'object', additionalProperties: text, description: 'The Backend.' },
        timestamp: { ...text, format: 'date-time', description: 'When it was measured.' },
        window: { type: 'integer', format: 'int64' },
        value: { ...text, description: 'A quantity: of the whole Backend.' },
      },
      'x-kubernetes-group-version-kind': [{ ...kind, kind: 'ExternalMetricValue' }],
    },
    [LIST]: {
      type: 'object',
      required: ['items'],
      properties: {
        apiVersion: text,
        kind: text,
        metadata: { type: 'object' },
        items: { type: 'array', items: { $ref: `${at}${VALUE}` } },
      },
      'x-kubernetes-group-version-kind': [{ ...kind, kind: 'ExternalMetricValueList' }],
    },
  };
}

function openapiPaths(): object {
  const inPath = (name: string): object => ({ name, in: 'path', required: true, schema: { type: 'string' } });
  return {
    [`/apis/${GROUP_VERSION}/namespaces/{namespace}/{metricName}`]: {
      get: {
        description: 'Values of a metric of the Backends that the selector names.',
        operationId: 'listExternalMetric',
        parameters: [
          inPath('namespace'),
          inPath('metricName'),
          { name: 'labelSelector', in: 'query', schema: { type: 'string' } },
        ],
        responses: {
          200: {
            description: 'OK',
            content: { [JSON_TYPE]: { schema: { $ref: `#/components/schemas/${LIST}` } } },
          },
        },
        'x-kubernetes-action': 'list',
        'x-kubernetes-group-version-kind': { group: GROUP, version: VERSION, kind: 'ExternalMetricValueList' },
      },
    },
  };
}
