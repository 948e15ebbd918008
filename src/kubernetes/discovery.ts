import type { Clock } from '../model/ports.ts';
import { ApiError } from './api-error.ts';
import type { DiscoveredResource } from './client.ts';
import { parseObject } from './list-pages.ts';
import type { Requester } from './requester.ts';
import { DormouseError } from '../model/errors.ts';

interface ApiResource {
  name: string;
  kind: string;
  namespaced: boolean;
}

interface Known {
  atMs: number;
  resources: Map<string, DiscoveredResource>;
}

/** What was there is asked again after this long: a CRD may have got a scale subresource, ms. */
const FOUND_FOR_MS = 10 * 60_000;
/** What was not there: somebody may just be installing it, ms. */
const MISSING_FOR_MS = 60_000;
const MAX_GROUPS = 256;
/** RFC 1123 labels and a version: nothing else may get into a path. */
const API_VERSION = /^(?:([a-z0-9](?:[a-z0-9.-]{0,251}[a-z0-9])?)\/)?(v[0-9][a-z0-9]{0,62})$/;

/** Which kinds the API server has, group by group, as they are asked for. */
export class Discovery {
  readonly #requester: Requester;
  readonly #clock: Clock;
  /** By apiVersion; what is asked now, or was. At most MAX_GROUPS, the oldest goes. */
  readonly #groups = new Map<string, Promise<Known>>();

  constructor(requester: Requester, clock: Clock) {
    this.#requester = requester;
    this.#clock = clock;
  }

  /** null: it has no such kind. Rejects as a request does. */
  async resourceOf(apiVersion: string, kind: string, signal?: AbortSignal): Promise<DiscoveredResource | null> {
    if (!API_VERSION.test(apiVersion)) return null;
    const pending = this.#groups.get(apiVersion);
    if (pending !== undefined) {
      const known = await waitFor(pending, signal);
      const found = known.resources.get(kind) ?? null;
      const ageMs = this.#clock.nowMs() - known.atMs;
      if (ageMs < (found === null ? MISSING_FOR_MS : FOUND_FOR_MS)) return found;
      // Somebody else may have begun to ask again while this waited.
      if (this.#groups.get(apiVersion) === pending) this.#groups.delete(apiVersion);
    }
    return (await waitFor(this.#ask(apiVersion), signal)).resources.get(kind) ?? null;
  }

  /** One question for all who wait; it goes on when one of them has left. What failed is not kept. */
  #ask(apiVersion: string): Promise<Known> {
    const pending = this.#groups.get(apiVersion);
    if (pending !== undefined) return pending;
    const asking = this.#read(apiVersion);
    this.#groups.set(apiVersion, asking);
    if (this.#groups.size > MAX_GROUPS) this.#groups.delete(this.#groups.keys().next().value!);
    asking.catch(() => {
      if (this.#groups.get(apiVersion) === asking) this.#groups.delete(apiVersion);
    });
    return asking;
  }

  async #read(apiVersion: string): Promise<Known> {
    const [, group = '', version = ''] = API_VERSION.exec(apiVersion)!;
    const resources = new Map<string, DiscoveredResource>();
    const resource = { group, version, plural: 'resources', kind: 'APIResourceList', namespaced: false };
    let body: Buffer;
    try {
      ({ body } = await this.#requester.request({
        method: 'GET',
        path: group === '' ? `/api/${version}` : `/apis/${group}/${version}`,
        asked: { verb: 'get', resource },
        idempotent: true,
      }));
    } catch (error) {
      if (error instanceof ApiError && error.status === 404) return { atMs: this.#clock.nowMs(), resources };
      throw error;
    }
    const list = parseObject<{ resources?: unknown }>(body, `get the kinds of ${apiVersion}`).resources;
    if (!Array.isArray(list)) {
      throw new DormouseError('DORMOUSE_API_ANSWER', `get the kinds of ${apiVersion}: the answer is no list of kinds`);
    }
    const items = list as ApiResource[];
    const scales = new Set(items.filter(({ name }) => name.endsWith('/scale')).map(({ name }) => name.slice(0, -6)));
    for (const { name: plural, kind, namespaced } of items) {
      if (plural.includes('/')) continue;
      resources.set(kind, { group, version, plural, kind, namespaced, scalable: scales.has(plural) });
    }
    return { atMs: this.#clock.nowMs(), resources };
  }
}

async function waitFor<T>(promise: Promise<T>, signal: AbortSignal | undefined): Promise<T> {
  if (signal === undefined) return await promise;
  signal.throwIfAborted();
  let abort: () => void;
  const aborted = new Promise<never>((_, reject) => {
    abort = () => reject(signal.reason);
    signal.addEventListener('abort', abort, { once: true });
  });
  try {
    return await Promise.race([promise, aborted]);
  } finally {
    signal.removeEventListener('abort', abort!);
  }
}
