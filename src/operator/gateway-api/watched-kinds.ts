/** The kinds that a translation is made of, watched as long as the cluster has them: CRDs may be installed later, or not at all. */
import type { Informer, KubernetesClient, KubernetesObject, Resource } from '../../kubernetes/client.ts';
import { CUSTOM_RESOURCES, NAMESPACES, SECRETS } from '../../kubernetes/resources.ts';
import type { Logger } from '../../model/ports.ts';
import { GROUP } from '../backend-object.ts';
import { GATEWAY_GROUP } from './objects.ts';
import { pause } from '../../model/pause.ts';

/** Each with its versions, the best first. */
const KINDS: Readonly<Record<string, { group: string; versions: readonly string[] }>> = {
  GatewayClass: { group: GATEWAY_GROUP, versions: ['v1'] },
  Gateway: { group: GATEWAY_GROUP, versions: ['v1'] },
  HTTPRoute: { group: GATEWAY_GROUP, versions: ['v1'] },
  GRPCRoute: { group: GATEWAY_GROUP, versions: ['v1'] },
  TLSRoute: { group: GATEWAY_GROUP, versions: ['v1'] },
  TCPRoute: { group: GATEWAY_GROUP, versions: ['v1'] },
  ReferenceGrant: { group: GATEWAY_GROUP, versions: ['v1', 'v1beta1'] },
  RouteFilter: { group: GROUP, versions: ['v1alpha1'] },
  RoutePolicy: { group: GROUP, versions: ['v1alpha1'] },
};

/** What every cluster has, watched once there are Gateways. */
const BESIDE: Readonly<Record<string, Resource>> = { Namespace: NAMESPACES };
/** Behind it stands the namespace, or nothing for all of them. */
const SECRET = 'Secret/';

const BUNDLE_VERSION = 'gateway.networking.k8s.io/bundle-version';
/** How often it is looked whether kinds have come, and how often it is said which ones can't be read, ms. */
const DISCOVERY_MS = 60_000;
const COMPLAINT_MS = 30_000;
/** How many discoveries pass between two looks at the versions of the CRDs. */
const VERSION_ROUNDS = 10;

interface Watched {
  informer: Informer<KubernetesObject>;
  stop: AbortController;
}

export interface WatchedKindsDeps {
  client: KubernetesClient;
  /** Where Secrets may be read; null: everywhere. */
  secretNamespaces: readonly string[] | null;
  logger: Logger;
  /** Something of this kind has changed. `specChanged`: more of it than its status. */
  changed(kind: string, object: KubernetesObject, specChanged: boolean): void;
  /** Kinds have come or gone, or their first lists are in. */
  kindsChanged(): void;
}

export class WatchedKinds {
  readonly #deps: WatchedKindsDeps;
  readonly #watched = new Map<string, Watched>();
  #bundleVersions: string[] = [];
  #round = 0;
  #looked = false;

  constructor(deps: WatchedKindsDeps) {
    this.#deps = deps;
  }

  /** Looks for kinds every minute until `signal` aborts. Never rejects. */
  async run(signal: AbortSignal): Promise<void> {
    while (!signal.aborted) {
      try {
        await this.#discover(signal);
      } catch (error) {
        if (signal.aborted) break;
        this.#deps.logger.warn('the kinds of the Gateway API could not be looked for', { error: String(error) });
      }
      await pause(this.#looked ? DISCOVERY_MS : COMPLAINT_MS, signal);
    }
    for (const { stop } of this.#watched.values()) stop.abort();
    this.#watched.clear();
  }

  /** Whether it is known which kinds there are, and all of them are there whole: a translation of less would say that things are missing. */
  get isSynced(): boolean {
    return this.#looked && [...this.#watched.values()].every(({ informer }) => informer.isSynced);
  }

  /** Whether there are Gateways in this cluster at all. */
  get isInstalled(): boolean {
    return this.#watched.has('GatewayClass') && this.#watched.has('Gateway');
  }

  get bundleVersions(): readonly string[] {
    return this.#bundleVersions;
  }

  list<T extends KubernetesObject>(kind: string): T[] {
    const all: T[] = [];
    for (const [key, { informer }] of this.#watched) {
      if (key === kind || (kind === 'Secret' && key.startsWith(SECRET))) all.push(...(informer.list() as Iterable<T>));
    }
    return all;
  }

  get(kind: string, { metadata }: KubernetesObject): { object: KubernetesObject; resource: Resource } | null {
    const informer = this.#watched.get(kind)?.informer;
    const object = informer?.get(metadata.namespace ?? '', metadata.name);
    return informer === undefined || object === undefined ? null : { object, resource: informer.resource };
  }

  async #discover(signal: AbortSignal): Promise<void> {
    const { client } = this.#deps;
    let changed = false;
    for (const [kind, { group, versions }] of Object.entries(KINDS)) {
      let found: Resource | null = null;
      for (const version of versions) found ??= await client.resourceOf(`${group}/${version}`, kind, signal);
      changed = this.#keep(kind, found, signal) || changed;
    }
    for (const [kind, resource] of Object.entries(BESIDE)) {
      changed = this.#keep(kind, this.isInstalled ? resource : null, signal) || changed;
    }
    for (const namespace of this.#deps.secretNamespaces ?? [''])
      changed = this.#keep(`${SECRET}${namespace}`, this.isInstalled ? SECRETS : null, signal) || changed;
    const first = !this.#looked;
    this.#looked = true;
    if (changed || this.#round % VERSION_ROUNDS === 0) await this.#readVersions(signal);
    this.#round++;
    if (changed || first) this.#deps.kindsChanged();
  }

  /** Whether anything changed. */
  #keep(kind: string, resource: Resource | null, signal: AbortSignal): boolean {
    const known = this.#watched.get(kind);
    if (resource === null) {
      known?.stop.abort();
      return this.#watched.delete(kind);
    }
    if (known !== undefined) return false;
    const stop = new AbortController();
    const informer = this.#deps.client.informer<KubernetesObject>(resource, {
      trim,
      ...secretsOf(kind),
    });
    this.#watched.set(kind, { informer, stop });
    informer.onChange((change) => {
      const specChanged = change.type !== 'changed' || !isStatusOnly(change.before, change.object);
      this.#deps.changed(kind, change.object, specChanged);
    });
    const both = AbortSignal.any([signal, stop.signal]);
    informer.start(both);
    void this.#tellWhenSynced(kind, informer, both);
    return true;
  }

  async #tellWhenSynced(kind: string, informer: Informer<KubernetesObject>, signal: AbortSignal): Promise<void> {
    const complaint = setInterval(() => {
      this.#deps.logger.warn(
        `${kind.split('/')[0]} objects can't be read yet: Gateways and routes are left as they are until then`,
        {
          kind,
          hint: `see whether the service account may list and watch ${informer.resource.plural}`,
        },
      );
    }, COMPLAINT_MS);
    try {
      await informer.synced(signal);
      this.#deps.kindsChanged();
    } catch {
      // It is no longer watched.
    } finally {
      clearInterval(complaint);
    }
  }

  /** Of the CRDs that are watched. Who may not read them can't say anything about their version. */
  async #readVersions(signal: AbortSignal): Promise<void> {
    const versions = new Set<string>();
    try {
      for (const { informer } of this.#watched.values()) {
        const { group, plural } = informer.resource;
        if (group !== GATEWAY_GROUP) continue;
        const crd = await this.#deps.client.get(CUSTOM_RESOURCES, { name: `${plural}.${group}` }, { signal });
        if (crd !== null) versions.add(crd.metadata.annotations?.[BUNDLE_VERSION] ?? '');
      }
    } catch (error) {
      this.#deps.logger.debug('the versions of the CRDs of the Gateway API could not be read', {
        error: String(error),
      });
      return;
    }
    this.#bundleVersions = [...versions].sort();
  }
}

/** Which Secrets are watched; {} for every other kind. */
function secretsOf(kind: string): { fieldSelector?: string; namespace?: string } {
  if (!kind.startsWith(SECRET)) return {};
  const namespace = kind.slice(SECRET.length);
  return { fieldSelector: 'type=kubernetes.io/tls', ...(namespace === '' ? {} : { namespace }) };
}

/** Without what is only for others to read. */
function trim(object: KubernetesObject): KubernetesObject {
  const { annotations: _annotations, ...metadata } = object.metadata as KubernetesObject['metadata'] & {
    managedFields?: unknown;
  };
  delete metadata.managedFields;
  return { ...object, metadata };
}

/** Kinds whose spec has no generation change whenever they do. */
function isStatusOnly({ metadata: before }: KubernetesObject, { metadata: now }: KubernetesObject): boolean {
  return (
    now.generation !== undefined &&
    before.generation === now.generation &&
    before.uid === now.uid &&
    before.deletionTimestamp === now.deletionTimestamp
  );
}
