/**
 * Runs of a backend with scale.jobs as Jobs of a cluster, made from the jobTemplate of a CronJob (which is suspended, if the clock is not to start it too). A Job
 * is never ended because nobody waits for it, not even when this program ends: whoever leads next finds it by its label.
 */
import { randomBytes } from 'node:crypto';
import type { Informer, KubernetesClient, KubernetesObject } from '../../kubernetes/client.ts';
import { CRON_JOBS, JOBS } from '../../kubernetes/resources.ts';
import type { Crash } from '../../model/backend.ts';
import type { BackendConfig, KubernetesConfig } from '../../model/config.ts';
import { DormouseError } from '../../model/errors.ts';
import type { Clock, Logger } from '../../model/ports.ts';
import { CrashBackoff } from '../crash-backoff.ts';
import type { Driver, DriverEvents, Instance, LogLine } from '../driver.ts';

export interface JobDriverDeps {
  client: KubernetesClient;
  clock: Clock;
  logger: Logger;
}

/** The Backend's name, on each Job. */
export const JOB_LABEL = 'dormouse.dev/backend';
const MANAGED_BY_LABEL = 'app.kubernetes.io/managed-by';
/** After a Job that failed, ms: Kubernetes has tried its pods again already (backoffLimit). */
const BACKOFF = { backoffMs: 5000, maxBackoffMs: 300_000 };
/** Of a Job's name, so that those of its pods still fit. */
const MAX_NAME = 50;

interface JobTemplate {
  metadata?: { labels?: Record<string, string>; annotations?: Record<string, string> };
  spec: Record<string, unknown>;
}

interface CronJob extends KubernetesObject {
  spec: { jobTemplate: JobTemplate };
}

export interface Job extends KubernetesObject {
  status?: {
    startTime?: string;
    completionTime?: string;
    active?: number;
    ready?: number;
    conditions?: { type: string; status: string; reason?: string; message?: string; lastTransitionTime?: string }[];
  };
}

export class JobDriver implements Driver {
  readonly kind = 'kubernetes';
  readonly canScale = true;
  readonly #backend: BackendConfig;
  readonly #config: KubernetesConfig;
  readonly #events: DriverEvents;
  readonly #deps: JobDriverDeps;
  readonly #jobs: Informer<Job>;
  readonly #ending = new AbortController();
  readonly #backoff = new CrashBackoff(BACKOFF);
  /** Made, and not yet seen by the informer; by name, with when they were asked for. */
  readonly #made = new Map<string, number>();
  /** Ends that have been told. */
  readonly #told = new Set<string>();
  #crash: Crash | null = null;
  #synced = false;
  #wanted = 0;
  #pumping = false;

  constructor(backend: BackendConfig, config: KubernetesConfig, events: DriverEvents, deps: JobDriverDeps) {
    this.#backend = backend;
    this.#config = config;
    this.#events = events;
    this.#deps = deps;
    const { namespace, target } = config;
    this.#jobs = deps.client.informer<Job>(JOBS, { namespace, labelSelector: `${JOB_LABEL}=${labelOf(target.name)}` });
    this.#jobs.onChange((change) => this.#changed(change.type === 'removed' ? null : change.object, change.object));
    this.#jobs.start(this.#ending.signal);
    void this.#jobs.synced(this.#ending.signal).then(
      () => {
        this.#synced = true;
        for (const job of this.#jobs.list()) if (isActive(job)) events.instance(instanceOf(job));
        void this.#pump();
      },
      () => {},
    );
  }

  instances(): readonly Instance[] {
    const seen = [...this.#jobs.list()].filter(isActive).map(instanceOf);
    const made = [...this.#made].map(([name, atMs]) => starting(name, atMs));
    return [...seen, ...made];
  }

  crash(): Crash | null {
    return this.#backoff.remainingMs(this.#deps.clock.nowMs()) > 0 ? this.#crash : null;
  }

  scaleUp(count: number): void {
    this.#wanted = Math.min(count, this.#backend.scale.max);
    void this.#pump();
  }

  /** What was made runs. */
  cancelStarts(): void {
    this.#wanted = 0;
  }

  async retire(ids: readonly string[]): Promise<void> {
    const { namespace } = this.#config;
    const signal = AbortSignal.any([this.#ending.signal, AbortSignal.timeout(8000)]);
    await Promise.all(
      ids.map((name) => {
        this.#told.add(name);
        return this.#deps.client.delete(JOBS, { namespace, name }, { propagation: 'Background', signal });
      }),
    );
  }

  suspect(): void {}

  /** Of pods: kubectl logs. */
  logs(): LogLine[] {
    return [];
  }

  onLog(): () => void {
    return () => {};
  }

  async close(): Promise<void> {
    this.#ending.abort();
  }

  /** Makes what is missing, one after the other. Until the Jobs that there are have been seen, none is made. */
  async #pump(): Promise<void> {
    if (this.#pumping || !this.#synced) return;
    this.#pumping = true;
    const { signal } = this.#ending;
    while (!signal.aborted && this.crash() === null && this.instances().length < this.#wanted) {
      try {
        await this.#makeOne(signal);
      } catch (error) {
        if (!signal.aborted) this.#failed((error as Error).message, this.#deps.clock.nowMs());
      }
    }
    this.#pumping = false;
  }

  async #makeOne(signal: AbortSignal): Promise<void> {
    const { client, clock } = this.#deps;
    const { namespace, target } = this.#config;
    const name = `${target.name.slice(0, MAX_NAME)}-${randomBytes(4).toString('hex')}`;
    this.#made.set(name, clock.wallMs());
    this.#events.instance(starting(name, clock.wallMs()));
    try {
      const template = await client.get<CronJob>(CRON_JOBS, { namespace, name: target.name }, { signal });
      if (template === null) {
        const text = `there is no CronJob ${target.name} in namespace ${namespace}; create it, or correct kubernetes.target`;
        throw new DormouseError('DORMOUSE_SCALE_FAILED', text, { userFault: true });
      }
      await client.create<Job>(JOBS, jobOf(template, name), { namespace, signal });
    } catch (error) {
      this.#made.delete(name);
      this.#events.instance({ ...starting(name, clock.wallMs()), state: 'gone', reason: (error as Error).message });
      throw error;
    }
  }

  /** `job` null: it was deleted. */
  #changed(job: Job | null, last: Job): void {
    const { name } = last.metadata;
    const wasMade = this.#made.delete(name);
    if (job !== null && isActive(job)) {
      this.#events.instance(instanceOf(job));
      return;
    }
    // What had ended before it was first seen belongs to somebody's past.
    if (!this.#synced && !wasMade) {
      this.#told.add(name);
      return;
    }
    if (job === null && isActive(last)) this.#ended(last, false, 'it was deleted');
    else if (job !== null && !this.#told.has(name)) {
      const condition = endOf(job)!;
      this.#ended(job, condition.type === 'Complete', condition.message ?? condition.reason ?? condition.type);
    }
    if (job === null) this.#told.delete(name);
    else this.#tidy();
  }

  #ended(job: Job, ok: boolean, message: string): void {
    const { name } = job.metadata;
    const { clock } = this.#deps;
    const startedAtMs = Date.parse(job.status?.startTime ?? '') || 0;
    if (this.#told.has(name)) return;
    this.#told.add(name);
    this.#wanted = Math.max(0, this.#wanted - 1);
    const reason = ok ? 'completed' : `failed: ${message}`;
    this.#events.run?.({ id: name, startedAtMs, endedAtMs: clock.wallMs(), ok, reason });
    if (!ok) this.#failed(`the Job ${name} ${reason}`, clock.nowMs());
    else {
      this.#backoff.reset();
      if (this.#crash !== null) this.#events.crash(null);
      this.#crash = null;
    }
    this.#events.instance({ ...instanceOf(job), state: 'gone', reason });
  }

  #failed(reason: string, startedMs: number): void {
    const { clock, logger } = this.#deps;
    this.#wanted = 0;
    this.#crash = this.#backoff.failed(startedMs, clock.nowMs(), clock.wallMs(), reason, []);
    logger.warn(reason, { attempts: this.#crash.attempts, retryAtMs: this.#crash.retryAtMs });
    this.#events.crash(this.#crash);
  }

  /** More of them that have ended than are to be remembered are deleted, the oldest first. */
  #tidy(): void {
    const { namespace } = this.#config;
    const history = this.#backend.scale.jobs?.history ?? 0;
    const ended = [...this.#jobs.list()].filter((job) => endOf(job) !== null);
    const oldest = ended.sort((a, b) => endMs(a) - endMs(b)).slice(0, Math.max(0, ended.length - history));
    for (const { metadata } of oldest) {
      this.#deps.client
        .delete(JOBS, { namespace, name: metadata.name }, { propagation: 'Background', signal: this.#ending.signal })
        .catch((error: unknown) => {
          if (this.#ending.signal.aborted) return;
          this.#deps.logger.warn(`the Job ${metadata.name} could not be deleted`, { error: (error as Error).message });
        });
    }
  }
}

/** A Job as the CronJob's controller would make it, but not that one's: it goes by `controller`. It goes with the CronJob. */
export function jobOf({ metadata: owner, spec }: CronJob, name: string): object {
  const { metadata, spec: jobSpec } = spec.jobTemplate;
  return {
    apiVersion: 'batch/v1',
    kind: 'Job',
    metadata: {
      name,
      labels: { ...metadata?.labels, [JOB_LABEL]: labelOf(owner.name), [MANAGED_BY_LABEL]: 'dormouse' },
      ...(metadata?.annotations === undefined ? {} : { annotations: metadata.annotations }),
      ownerReferences: [
        { apiVersion: 'batch/v1', kind: 'CronJob', name: owner.name, uid: owner.uid, controller: false },
      ],
    },
    spec: jobSpec,
  };
}

/** A value of a label has 63 characters at most. */
function labelOf(name: string): string {
  return name.slice(0, 63);
}

function endOf(job: Job): NonNullable<NonNullable<Job['status']>['conditions']>[number] | null {
  const ends = (job.status?.conditions ?? []).filter(({ status }) => status === 'True');
  return ends.find(({ type }) => type === 'Complete' || type === 'Failed') ?? null;
}

function endMs(job: Job): number {
  return Date.parse(job.status?.completionTime ?? endOf(job)?.lastTransitionTime ?? '') || 0;
}

function isActive(job: Job): boolean {
  return endOf(job) === null && job.metadata.deletionTimestamp === undefined;
}

function instanceOf({ metadata, status }: Job): Instance {
  const startedAtMs = Date.parse(metadata.creationTimestamp ?? '') || 0;
  const runs = (status?.ready ?? 0) > 0;
  return {
    ...starting(metadata.name, startedAtMs),
    state: runs ? 'ready' : 'starting',
    readyAtMs: runs ? Date.parse(status?.startTime ?? '') || startedAtMs : 0,
  };
}

function starting(name: string, startedAtMs: number): Instance {
  return { id: name, state: 'starting', address: null, weight: 1, pid: null, startedAtMs, readyAtMs: 0, reason: '' };
}
