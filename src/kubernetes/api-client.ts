import type { Clock, Logger, RandomSource } from '../model/ports.ts';
import { ApiError } from './api-error.ts';
import type {
  DiscoveredResource,
  Informer,
  InformerOptions,
  KubernetesClient,
  KubernetesObject,
  ListOptions,
  ListResult,
  ObjectName,
  Patch,
  RequestOptions,
  Resource,
} from './client.ts';
import type { ClusterConfig } from './cluster-config.ts';
import { Connection } from './connection.ts';
import { Discovery } from './discovery.ts';
import { INFORMER_TIMES, ResourceInformer, type InformerTimes } from './informer.ts';
import { parseObject, readPages } from './list-pages.ts';
import { Requester, type RequestCounts } from './requester.ts';
import { objectPath, queryText, resourcePath } from './resource-path.ts';

export interface ClientOptions {
  logger: Logger;
  clock: Clock;
  random: RandomSource;
  /** Stands in the API server's audit log and names the field manager of writes that name none. */
  userAgent?: string;
  /** For one request, with all its tries, ms. */
  timeoutMs?: number;
  /** Requests at once; the next wait. Watches have connections of their own. */
  connections?: number;
  informerTimes?: Partial<InformerTimes>;
}

const PATCH_TYPES: Record<Patch['type'], string> = {
  merge: 'application/merge-patch+json',
  json: 'application/json-patch+json',
  // JSON is YAML.
  apply: 'application/apply-patch+yaml',
};
const MAX_WATCHES = 256;

/** Connects when the first request is made; `close` ends everything that it began, informers too. */
export function createClient(config: ClusterConfig, options: ClientOptions): ApiClient {
  return new ApiClient(config, options);
}

export class ApiClient implements KubernetesClient {
  readonly #connection: Connection;
  readonly #requester: Requester;
  readonly #discovery: Discovery;
  readonly #options: ClientOptions;
  readonly #closing = new AbortController();

  constructor(config: ClusterConfig, options: ClientOptions) {
    this.#options = options;
    this.#connection = new Connection(config, {
      userAgent: options.userAgent ?? 'dormouse',
      connections: options.connections ?? 16,
      watchConnections: MAX_WATCHES,
      connectTimeoutMs: 3000,
    });
    this.#requester = new Requester(this.#connection, {
      source: config.source,
      server: config.server,
      timeoutMs: options.timeoutMs ?? 30_000,
      random: options.random,
    });
    this.#discovery = new Discovery(this.#requester, options.clock);
  }

  /** What has been asked of the server since the start. */
  get counts(): Readonly<RequestCounts> {
    return this.#requester.counts;
  }

  async get<T extends KubernetesObject>(
    resource: Resource,
    { namespace, name }: ObjectName,
    { subresource, signal }: RequestOptions = {},
  ): Promise<T | null> {
    const parts = { namespace, name, subresource };
    try {
      const { body } = await this.#requester.request({
        method: 'GET',
        path: objectPath(resource, parts),
        asked: { verb: 'get', resource, ...parts },
        idempotent: true,
        signal,
      });
      return parseObject<T>(body, `get ${resource.plural} ${name}`);
    } catch (error) {
      if (error instanceof ApiError && error.status === 404) return null;
      throw error;
    }
  }

  async list<T extends KubernetesObject>(resource: Resource, options: ListOptions = {}): Promise<ListResult<T>> {
    let items: T[] = [];
    const resourceVersion = await readPages<T>(this.#requester, resource, options, {
      page: (page) => {
        items = items.length === 0 ? page : items.concat(page);
      },
      restart: () => {
        items = [];
      },
    });
    return { items, resourceVersion };
  }

  async create<T extends KubernetesObject>(
    resource: Resource,
    object: object,
    options: RequestOptions & { namespace?: string } = {},
  ): Promise<T> {
    const { metadata } = object as { metadata?: { namespace?: string; name?: string } };
    const namespace = options.namespace ?? metadata?.namespace;
    const name = metadata?.name;
    const { subresource, signal } = options;
    const parts = { namespace, name: subresource ? (name ?? '') : undefined, subresource };
    const { body } = await this.#requester.request({
      method: 'POST',
      // A namespace that is missing is left to the server: it refuses the path, and reviews of one's own rights have none.
      path: resourcePath(resource, parts),
      body: JSON.stringify(object),
      asked: { verb: 'create', resource, namespace, name, subresource },
      idempotent: false,
      signal,
    });
    return parseObject<T>(body, `create ${resource.plural}`);
  }

  async replace<T extends KubernetesObject>(
    resource: Resource,
    { namespace, name }: ObjectName,
    object: object,
    { subresource, signal }: RequestOptions = {},
  ): Promise<T> {
    const parts = { namespace, name, subresource };
    return await this.#write<T>(resource, parts, {
      method: 'PUT',
      path: objectPath(resource, parts),
      body: JSON.stringify(object),
      verb: 'update',
      idempotent: true,
      signal,
    });
  }

  async patch<T extends KubernetesObject>(
    resource: Resource,
    { namespace, name }: ObjectName,
    patch: Patch,
    { subresource, signal }: RequestOptions = {},
  ): Promise<T> {
    const parts = { namespace, name, subresource };
    const query = patch.type === 'apply' ? queryText({ fieldManager: patch.fieldManager, force: patch.force }) : '';
    return await this.#write<T>(resource, parts, {
      method: 'PATCH',
      path: objectPath(resource, parts) + query,
      body: JSON.stringify(patch.body),
      contentType: PATCH_TYPES[patch.type],
      verb: 'patch',
      // A JSON patch may add to a list.
      idempotent: patch.type !== 'json',
      signal,
    });
  }

  async #write<T>(
    resource: Resource,
    parts: { namespace: string | undefined; name: string; subresource: string | undefined },
    {
      verb,
      ...request
    }: {
      method: 'PUT' | 'PATCH';
      path: string;
      body: string;
      contentType?: string;
      verb: 'update' | 'patch';
      idempotent: boolean;
      signal: AbortSignal | undefined;
    },
  ): Promise<T> {
    const { body } = await this.#requester.request({ ...request, asked: { verb, resource, ...parts } });
    return parseObject<T>(body, `${verb} ${resource.plural} ${parts.name}`);
  }

  async delete(
    resource: Resource,
    { namespace, name }: ObjectName,
    options: RequestOptions & {
      uid?: string;
      resourceVersion?: string;
      propagation?: 'Background' | 'Foreground';
    } = {},
  ): Promise<boolean> {
    const { subresource, signal, uid, resourceVersion, propagation: propagationPolicy } = options;
    const parts = { namespace, name, subresource };
    const preconditions = { ...(uid && { uid }), ...(resourceVersion && { resourceVersion }) };
    try {
      const { status, maybeDoneBefore } = await this.#requester.request({
        method: 'DELETE',
        path: objectPath(resource, parts),
        body: JSON.stringify({ apiVersion: 'v1', kind: 'DeleteOptions', preconditions, propagationPolicy }),
        asked: { verb: 'delete', resource, ...parts },
        idempotent: true,
        signal,
      });
      return status !== 404 || maybeDoneBefore;
    } catch (error) {
      if (error instanceof ApiError && error.status === 404) return false;
      throw error;
    }
  }

  informer<T extends KubernetesObject>(resource: Resource, options: InformerOptions<T> = {}): Informer<T> {
    const { logger, clock, random, informerTimes } = this.#options;
    return new ResourceInformer<T>(resource, options, {
      requester: this.#requester,
      logger,
      clock,
      random,
      times: { ...INFORMER_TIMES, ...informerTimes },
      closed: this.#closing.signal,
    });
  }

  async resourceOf(apiVersion: string, kind: string, signal?: AbortSignal): Promise<DiscoveredResource | null> {
    return await this.#discovery.resourceOf(apiVersion, kind, signal);
  }

  async close(): Promise<void> {
    this.#closing.abort(new Error('the client of the API server was closed'));
    await this.#connection.close();
  }
}
