/** Writes statuses that differ from what objects have: a few at once, so many a second, each again until it is there. */
import { setTimeout as delay } from 'node:timers/promises';
import { isReason } from '../../kubernetes/api-error.ts';
import type { KubernetesClient, KubernetesObject, Resource } from '../../kubernetes/client.ts';
import { WorkQueue } from '../../kubernetes/work-queue.ts';
import type { Clock, Logger, RandomSource } from '../../model/ports.ts';
import { statusPatch } from './statuses.ts';
import type { StatusOf } from './translation.ts';

const CONCURRENCY = 4;
const MAX_KEYS = 100_000;
/** After somebody else wrote meanwhile: the watch brings it within this, ms. */
const CONFLICT_MS = 200;

export interface StatusWriterDeps {
  client: KubernetesClient;
  clock: Clock;
  logger: Logger;
  random: RandomSource;
  /** Writes in a second, > 0. */
  maxPerSecond: number;
  /** The object as it is now, and where the API server keeps it; null: it is gone. */
  current(wanted: StatusOf): { object: KubernetesObject; resource: Resource } | null;
}

export class StatusWriter {
  readonly #deps: StatusWriterDeps;
  readonly #queue: WorkQueue;
  #wanted = new Map<string, StatusOf>();
  #nextMs = 0;
  #stopped = false;
  #written = 0;

  /** Begins at once. */
  constructor(deps: StatusWriterDeps) {
    this.#deps = deps;
    this.#queue = new WorkQueue({
      work: (key, signal) => this.#write(key, signal),
      concurrency: CONCURRENCY,
      maxKeys: MAX_KEYS,
      logger: deps.logger,
      random: deps.random,
      firstBackoffMs: 100,
      longestBackoffMs: 60_000,
    });
    this.#queue.start();
  }

  /** Writes that were made. */
  get written(): number {
    return this.#written;
  }

  /** All statuses as they shall be; replaces what was wanted. */
  want(statuses: readonly StatusOf[]): void {
    this.#wanted = new Map(statuses.map((one) => [statusKey(one.kind, one.object), one]));
    for (const [key, one] of this.#wanted) if (this.#patch(one) !== null) this.#queue.add(key);
  }

  /** This object has changed: its status is looked at again. */
  look(kind: string, object: KubernetesObject): void {
    const key = statusKey(kind, object);
    const wanted = this.#wanted.get(key);
    if (!this.#stopped && wanted !== undefined && this.#patch(wanted) !== null) this.#queue.add(key);
  }

  /** Resolves when what was begun has ended. */
  async stop(): Promise<void> {
    this.#stopped = true;
    this.#wanted.clear();
    await this.#queue.stop();
  }

  #patch(wanted: StatusOf): object | null {
    const found = this.#deps.current(wanted);
    return found === null ? null : statusPatch(wanted, found.object, this.#deps.clock.wallMs());
  }

  async #write(key: string, signal: AbortSignal): Promise<{ afterMs: number } | void> {
    await this.#turn(signal);
    const wanted = this.#wanted.get(key);
    const found = wanted === undefined ? null : this.#deps.current(wanted);
    if (wanted === undefined || found === null) return;
    const body = statusPatch(wanted, found.object, this.#deps.clock.wallMs());
    if (body === null) return;
    const { namespace, name } = found.object.metadata;
    const place = namespace === undefined ? { name } : { namespace, name };
    try {
      await this.#deps.client.patch(found.resource, place, { type: 'merge', body }, { subresource: 'status', signal });
      this.#written++;
    } catch (error) {
      if (isReason(error, 'Conflict')) return { afterMs: CONFLICT_MS };
      // It was deleted meanwhile.
      if (!isReason(error, 'NotFound')) throw error;
    }
  }

  /** Waits until another write may begin. */
  async #turn(signal: AbortSignal): Promise<void> {
    const nowMs = this.#deps.clock.nowMs();
    const atMs = Math.max(nowMs, this.#nextMs);
    this.#nextMs = atMs + 1000 / this.#deps.maxPerSecond;
    if (atMs > nowMs) await delay(atMs - nowMs, undefined, { signal });
  }
}

export function statusKey(kind: string, { metadata }: KubernetesObject): string {
  return `${kind} ${metadata.namespace ?? ''}/${metadata.name}`;
}
