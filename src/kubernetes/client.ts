/**
 * What this program asks of a Kubernetes API server. Knows nothing of dormouse. The implementation is in api-client.ts; others take these interfaces, so that
 * nothing depends on how a connection is made.
 */

/** A kind of object, by where the API server keeps it. */
export interface Resource {
  /** '' for core. */
  group: string;
  version: string;
  /** As in the path, lower case: `deployments`. */
  plural: string;
  kind: string;
  namespaced: boolean;
}

export interface ObjectMeta {
  name: string;
  namespace?: string;
  uid: string;
  resourceVersion: string;
  generation?: number;
  labels?: Record<string, string>;
  annotations?: Record<string, string>;
  creationTimestamp?: string;
  deletionTimestamp?: string;
  finalizers?: string[];
  ownerReferences?: OwnerReference[];
}

export interface OwnerReference {
  apiVersion: string;
  kind: string;
  name: string;
  uid: string;
  controller?: boolean;
}

export interface KubernetesObject {
  apiVersion: string;
  kind: string;
  metadata: ObjectMeta;
}

/** Names one object; no namespace for those that have none. */
export interface ObjectName {
  namespace?: string;
  name: string;
}

export interface RequestOptions {
  signal?: AbortSignal;
  /** '' or left out: the object itself; else `status`, `scale` … */
  subresource?: string;
}

export type Patch =
  /** RFC 7386. */
  | { type: 'merge'; body: object }
  /** RFC 6902. */
  | { type: 'json'; body: readonly object[] }
  /** Server-side apply: `body` has apiVersion, kind and metadata.name; fields are owned by `fieldManager`. */
  | { type: 'apply'; body: object; fieldManager: string; force?: boolean };

/** Every method rejects with ApiError for an answer that is no success, and with DormouseError DORMOUSE_API_UNREACHABLE when there was none within the bound (30 s by default). */
export interface KubernetesClient {
  /** null for 404. */
  get<T extends KubernetesObject>(resource: Resource, name: ObjectName, options?: RequestOptions): Promise<T | null>;
  /** Everything, in pages of 500. */
  list<T extends KubernetesObject>(resource: Resource, options?: ListOptions): Promise<ListResult<T>>;
  create<T extends KubernetesObject>(
    resource: Resource,
    object: object,
    options?: RequestOptions & { namespace?: string },
  ): Promise<T>;
  /** PUT: `metadata.resourceVersion` in it is a precondition (409 Conflict). */
  replace<T extends KubernetesObject>(
    resource: Resource,
    name: ObjectName,
    object: object,
    options?: RequestOptions,
  ): Promise<T>;
  patch<T extends KubernetesObject>(
    resource: Resource,
    name: ObjectName,
    patch: Patch,
    options?: RequestOptions,
  ): Promise<T>;
  /** False when it was not there. `uid` and `resourceVersion` are preconditions. `propagation`: what becomes of what it owns, where the kind's default is another. */
  delete(
    resource: Resource,
    name: ObjectName,
    options?: RequestOptions & { uid?: string; resourceVersion?: string; propagation?: 'Background' | 'Foreground' },
  ): Promise<boolean>;
  /** Keeps a set of objects as the server has them; `start` begins. */
  informer<T extends KubernetesObject>(resource: Resource, options?: InformerOptions<T>): Informer<T>;
  /** Where the API server keeps this kind, by discovery (cached, asked again after a minute for what was not there); null: it has none. */
  resourceOf(apiVersion: string, kind: string, signal?: AbortSignal): Promise<DiscoveredResource | null>;
  close(): Promise<void>;
}

export interface DiscoveredResource extends Resource {
  /** Whether it has a /scale subresource. */
  scalable: boolean;
}

export interface ListOptions {
  /** Left out: all. */
  namespace?: string;
  labelSelector?: string;
  fieldSelector?: string;
  signal?: AbortSignal;
}

export interface ListResult<T> {
  items: T[];
  resourceVersion: string;
}

export interface InformerOptions<T> extends Pick<ListOptions, 'namespace' | 'labelSelector' | 'fieldSelector'> {
  /** Keeps only what is needed of each object; must keep apiVersion, kind and metadata's name, namespace, uid and resourceVersion. */
  trim?: (object: T) => T;
}

export type Change<T> =
  | { type: 'added'; object: T }
  | { type: 'changed'; object: T; before: T }
  | { type: 'removed'; object: T };

export interface Informer<T extends KubernetesObject> {
  readonly resource: Resource;
  /** Lists and watches until `signal` aborts; goes on through every error of the server. */
  start(signal: AbortSignal): void;
  /** Resolves when the first list is in; rejects when `signal` aborts first. */
  synced(signal: AbortSignal): Promise<void>;
  readonly isSynced: boolean;
  /** Milliseconds since the server was last heard of (a list, an event, a bookmark); Infinity: never. */
  silentMs(): number;
  get(namespace: string, name: string): T | undefined;
  /** All, or those of one namespace. */
  list(namespace?: string): Iterable<T>;
  readonly size: number;
  /** Called for each change, after it is in the cache, in order. Returns what ends it. What it throws is logged. */
  onChange(listener: (change: Change<T>) => void): () => void;
}

/** autoscaling/v1 Scale. */
export interface Scale extends KubernetesObject {
  spec: { replicas?: number };
  status: { replicas: number; selector?: string };
}
