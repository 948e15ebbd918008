/** Lists in pages: bounded in memory however many objects there are. */
import { DormouseError } from '../model/errors.ts';
import { isReason } from './api-error.ts';
import type { KubernetesObject, ListOptions, Resource } from './client.ts';
import type { Requester } from './requester.ts';
import { queryText, resourcePath } from './resource-path.ts';

export interface PageReader<T> {
  page(items: T[]): void;
  /** What was read so far doesn't count: the server has forgotten the state that it showed, and the list begins again. */
  restart(): void;
}

const PAGE_ITEMS = 500;
const MAX_PAGE_BYTES = 64 * 1024 * 1024;
/** A list that takes longer than etcd keeps its state (five minutes) won't be whole the next time either. */
const MAX_RESTARTS = 3;

/** Resolves with the resourceVersion that a watch may go on from. Pages are of 500 objects, of fewer when these are so large that a page exceeds 64 MiB. */
export async function readPages<T extends KubernetesObject>(
  requester: Requester,
  resource: Resource,
  options: ListOptions,
  reader: PageReader<T>,
): Promise<string> {
  const path = resourcePath(resource, { namespace: options.namespace });
  const { labelSelector, fieldSelector, signal } = options;
  let limit = PAGE_ITEMS;
  let next = '';
  let resourceVersion = '';
  let restarts = 0;
  for (;;) {
    let body: Buffer;
    try {
      ({ body } = await requester.request({
        method: 'GET',
        path: path + queryText({ labelSelector, fieldSelector, limit, continue: next }),
        asked: { verb: 'list', resource, namespace: options.namespace },
        idempotent: true,
        maxBytes: MAX_PAGE_BYTES,
        signal,
      }));
    } catch (error) {
      if (isTooLarge(error) && limit > 1) {
        limit = Math.ceil(limit / 8);
        continue;
      }
      if (!isReason(error, 'Expired', 'Gone') || next === '' || restarts === MAX_RESTARTS) throw error;
      restarts += 1;
      next = '';
      reader.restart();
      continue;
    }
    const page = parsed<T>(body, resource);
    if (next === '') resourceVersion = page.metadata.resourceVersion;
    reader.page(page.items);
    next = page.metadata.continue ?? '';
    if (next === '') return resourceVersion;
  }
}

interface Page<T> {
  metadata: { resourceVersion: string; continue?: string };
  items: T[];
}

function parsed<T extends KubernetesObject>(body: Buffer, resource: Resource): Page<T> {
  const page = parseObject<Page<T>>(body, `list ${resource.plural}`);
  if (typeof page.metadata?.resourceVersion !== 'string') throw notOfApi(`list ${resource.plural}`, 'it is no list');
  page.items ??= [];
  // Items of kinds that come with Kubernetes don't say what they are.
  const apiVersion = resource.group === '' ? resource.version : `${resource.group}/${resource.version}`;
  for (const item of page.items) {
    item.apiVersion ??= apiVersion;
    item.kind ??= resource.kind;
  }
  return page;
}

/** Throws DORMOUSE_API_ANSWER when it is no JSON object. */
export function parseObject<T>(body: Buffer, what: string): T {
  let value: unknown;
  try {
    value = JSON.parse(body.toString('utf8'));
  } catch (error) {
    throw notOfApi(what, (error as Error).message);
  }
  if (typeof value !== 'object' || value === null) throw notOfApi(what, 'it is no object');
  return value as T;
}

function notOfApi(what: string, why: string): DormouseError {
  return new DormouseError(
    'DORMOUSE_API_ANSWER',
    `${what}: the answer is not one of a Kubernetes API server (${why}); see whether the address is right`,
  );
}

function isTooLarge(error: unknown): boolean {
  return error instanceof DormouseError && error.code === 'DORMOUSE_API_ANSWER';
}
