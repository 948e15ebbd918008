/**
 * Keeps the gateways' configuration and the statuses of the Gateway API's objects as the objects are: whatever changes leads to one translation of everything, a moment
 * later. In a cluster without the Gateway API nothing is watched but whether it comes.
 */
import { isDeepStrictEqual } from 'node:util';
import type { Informer, KubernetesClient, KubernetesObject } from '../../kubernetes/client.ts';
import type { Clock, Logger, RandomSource } from '../../model/ports.ts';
import type { Service } from '../kinds.ts';
import type {
  Gateway,
  GatewayClass,
  GrpcRoute,
  HttpRoute,
  RawRoute,
  ReferenceGrant,
  RouteFilterObject,
  RoutePolicyObject,
  Secret,
} from './objects.ts';
import { StatusWriter } from './status-writer.ts';
import { translate } from './translate.ts';
import type { GatewayApiSnapshot, GuardedBackend, Translation, TranslationSettings } from './translation.ts';
import { WatchedKinds } from './watched-kinds.ts';

/** Changes within this belong together, ms; a steady stream of them is translated after the second bound all the same. */
const GATHER_MS = 50;
const GATHER_MOST_MS = 500;
const MAX_WRITES_PER_SECOND = 50;

export interface GatewayApiDeps {
  client: KubernetesClient;
  /** Where Secrets may be read; null: everywhere. */
  secretNamespaces: readonly string[] | null;
  /** Begun by the caller. */
  services: Informer<Service>;
  /** Backend objects, as they are now; tell `changed` when they change. */
  guarded(): Iterable<GuardedBackend>;
  /** As they are now; tell `changed` when they change. */
  settings(): TranslationSettings;
  /** What the gateways' configuration shall have; only when it is another one than before. */
  onTranslation(translation: Translation): void;
  clock: Clock;
  logger: Logger;
  random: RandomSource;
  /** Writes of statuses in a second; 50. */
  maxWritesPerSecond?: number;
}

const NOTHING: Translation = { listeners: [], routes: [], backends: [], services: [], certificates: [], statuses: [] };

export class GatewayApi {
  readonly #deps: GatewayApiDeps;
  readonly #kinds: WatchedKinds;
  #writer: StatusWriter | null = null;
  #latest: Translation | null = null;
  #timer: NodeJS.Timeout | null = null;
  #gatherUntilMs = 0;
  #stopped = true;
  readonly #waiting = new Set<() => void>();

  constructor(deps: GatewayApiDeps) {
    this.#deps = deps;
    this.#kinds = new WatchedKinds({
      client: deps.client,
      secretNamespaces: deps.secretNamespaces,
      logger: deps.logger,
      changed: (kind, object, specChanged) => {
        if (specChanged) this.changed();
        else this.#writer?.look(kind, object);
      },
      kindsChanged: () => this.changed(),
    });
  }

  /** Watches and translates until `signal` aborts; resolves when everything has ended. Never rejects. */
  async run(signal: AbortSignal): Promise<void> {
    this.#stopped = false;
    const leave = this.#deps.services.onChange(() => this.changed());
    await this.#kinds.run(signal);
    leave();
    this.#stopped = true;
    if (this.#timer !== null) clearTimeout(this.#timer);
    this.#timer = null;
    await this.setWriting(false);
  }

  /** Whether statuses are written: by one replica alone. */
  async setWriting(writing: boolean): Promise<void> {
    if (writing === (this.#writer !== null)) return;
    if (!writing) {
      const writer = this.#writer!;
      this.#writer = null;
      return writer.stop();
    }
    const { client, clock, logger, random, maxWritesPerSecond = MAX_WRITES_PER_SECOND } = this.#deps;
    this.#writer = new StatusWriter({
      client,
      clock,
      logger,
      random,
      maxPerSecond: maxWritesPerSecond,
      current: ({ kind, object }) => this.#kinds.get(kind, object),
    });
    if (this.#latest !== null) this.#writer.want(this.#latest.statuses);
  }

  /** The latest translation; null: not everything has been read yet. */
  get latest(): Translation | null {
    return this.#latest;
  }

  /** Resolves with the first translation (an empty one where the Gateway API is not installed); rejects when `signal` aborts first. */
  first(signal: AbortSignal): Promise<Translation> {
    return new Promise((resolve, reject) => {
      const look = (): void => {
        if (this.#latest === null) return;
        leave();
        resolve(this.#latest);
      };
      const abort = (): void => {
        leave();
        reject(signal.reason as Error);
      };
      const leave = (): void => {
        this.#waiting.delete(look);
        signal.removeEventListener('abort', abort);
      };
      if (signal.aborted) return abort();
      this.#waiting.add(look);
      signal.addEventListener('abort', abort);
      look();
    });
  }

  /** Settings or Backend objects have changed. */
  changed(): void {
    if (this.#stopped) return;
    const nowMs = this.#deps.clock.nowMs();
    if (this.#timer === null) this.#gatherUntilMs = nowMs + GATHER_MOST_MS;
    else clearTimeout(this.#timer);
    const waitMs = Math.max(0, Math.min(GATHER_MS, this.#gatherUntilMs - nowMs));
    this.#timer = setTimeout(() => {
      this.#timer = null;
      this.#translate();
    }, waitMs);
  }

  #translate(): void {
    if (!this.#kinds.isSynced || !this.#deps.services.isSynced) return;
    const before = this.#latest;
    let translation: Translation;
    try {
      translation = this.#kinds.isInstalled ? translate(this.#snapshot(), this.#deps.settings()) : NOTHING;
    } catch (error) {
      // Nothing that an object says should come here; what is in force stays.
      this.#deps.logger.error('Gateways and routes could not be translated; the former configuration stays in force', {
        error: error instanceof Error ? (error.stack ?? error.message) : String(error),
      });
      return;
    }
    this.#latest = translation;
    if (before === null || !isSameConfiguration(before, translation)) this.#deps.onTranslation(translation);
    this.#writer?.want(translation.statuses);
    for (const look of this.#waiting) look();
  }

  #snapshot(): GatewayApiSnapshot {
    const list = <T extends KubernetesObject>(kind: string): T[] => this.#kinds.list<T>(kind);
    return {
      gatewayClasses: list<GatewayClass>('GatewayClass'),
      gateways: list<Gateway>('Gateway'),
      httpRoutes: list<HttpRoute>('HTTPRoute'),
      grpcRoutes: list<GrpcRoute>('GRPCRoute'),
      tlsRoutes: list<RawRoute>('TLSRoute'),
      tcpRoutes: list<RawRoute>('TCPRoute'),
      referenceGrants: list<ReferenceGrant>('ReferenceGrant'),
      namespaces: list('Namespace'),
      services: [...this.#deps.services.list()],
      secrets: list<Secret>('Secret'),
      routeFilters: list<RouteFilterObject>('RouteFilter'),
      routePolicies: list<RoutePolicyObject>('RoutePolicy'),
      backends: [...this.#deps.guarded()],
      bundleVersions: this.#kinds.bundleVersions,
    };
  }
}

function isSameConfiguration({ statuses: _one, ...a }: Translation, { statuses: _other, ...b }: Translation): boolean {
  return isDeepStrictEqual(a, b);
}
