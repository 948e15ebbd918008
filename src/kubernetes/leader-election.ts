/**
 * One leader among several candidates by a Lease, with the rules and times of client-go's leaderelection: who holds the lock renews it; who sees it unchanged
 * for its whole duration, by its own monotonic clock, may take it. Times that others wrote are never compared with a clock, so clocks may differ.
 */
import { setTimeout as pause } from 'node:timers/promises';
import type { Clock, Logger, RandomSource } from '../model/ports.ts';
import { isReason } from './api-error.ts';
import { BoundedSignal } from './bounded-signal.ts';
import type { KubernetesClient, KubernetesObject, ObjectName } from './client.ts';
import { microTime } from './micro-time.ts';
import { LEASES } from './resources.ts';

export interface LeaderElectionOptions {
  client: Pick<KubernetesClient, 'get' | 'create' | 'replace'>;
  /** The Lease; made when it isn't there. */
  lock: Required<ObjectName>;
  /** Unlike that of every other candidate: the pod's name with something random. */
  identity: string;
  logger: Logger;
  clock: Clock;
  random: RandomSource;
  /** For how long others leave the lock alone, ms; 15 s. */
  leaseDurationMs?: number;
  /** A leader that could not renew for so long stops being one, ms; 10 s. */
  renewDeadlineMs?: number;
  /** Between two tries, ms; 2 s. */
  retryPeriodMs?: number;
  /**
   * Called on becoming the leader. `signal` aborts when that is over: it must end what it does then. What it returns is waited for before this candidate
   * tries again, and before the lock is given back.
   */
  started(signal: AbortSignal): Promise<void> | void;
  /** Called when `started` has ended after leadership was. */
  stopped?(): void;
}

/** coordination.k8s.io/v1. */
interface Lease extends KubernetesObject {
  spec?: {
    holderIdentity?: string;
    leaseDurationSeconds?: number;
    acquireTime?: string;
    renewTime?: string;
    leaseTransitions?: number;
  };
}

type Attempt = 'held' | 'other' | 'failed';

/** A duration that somebody wrote by hand must not lock everybody out for ever. */
const LONGEST_FOREIGN_MS = 3_600_000;
const RELEASE_MS = 5000;
/** After this a leader whose work does not end is complained about. */
const ENDS_WITHIN_MS = 30_000;

export class LeaderElection {
  readonly #options: LeaderElectionOptions;
  readonly #leaseDurationMs: number;
  readonly #renewDeadlineMs: number;
  readonly #retryPeriodMs: number;
  #observed: Lease | null = null;
  #observedAtMs = -Infinity;
  #leading = false;
  /** When the last renewal that went well was begun. */
  #renewedAtMs = -Infinity;
  #ended: Promise<void> | null = null;

  constructor(options: LeaderElectionOptions) {
    this.#options = options;
    this.#leaseDurationMs = options.leaseDurationMs ?? 15_000;
    this.#renewDeadlineMs = options.renewDeadlineMs ?? 10_000;
    this.#retryPeriodMs = options.retryPeriodMs ?? 2000;
  }

  /** True only as long as nobody else can be the leader; false already when the process was stopped for too long to know. */
  get isLeader(): boolean {
    return this.#leading && this.#options.clock.nowMs() - this.#renewedAtMs < this.#renewDeadlineMs;
  }

  /** Who held the lock when it was last seen; '': nobody. */
  get holder(): string {
    return this.#observed?.spec?.holderIdentity ?? '';
  }

  /** Tries until `signal` aborts; `finished` tells when it has given everything back. */
  start(signal: AbortSignal): void {
    this.#ended ??= this.#run(signal);
  }

  /** Resolves when, after `signal` of start, the work has ended and the lock is released (within 5 s) or left to run out. */
  async finished(): Promise<void> {
    await this.#ended;
  }

  async #run(signal: AbortSignal): Promise<void> {
    while (!signal.aborted) {
      if ((await this.#attempt(signal)) === 'held' && !signal.aborted) await this.#lead(signal);
      else await this.#pause(signal);
    }
    if (this.#isMine()) await this.#release();
  }

  /** Within the period: whoever waits takes a released lock at most one period later, and not all at once. */
  async #pause(signal: AbortSignal): Promise<void> {
    const ms = this.#retryPeriodMs * (0.5 + 0.4 * this.#options.random());
    await pause(ms, undefined, { signal }).catch(() => {});
  }

  async #lead(signal: AbortSignal): Promise<void> {
    const { logger, identity } = this.#options;
    const leadership = new AbortController();
    logger.info('became the leader', { identity });
    this.#leading = true;
    // A task of its own: also what throws at once must not end the election.
    const work = (async () => this.#options.started(leadership.signal))().catch((error: unknown) => {
      logger.error('the work of the leader failed', { error: (error as Error).message });
    });
    const reason = await this.#renewUntilLost(signal);
    this.#leading = false;
    logger[signal.aborted ? 'info' : 'warn']('is no leader any more', { identity, reason });
    leadership.abort(new Error(`no leader any more: ${reason}`));
    await this.#ends(work, signal);
    this.#options.stopped?.();
  }

  /** Resolves with why it is over. */
  async #renewUntilLost(signal: AbortSignal): Promise<string> {
    for (;;) {
      // Its time is over also while a request hangs.
      const term = new BoundedSignal(signal, this.#renewedAtMs + this.#renewDeadlineMs - this.#options.clock.nowMs());
      try {
        for (let attempt: Attempt = 'failed'; attempt !== 'held';) {
          await pause(this.#retryPeriodMs, undefined, { signal: term.signal }).catch(() => {});
          if (!term.signal.aborted) attempt = await this.#attempt(term.signal);
          if (attempt === 'other') return `${this.holder} holds the lock`;
          if (attempt === 'failed' && term.signal.aborted) {
            return term.over ? `not renewed for ${this.#renewDeadlineMs} ms` : 'stopping';
          }
        }
      } finally {
        term.end();
      }
    }
  }

  /** Two works of one process at the same time would be worse than a candidate less: so there is no bound but for a program that stops. */
  async #ends(work: Promise<void>, signal: AbortSignal): Promise<void> {
    let ended = false;
    const whenEnded = work.then(() => {
      ended = true;
    });
    for (;;) {
      const stopping = signal.aborted;
      // The lock isn't renewed meanwhile: waiting for longer than it lasts would be of no use.
      const bound = new BoundedSignal(
        stopping ? undefined : signal,
        stopping ? this.#renewDeadlineMs / 2 : ENDS_WITHIN_MS,
      );
      await Promise.race([whenEnded, aborted(bound.signal)]);
      bound.end();
      if (ended) return;
      if (stopping) {
        this.#options.logger.error('the work of the leader does not end: the lock is left to run out');
        // Not ours to give back as long as the work may write.
        this.#observed = null;
        return;
      }
      if (bound.over)
        this.#options.logger.error('the work of the former leader does not end: one candidate less meanwhile');
    }
  }

  #isMine(): boolean {
    return this.#observed?.spec?.holderIdentity === this.#options.identity;
  }

  async #attempt(signal: AbortSignal): Promise<Attempt> {
    // One request that hangs must leave time for another one.
    const bounded = new BoundedSignal(signal, this.#renewDeadlineMs / 2);
    try {
      return await this.#acquireOrRenew(bounded.signal);
    } catch (error) {
      if (!signal.aborted) {
        const { namespace, name } = this.#options.lock;
        const { logger } = this.#options;
        const log = isReason(error, 'Conflict', 'AlreadyExists') ? logger.debug : logger.warn;
        log.call(logger, 'the lock of the leader can not be had', {
          lease: `${namespace}/${name}`,
          error: (error as Error).message,
        });
      }
      return 'failed';
    } finally {
      bounded.end();
    }
  }

  async #acquireOrRenew(signal: AbortSignal): Promise<Attempt> {
    const { client, lock, clock } = this.#options;
    // Of whoever leads: one request is enough as long as nobody else has written.
    if (this.#leading && this.#isMine()) {
      const beganAtMs = clock.nowMs();
      try {
        this.#saw(await client.replace<Lease>(LEASES, lock, this.#mine(this.#observed), { signal }), beganAtMs);
        return 'held';
      } catch (error) {
        if (!isReason(error, 'Conflict', 'NotFound')) throw error;
      }
    }
    const found = await client.get<Lease>(LEASES, lock, { signal });
    const beganAtMs = clock.nowMs();
    if (found === null) {
      this.#saw(await client.create<Lease>(LEASES, this.#mine(null), { signal }), beganAtMs);
      return 'held';
    }
    if (found.metadata.resourceVersion !== this.#observed?.metadata.resourceVersion) {
      this.#observed = found;
      this.#observedAtMs = beganAtMs;
    }
    const { holderIdentity = '', leaseDurationSeconds } = found.spec ?? {};
    const lastsMs = Math.min((leaseDurationSeconds ?? this.#leaseDurationMs / 1000) * 1000, LONGEST_FOREIGN_MS);
    const isFree = holderIdentity === '' || holderIdentity === this.#options.identity;
    if (!isFree && beganAtMs - this.#observedAtMs < lastsMs) return 'other';
    this.#saw(await client.replace<Lease>(LEASES, lock, this.#mine(found), { signal }), beganAtMs);
    return 'held';
  }

  #saw(lease: Lease, beganAtMs: number): void {
    this.#observed = lease;
    this.#observedAtMs = this.#options.clock.nowMs();
    this.#renewedAtMs = beganAtMs;
  }

  /** The Lease as it is when this candidate holds it; `resourceVersion` makes it an optimistic write. */
  #mine(before: Lease | null): object {
    const { identity, lock, clock } = this.#options;
    const now = microTime(clock.wallMs());
    const goesOn = before?.spec?.holderIdentity === identity;
    const transitions = before?.spec?.leaseTransitions ?? 0;
    return {
      apiVersion: 'coordination.k8s.io/v1',
      kind: 'Lease',
      metadata: before === null ? lock : { ...before.metadata, managedFields: undefined },
      spec: {
        ...before?.spec,
        holderIdentity: identity,
        leaseDurationSeconds: Math.max(1, Math.round(this.#leaseDurationMs / 1000)),
        acquireTime: goesOn ? (before.spec?.acquireTime ?? now) : now,
        renewTime: now,
        leaseTransitions: before === null || goesOn ? transitions : transitions + 1,
      },
    };
  }

  /** So that another candidate needn't wait until it runs out. */
  async #release(): Promise<void> {
    const { client, lock, logger, identity } = this.#options;
    const bounded = new BoundedSignal(undefined, RELEASE_MS);
    const { signal } = bounded;
    try {
      await client.replace(LEASES, lock, this.#nobodys(this.#observed!), { signal }).catch(async (error: unknown) => {
        // The answer to the last renewal may have been lost.
        const found = isReason(error, 'Conflict') ? await client.get<Lease>(LEASES, lock, { signal }) : null;
        if (found?.spec?.holderIdentity !== identity) throw error;
        await client.replace(LEASES, lock, this.#nobodys(found), { signal });
      });
      logger.debug('released the lock of the leader', { identity });
    } catch (error) {
      logger.warn('the lock of the leader could not be released: it runs out by itself', {
        error: (error as Error).message,
      });
    } finally {
      bounded.end();
      this.#observed = null;
    }
  }

  #nobodys(before: Lease): object {
    const now = microTime(this.#options.clock.wallMs());
    const spec = { ...before.spec, holderIdentity: '', leaseDurationSeconds: 1, acquireTime: now, renewTime: now };
    return { ...before, spec };
  }
}

async function aborted(signal: AbortSignal): Promise<void> {
  if (signal.aborted) return;
  await new Promise<void>((resolve) => signal.addEventListener('abort', () => resolve(), { once: true }));
}
