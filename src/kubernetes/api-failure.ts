/** What an answer of the API server that is no success means for a person: verb, object, the server's own words and the next step. */
import { ApiError } from './api-error.ts';
import type { Resource } from './client.ts';

/** What was asked. */
export interface Asked {
  /** As RBAC names it. */
  verb: 'get' | 'list' | 'watch' | 'create' | 'update' | 'patch' | 'delete';
  resource: Resource;
  namespace?: string | undefined;
  name?: string | undefined;
  subresource?: string | undefined;
  /** Whose credentials were shown. */
  source: string;
}

/** Of a meta/v1 Status. */
interface Status {
  reason: string;
  message: string;
  details: {
    name?: string;
    kind?: string;
    causes?: { field?: string; message?: string }[];
    retryAfterSeconds?: number;
  };
}

const MAX_WORDS = 2000;

/** `retryAfter`: the header, seconds. */
export function failureOf(asked: Asked, httpStatus: number, body: Buffer, retryAfter: string | undefined): ApiError {
  const status = statusOf(httpStatus, body);
  const seconds = Number(retryAfter ?? status.details.retryAfterSeconds ?? 0);
  return new ApiError(`${subjectOf(asked)}: ${explain(asked, httpStatus, status)}`, {
    status: httpStatus,
    reason: status.reason,
    retryAfterMs: Number.isFinite(seconds) && seconds > 0 ? Math.min(seconds, 3600) * 1000 : 0,
  });
}

/** `patch deployments.apps/scale shop/web`. */
export function subjectOf({ verb, resource, namespace, name, subresource }: Asked): string {
  const kind = resource.group === '' ? resource.plural : `${resource.plural}.${resource.group}`;
  const object = name === undefined ? (namespace ?? '') : namespace === undefined ? name : `${namespace}/${name}`;
  return `${verb} ${kind}${subresource ? `/${subresource}` : ''}${object === '' ? '' : ` ${object}`}`;
}

function explain(asked: Asked, httpStatus: number, { reason, message, details }: Status): string {
  switch (httpStatus) {
    case 401:
      return `the API server does not accept the credentials (${message}): renew those of ${asked.source}`;
    case 403:
      return forbidden(asked, message);
    case 404:
      return missing(asked, message, details.name);
    case 409:
      return reason === 'AlreadyExists'
        ? `it is there already (${message})`
        : `it has been changed or replaced since it was read (${message}): read it again and repeat`;
    case 413:
      return `the object is too large (${message}): the API server takes 3 MiB and etcd 1.5 MiB; make it smaller`;
    case 422:
      return invalid(message, details.causes ?? []);
    case 429:
      return `the API server has too much to do (${message}): try again later; when it lasts, see its priority and fairness settings`;
    default:
      return httpStatus >= 500
        ? `the API server failed with ${httpStatus} (${message}): try again; when it lasts, see its log`
        : `the API server answered ${httpStatus} ${reason}: ${message}`;
  }
}

/** Also quotas, admission plugins and namespaces that are being deleted answer 403: only for missing rights is there a rule to give. */
function forbidden({ verb, resource, namespace, subresource }: Asked, message: string): string {
  const user = /User "([^"]+)" cannot /.exec(message)?.[1];
  if (user === undefined) return message;
  const account = /^system:serviceaccount:([^:]+):(.+)$/.exec(user);
  const who =
    account === null ? `the user "${user}"` : `the service account "${account[2]}" in namespace "${account[1]}"`;
  const what = `"${resource.plural}${subresource ? `/${subresource}` : ''}" of API group "${resource.group}"`;
  const where = resource.namespaced && namespace !== undefined ? ` in namespace "${namespace}"` : '';
  return `give ${who} the verb "${verb}" on ${what}${where} (RBAC; ${message})`;
}

function missing({ resource, name }: Asked, message: string, detailsName: string | undefined): string {
  // The Status of an object that isn't there names it; one of a kind that isn't there names nothing, or is plain text.
  if (detailsName !== undefined && detailsName !== '') {
    return detailsName === name ? `it is not there (${message})` : message;
  }
  const isOwnGroup = !resource.group.includes('.') || resource.group.endsWith('.k8s.io');
  const kind = `${resource.group === '' ? '' : `${resource.group}/`}${resource.version} ${resource.kind}`;
  return isOwnGroup
    ? `this API server has no ${kind}: it is too old, too new, or has it switched off`
    : `this API server has no ${kind}: the CRD "${resource.plural}.${resource.group}" is not installed, or has no version ${resource.version}; install it`;
}

function invalid(message: string, causes: { field?: string; message?: string }[]): string {
  if (causes.length === 0) return message;
  const shown = causes.slice(0, 10).map((cause) => `${cause.field ?? ''}: ${cause.message ?? ''}`.replace(/^: /, ''));
  if (causes.length > shown.length) shown.push(`and ${causes.length - shown.length} more`);
  return `the object is not valid: ${shown.join('; ').slice(0, MAX_WORDS)}`;
}

function statusOf(httpStatus: number, body: Buffer): Status {
  const text = body.toString('utf8');
  try {
    const parsed = JSON.parse(text) as { kind?: unknown; reason?: unknown; message?: unknown; details?: unknown };
    if (parsed.kind === 'Status') {
      return {
        reason: typeof parsed.reason === 'string' && parsed.reason !== '' ? parsed.reason : reasonOf(httpStatus),
        message: String(parsed.message ?? reasonOf(httpStatus)).slice(0, MAX_WORDS),
        details: (parsed.details ?? {}) as Status['details'],
      };
    }
  } catch {
    // A proxy in front, or the API server before it is ready: plain text or HTML.
  }
  return { reason: reasonOf(httpStatus), message: text.trim().slice(0, 300) || `status ${httpStatus}`, details: {} };
}

/** For answers without a Status; the names are those of meta/v1. */
function reasonOf(httpStatus: number): string {
  const names: Record<number, string> = {
    400: 'BadRequest',
    401: 'Unauthorized',
    403: 'Forbidden',
    404: 'NotFound',
    405: 'MethodNotAllowed',
    409: 'Conflict',
    410: 'Expired',
    413: 'RequestEntityTooLarge',
    415: 'UnsupportedMediaType',
    422: 'Invalid',
    429: 'TooManyRequests',
    500: 'InternalError',
    503: 'ServiceUnavailable',
    504: 'Timeout',
  };
  return names[httpStatus] ?? 'Unknown';
}
