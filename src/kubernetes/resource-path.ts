import { DormouseError } from '../model/errors.ts';
import type { Resource } from './client.ts';

export interface PathParts {
  namespace?: string | undefined;
  name?: string | undefined;
  subresource?: string | undefined;
}

/**
 * Where the API server keeps it, without query. Throws DORMOUSE_API_NAME for a name that can't stand in a path: an empty one would mean all objects (DELETE of
 * a collection), `..` another place.
 */
export function resourcePath(resource: Resource, { namespace, name, subresource }: PathParts): string {
  let path = resource.group === '' ? `/api/${resource.version}` : `/apis/${resource.group}/${resource.version}`;
  if (resource.namespaced && namespace !== undefined)
    path += `/namespaces/${segment(namespace, resource, 'namespace')}`;
  path += `/${resource.plural}`;
  if (name !== undefined) path += `/${segment(name, resource, 'name')}`;
  // `proxy/figures`: a path of what stands behind a Service.
  if (subresource) for (const part of subresource.split('/')) path += `/${segment(part, resource, 'subresource')}`;
  return path;
}

/** The path of one object; one of a kind that lives in namespaces must say which. */
export function objectPath(resource: Resource, parts: PathParts & { name: string }): string {
  if (resource.namespaced && parts.namespace === undefined) {
    throw new DormouseError('DORMOUSE_API_NAME', `${resource.kind} "${parts.name}": its namespace is missing`);
  }
  return resourcePath(resource, parts);
}

/** As the API server's own rule for names in paths. */
function segment(value: string, resource: Resource, what: string): string {
  if (value === '' || value === '.' || value === '..' || /[/%]/.test(value)) {
    throw new DormouseError('DORMOUSE_API_NAME', `${resource.kind}: ${JSON.stringify(value)} can't be a ${what}`);
  }
  return encodeURIComponent(value);
}

/** `?a=b&c=d` of what is set; '' for nothing. */
export function queryText(values: Readonly<Record<string, string | number | boolean | undefined>>): string {
  const query = new URLSearchParams();
  for (const [key, value] of Object.entries(values)) {
    if (value !== undefined && value !== '') query.set(key, String(value));
  }
  return query.size === 0 ? '' : `?${query.toString()}`;
}
