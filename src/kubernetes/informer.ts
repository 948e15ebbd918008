/**
 * A set of objects as the API server has them: one list, then a watch that goes on from it, for ever. Every way in which a watch ends or goes silent is
 * met by going on from the last version seen, or by listing again and telling the differences.
 */
import { setTimeout as pause } from 'node:timers/promises';
import type { Clock, Logger, RandomSource } from '../model/ports.ts';
import { ApiError } from './api-error.ts';
import { Backoff } from './backoff.ts';
import type { Change, Informer, InformerOptions, KubernetesObject, Resource } from './client.ts';
import { JsonLines } from './json-lines.ts';
import { readPages } from './list-pages.ts';
import { ObjectCache } from './object-cache.ts';
import { DormouseError } from '../model/errors.ts';
import type { Requester } from './requester.ts';
import { queryText, resourcePath } from './resource-path.ts';

export interface InformerTimes {
  /** The server ends a watch after a time between this and its double, s. */
  watchSeconds: number;
  /** A watch on which nothing came for so long, not even a bookmark (one a minute), is given up, ms. */
  silenceMs: number;
  /** Between two tries after errors, ms. */
  firstBackoffMs: number;
  longestBackoffMs: number;
}

export const INFORMER_TIMES: InformerTimes = {
  watchSeconds: 300,
  silenceMs: 90_000,
  firstBackoffMs: 200,
  longestBackoffMs: 10_000,
};

export interface InformerParts {
  requester: Requester;
  logger: Logger;
  clock: Clock;
  random: RandomSource;
  times: InformerTimes;
  /** Aborts when the client is closed. */
  closed: AbortSignal;
}

/** The API server takes objects of up to 3 MiB, and JSON may escape what etcd keeps in one byte with six. */
const MAX_EVENT_BYTES = 16 * 1024 * 1024;
/** A watch that ends sooner, without an event, is a failure. */
const SHORT_WATCH_MS = 1000;
/** So many failures in a row of going on from a version: the version may be at fault. */
const FAILURES_UNTIL_LIST = 3;
/** The same error is said again after this long. */
const REPEAT_LOG_MS = 60_000;

interface WatchEvent<T> {
  type: 'ADDED' | 'MODIFIED' | 'DELETED' | 'BOOKMARK' | 'ERROR';
  object: T;
}

/** Why a watch ended whose version can't be gone on from. */
class ListAgain extends Error {}

interface Waiter {
  resolve(): void;
  reject(reason: unknown): void;
}

export class ResourceInformer<T extends KubernetesObject> implements Informer<T> {
  readonly resource: Resource;
  readonly #options: InformerOptions<T>;
  readonly #parts: InformerParts;
  readonly #logger: Logger;
  readonly #cache = new ObjectCache<T>();
  readonly #backoff: Backoff;
  #listeners: readonly ((change: Change<T>) => void)[] = [];
  #waiters = new Set<Waiter>();
  #heardAtMs = -Infinity;
  /** Where a watch goes on from; '': list first. */
  #version = '';
  #synced = false;
  #started = false;
  #ended: { reason: unknown } | null = null;
  #lastError = '';
  #lastErrorAtMs = -Infinity;

  constructor(resource: Resource, options: InformerOptions<T>, parts: InformerParts) {
    this.resource = resource;
    this.#options = options;
    this.#parts = parts;
    this.#logger = parts.logger.child({ kind: resource.kind });
    this.#backoff = new Backoff(parts.times.firstBackoffMs, parts.times.longestBackoffMs, parts.random);
  }

  start(signal: AbortSignal): void {
    if (this.#started)
      throw new DormouseError('DORMOUSE_INTERNAL', `the informer of ${this.resource.kind} runs already`);
    this.#started = true;
    const controller = new AbortController();
    const sources = [signal, this.#parts.closed];
    const end = (event: Event): void => controller.abort((event.target as AbortSignal).reason);
    for (const source of sources) {
      if (source.aborted) controller.abort(source.reason);
      else source.addEventListener('abort', end, { once: true });
    }
    void this.#run(controller.signal).finally(() => {
      for (const source of sources) source.removeEventListener('abort', end);
      this.#ended = { reason: controller.signal.reason };
      for (const waiter of this.#waiters) waiter.reject(controller.signal.reason);
    });
  }

  async synced(signal: AbortSignal): Promise<void> {
    if (this.#synced) return;
    if (this.#ended !== null) throw this.#ended.reason;
    signal.throwIfAborted();
    let waiter: Waiter;
    const abort = (): void => waiter.reject(signal.reason);
    try {
      await new Promise<void>((resolve, reject) => {
        waiter = { resolve, reject };
        this.#waiters.add(waiter);
        signal.addEventListener('abort', abort, { once: true });
      });
    } finally {
      this.#waiters.delete(waiter!);
      signal.removeEventListener('abort', abort);
    }
  }

  get isSynced(): boolean {
    return this.#synced;
  }

  silentMs(): number {
    return this.#parts.clock.nowMs() - this.#heardAtMs;
  }

  get(namespace: string, name: string): T | undefined {
    return this.#cache.get(namespace, name);
  }

  list(namespace?: string): Iterable<T> {
    return namespace === undefined ? this.#cache.all() : this.#cache.of(namespace);
  }

  get size(): number {
    return this.#cache.size;
  }

  onChange(listener: (change: Change<T>) => void): () => void {
    const entry = (change: Change<T>): void => listener(change);
    this.#listeners = [...this.#listeners, entry];
    return () => {
      this.#listeners = this.#listeners.filter((other) => other !== entry);
    };
  }

  async #run(signal: AbortSignal): Promise<void> {
    while (!signal.aborted) {
      let waitMs = 0;
      try {
        if (this.#version === '') await this.#list(signal);
        await this.#watch(signal);
      } catch (error) {
        if (signal.aborted) return;
        if (this.#mustList(error)) this.#version = '';
        waitMs = this.#backoff.next();
        if (error instanceof ApiError) waitMs = Math.max(waitMs, Math.min(error.retryAfterMs, 60_000));
        if (!(error instanceof ListAgain)) this.#complain(error, waitMs);
      }
      // Also when the watch ended as it should: a timer lets others have their turn.
      await pause(waitMs, undefined, { signal }).catch(() => {});
    }
  }

  /** A connection that broke, a server that is busy: what was seen stays true. Anything else leaves the version in doubt. */
  #mustList(error: unknown): boolean {
    if (this.#backoff.failures >= FAILURES_UNTIL_LIST) return true;
    if (error instanceof ApiError) return error.status < 429 || error.reason === 'Timeout';
    return !(error instanceof DormouseError && error.code === 'DORMOUSE_API_UNREACHABLE');
  }

  async #list(signal: AbortSignal): Promise<void> {
    // What was there before the first page and is in none of the pages has gone.
    let seen = new Set<string>();
    const version = await readPages<T>(
      this.#parts.requester,
      this.resource,
      { ...this.#options, signal },
      {
        page: (items) => {
          this.#heard();
          for (const item of items) {
            seen.add(keyOf(item));
            this.#tell(this.#cache.put(this.#trimmed(item)));
          }
        },
        restart: () => {
          seen = new Set();
        },
      },
    );
    for (const object of [...this.#cache.all()]) {
      if (seen.has(keyOf(object))) continue;
      this.#tell(this.#cache.remove(object.metadata.namespace ?? '', object.metadata.name));
    }
    this.#version = version;
    this.#recovered();
    if (this.#synced) return;
    this.#synced = true;
    for (const waiter of this.#waiters) waiter.resolve();
  }

  async #watch(signal: AbortSignal): Promise<void> {
    const { requester, times, random, clock } = this.#parts;
    const { namespace, labelSelector, fieldSelector } = this.#options;
    const query = queryText({
      watch: true,
      allowWatchBookmarks: true,
      resourceVersion: this.#version,
      timeoutSeconds: Math.ceil(times.watchSeconds * (1 + random())),
      labelSelector,
      fieldSelector,
    });
    const given = new AbortController();
    const giveUp = (): void => given.abort(signal.reason);
    signal.addEventListener('abort', giveUp, { once: true });
    let silent = false;
    const watchdog = setTimeout(() => {
      silent = true;
      given.abort(new Error('silent'));
    }, times.silenceMs);
    const beganAtMs = clock.nowMs();
    let events = 0;
    try {
      const body = await requester.watch(
        { verb: 'watch', resource: this.resource, namespace },
        resourcePath(this.resource, { namespace }) + query,
        given.signal,
      );
      const lines = new JsonLines(MAX_EVENT_BYTES);
      for await (const chunk of body) {
        this.#heard();
        watchdog.refresh();
        lines.push(chunk, (value) => {
          events += 1;
          this.#take(value as WatchEvent<T>);
        });
      }
    } catch (error) {
      if (!silent || signal.aborted) throw asUnreachable(error, this.resource);
      this.#logger.warn('a watch went silent: connecting again', { silentMs: times.silenceMs });
      return;
    } finally {
      clearTimeout(watchdog);
      signal.removeEventListener('abort', giveUp);
    }
    if (events === 0 && clock.nowMs() - beganAtMs < SHORT_WATCH_MS) {
      throw new DormouseError(
        'DORMOUSE_API_UNREACHABLE',
        `watch ${this.resource.plural}: the server ended it at once, without an event`,
      );
    }
  }

  #take(event: WatchEvent<T>): void {
    const { type, object } = event;
    if (type === 'ERROR') {
      const status = object as unknown as { code?: number; reason?: string; message?: string };
      this.#logger.debug('a watch can not go on: listing again', { reason: status.reason, message: status.message });
      throw new ListAgain(status.reason);
    }
    const version = object?.metadata?.resourceVersion;
    if (typeof version !== 'string') throw new ListAgain('an event without a version');
    if (type === 'DELETED') {
      const last = this.#trimmed(object);
      this.#version = version;
      this.#tell(this.#cache.remove(last.metadata.namespace ?? '', last.metadata.name, last));
    } else if (type !== 'BOOKMARK') {
      const now = this.#trimmed(object);
      this.#version = version;
      this.#tell(this.#cache.put(now));
    } else {
      this.#version = version;
    }
    this.#recovered();
  }

  /** Who wrote which field is the largest part of many an object, and nobody's concern here. Set, not deleted: that would make the object a slow one. */
  #trimmed(object: T): T {
    const meta = object.metadata as { managedFields?: unknown };
    if (meta.managedFields !== undefined) meta.managedFields = undefined;
    return this.#options.trim === undefined ? object : this.#options.trim(object);
  }

  #tell(changes: readonly Change<T>[]): void {
    for (const change of changes) {
      for (const listener of this.#listeners) {
        try {
          listener(change);
        } catch (error) {
          const { namespace = '', name } = change.object.metadata;
          this.#logger.error('a listener failed', { change: change.type, namespace, name, error });
        }
      }
    }
  }

  #heard(): void {
    this.#heardAtMs = this.#parts.clock.nowMs();
  }

  #recovered(): void {
    this.#backoff.reset();
    if (this.#lastError === '') return;
    this.#lastError = '';
    this.#logger.info('lists and watches again');
  }

  #complain(error: unknown, againInMs: number): void {
    const message = (error as Error).message;
    const now = this.#parts.clock.nowMs();
    const known = message === this.#lastError && now - this.#lastErrorAtMs < REPEAT_LOG_MS;
    const fields = { error: message, againInMs: Math.round(againInMs) };
    if (known) {
      this.#logger.debug('the API server can not be followed', fields);
      return;
    }
    this.#lastError = message;
    this.#lastErrorAtMs = now;
    this.#logger.warn('the API server can not be followed: trying again', fields);
  }
}

function keyOf({ metadata }: KubernetesObject): string {
  return `${metadata.namespace ?? ''}/${metadata.name}`;
}

/** What breaks off in the middle of a body is the socket's own error. */
function asUnreachable(error: unknown, resource: Resource): unknown {
  if (error instanceof DormouseError || error instanceof ListAgain) return error;
  return new DormouseError('DORMOUSE_API_UNREACHABLE', `watch ${resource.plural}: ${(error as Error).message}`, {
    cause: error,
  });
}
