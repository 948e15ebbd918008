/**
 * The /scale subresource of one target: what is known of it, and writes to it, one after the other. Every write says which version it was decided on, so
 * that whoever scaled meanwhile is never overwritten; where only something else of the object has changed, it is looked at and written again.
 */
import { ApiError } from '../../kubernetes/api-error.ts';
import { backoffMs } from '../../kubernetes/backoff.ts';
import { BoundedSignal } from '../../kubernetes/bounded-signal.ts';
import type { KubernetesClient, ObjectName, Resource, Scale } from '../../kubernetes/client.ts';
import { DormouseError } from '../../model/errors.ts';
import type { Clock, RandomSource } from '../../model/ports.ts';

export interface KnownScale {
  replicas: number;
  /** That of the target itself. */
  resourceVersion: string;
  uid: string;
  /** As told by /scale; '' when only the target's own object was seen. */
  selector: string;
}

export interface TargetScaleOptions {
  client: KubernetesClient;
  clock: Clock;
  random: RandomSource;
  resource: Resource;
  name: ObjectName;
  /** Calls the listener once when the API server is heard of next. */
  onceHeard(listener: () => void): () => void;
  /** Something is known anew; `byOthers`: somebody else changed the number of replicas. */
  learned(known: KnownScale, byOthers: boolean): void;
  /** A raise can't be made and is given up; what to do about it is in the message. */
  refused(error: DormouseError): void;
  /** There are as many as were wanted by a raise. */
  accepted(): void;
}

interface Lowering {
  /** Set when it is begun: the number that it is decided on. */
  from: number | null;
  to: (from: number) => number;
  /** Number of changes by others at the time of the decision. */
  serial: number;
  boundMs: number;
  resolve(): void;
  reject(error: DormouseError): void;
}

/** A write that the API server doesn't answer is tried anew on another connection: at first soon, then it is given its time. */
const FIRST_TIMEOUT_MS = 2000;
const LONGEST_TIMEOUT_MS = 30_000;
const FIRST_PAUSE_MS = 50;
const LONGEST_PAUSE_MS = 1000;
/** After so many conflicts in a row a raise is made without a precondition: the number was read a moment ago each time. */
const CONFLICTS_BEFORE_FORCE = 3;
/** What the API server says no to for good, and not because of its own state. */
const FINAL = new Set([400, 401, 403, 404, 405, 413, 422]);

export class TargetScale {
  readonly #options: TargetScaleOptions;
  readonly #ending = new AbortController();
  #known: KnownScale | null = null;
  /** As #known, but kept when that is not relied on any more. */
  #last: KnownScale | null = null;
  /** Replicas that are wanted at least; null: nothing is. */
  #raise: number | null = null;
  readonly #lowerings: Lowering[] = [];
  #running = false;
  /** What is being written, or was and nobody knows whether it arrived. */
  #writing: number | null = null;
  #serial = 0;
  #changedByOthersMs = Number.NEGATIVE_INFINITY;
  #raisedTo: number | null = null;
  #failures = 0;
  #wakeUp: (() => void) | null = null;

  constructor(options: TargetScaleOptions) {
    this.#options = options;
  }

  get known(): KnownScale | null {
    return this.#known;
  }

  /** What a raise of ours made it, as long as nobody else changed it since. */
  get raisedTo(): number | null {
    return this.#raisedTo;
  }

  /** Milliseconds since somebody else changed the number of replicas; Infinity: not seen. */
  get sinceOthersMs(): number {
    return this.#options.clock.nowMs() - this.#changedByOthersMs;
  }

  /** From the informer of targets. Older than what is known already: nothing happens. */
  observe(seen: Omit<KnownScale, 'selector'>): void {
    const known = this.#known;
    if (known !== null && known.uid === seen.uid && isOlder(seen.resourceVersion, known.resourceVersion)) return;
    this.#learn({ ...seen, selector: known?.uid === seen.uid ? known.selector : '' });
  }

  /** The target is gone, or what is known of it can't be relied on. */
  forget(): void {
    this.#known = null;
  }

  /** Asks the API server. null: there is no such target, or it has no /scale. Rejects as the client does. */
  async read(signal: AbortSignal): Promise<KnownScale | null> {
    const { client, resource, name } = this.#options;
    const scale = await client.get<Scale>(resource, name, { subresource: 'scale', signal });
    if (scale === null) {
      this.#known = null;
      return null;
    }
    this.#learnScale(scale);
    return this.#known;
  }

  /** As last seen; null: not yet. */
  get replicas(): number | null {
    return this.#known?.replicas ?? null;
  }

  /** At least so many replicas. The first write is under way when this returns, unless another one is. */
  raise(replicas: number): void {
    const known = this.#known;
    // With a lowering under way what is known may be over in a moment.
    if (this.#lowerings.length === 0 && known !== null && known.replicas >= replicas) {
      if (known.replicas === replicas) this.#raisedTo = replicas;
      return;
    }
    this.#raise = Math.max(this.#raise ?? 0, replicas);
    this.#wakeUp?.();
    this.#start();
  }

  /** What has not been raised yet is not raised any more. */
  dropRaise(): void {
    this.#raise = null;
  }

  /**
   * Resolves when there are `to(replicas before)` replicas or fewer. Rejects with DORMOUSE_SCALED_BY_OTHERS when somebody else scaled since this call, or with
   * DORMOUSE_SCALE_FAILED when it could not be written within `boundMs`, or it was raised meanwhile.
   */
  lower(to: (from: number) => number, boundMs: number): Promise<void> {
    return new Promise((resolve, reject) => {
      const serial = this.#serial;
      const until = this.#options.clock.nowMs() + boundMs;
      this.#lowerings.push({ from: null, to, serial, boundMs: until, resolve, reject });
      this.#start();
    });
  }

  close(): void {
    this.#ending.abort();
    this.#raise = null;
    this.#wakeUp?.();
    for (const lowering of this.#lowerings.splice(0)) lowering.reject(this.#failed('it is not looked after any more'));
  }

  #start(): void {
    if (this.#running || this.#ending.signal.aborted) return;
    this.#running = true;
    // Up to the first request of it this runs before `#start` returns.
    void this.#run().finally(() => {
      this.#running = false;
      if (this.#hasWork()) this.#start();
    });
  }

  #hasWork(): boolean {
    if (this.#ending.signal.aborted) return false;
    return this.#lowerings.length > 0 || (this.#raise !== null && (this.#known?.replicas ?? -1) < this.#raise);
  }

  async #run(): Promise<void> {
    for (let conflicts = 0; this.#hasWork();) {
      const lowering = this.#lowerings[0];
      try {
        if (this.#known === null && (await this.#readBounded()) === null) this.#missing(lowering);
        else if (lowering !== undefined) await this.#lowerOnce(lowering);
        else await this.#raiseOnce(conflicts >= CONFLICTS_BEFORE_FORCE);
        this.#failures = 0;
        conflicts = 0;
      } catch (error) {
        if (this.#ending.signal.aborted) return;
        const conflict = error instanceof ApiError && error.status === 409;
        conflicts = conflict ? conflicts + 1 : 0;
        // Perhaps it was written all the same.
        this.#known = null;
        if (conflict && conflicts <= CONFLICTS_BEFORE_FORCE) continue;
        await this.#afterFailure(error, lowering);
      }
    }
  }

  async #raiseOnce(force: boolean): Promise<void> {
    const replicas = this.#raise;
    if (replicas === null || this.#known!.replicas >= replicas) return;
    await this.#write(replicas, force ? null : this.#known!.resourceVersion);
    // Also when it is not wanted any more: whoever gives it up has to know that it was made.
    this.#raisedTo = replicas;
  }

  async #lowerOnce(lowering: Lowering): Promise<void> {
    const { replicas, resourceVersion } = this.#known!;
    const to = Math.max(0, lowering.to(lowering.from ?? replicas));
    if (replicas > to) {
      if (this.#raise !== null && this.#raise > to) {
        this.#done(lowering, this.#failed('it was woken meanwhile'));
        return;
      }
      if (lowering.serial !== this.#serial || (lowering.from !== null && lowering.from !== replicas)) {
        this.#done(lowering, this.#byOthers(replicas));
        return;
      }
      lowering.from = replicas;
      await this.#write(to, resourceVersion);
    }
    this.#raisedTo = null;
    this.#done(lowering, null);
  }

  /** 404 both for a target that is not there and for a kind without /scale. */
  #missing(lowering: Lowering | undefined): void {
    const { resource, name } = this.#options;
    if (lowering !== undefined) this.#done(lowering, null);
    else {
      this.#raise = null;
      this.#options.refused(
        this.#failed(
          `${resource.kind} ${name.name} is not there, or has no /scale; create it, or correct kubernetes.target`,
        ),
      );
    }
  }

  async #afterFailure(error: unknown, lowering: Lowering | undefined): Promise<void> {
    const final = error instanceof ApiError && (FINAL.has(error.status) || error.status === 409);
    const reason = (error as Error).message;
    if (lowering !== undefined) {
      const late = this.#options.clock.nowMs() >= lowering.boundMs;
      const raised = this.#raise !== null && lowering.to(lowering.from ?? 1) === 0;
      if (final || late || raised) {
        this.#done(lowering, this.#failed(raised ? `it was woken meanwhile (${reason})` : reason, error));
        return;
      }
    } else if (final) {
      this.#raise = null;
      this.#options.refused(this.#failed(reason, error));
      return;
    }
    this.#failures++;
    await this.#pause(error instanceof ApiError ? error.retryAfterMs : 0);
  }

  #done(lowering: Lowering, error: DormouseError | null): void {
    const index = this.#lowerings.indexOf(lowering);
    if (index !== -1) this.#lowerings.splice(index, 1);
    if (error === null) lowering.resolve();
    else lowering.reject(error);
    if (this.#settleRaise()) this.#options.accepted();
  }

  /** True when there are as many as a raise wanted, and nothing is under way that makes them fewer. */
  #settleRaise(): boolean {
    const known = this.#known;
    if (this.#raise === null || known === null || known.replicas < this.#raise || this.#lowerings.length > 0)
      return false;
    if (known.replicas === this.#raise) this.#raisedTo = known.replicas;
    this.#raise = null;
    return true;
  }

  async #write(replicas: number, resourceVersion: string | null): Promise<void> {
    const { client, resource, name } = this.#options;
    const body = {
      spec: { replicas },
      ...(resourceVersion === null ? {} : { metadata: { resourceVersion } }),
    };
    this.#writing = replicas;
    const bounded = new BoundedSignal(this.#ending.signal, this.#timeoutMs());
    const { signal } = bounded;
    const patch = { type: 'merge', body } as const;
    try {
      this.#learnScale(await client.patch<Scale>(resource, name, patch, { subresource: 'scale', signal }));
      this.#writing = null;
    } catch (error) {
      if (error instanceof ApiError && error.status < 500) this.#writing = null;
      throw error;
    } finally {
      bounded.end();
    }
  }

  async #readBounded(): Promise<KnownScale | null> {
    const bounded = new BoundedSignal(this.#ending.signal, this.#timeoutMs());
    try {
      return await this.read(bounded.signal);
    } finally {
      bounded.end();
    }
  }

  #timeoutMs(): number {
    return Math.min(LONGEST_TIMEOUT_MS, FIRST_TIMEOUT_MS * 2 ** Math.min(this.#failures, 10));
  }

  /** From 50 ms to 1 s, half of it at random; shorter when the API server is heard of or something new is wanted. */
  #pause(atLeastMs: number): Promise<void> {
    const { onceHeard, random } = this.#options;
    const ownMs = backoffMs(this.#failures - 1, FIRST_PAUSE_MS, LONGEST_PAUSE_MS, random);
    const pauseMs = Math.min(LONGEST_PAUSE_MS, Math.max(atLeastMs, ownMs));
    return new Promise((resolve) => {
      const over = (): void => {
        clearTimeout(timer);
        stop();
        this.#wakeUp = null;
        resolve();
      };
      const timer = setTimeout(over, pauseMs);
      const stop = atLeastMs > 0 ? () => {} : onceHeard(over);
      if (this.#failures <= 1) this.#wakeUp = over;
      if (this.#ending.signal.aborted) over();
    });
  }

  #learnScale({ metadata, spec, status }: Scale): void {
    this.#learn({
      replicas: spec.replicas ?? 0,
      resourceVersion: metadata.resourceVersion,
      uid: metadata.uid,
      selector: status?.selector ?? '',
    });
  }

  #learn(next: KnownScale): void {
    const before = this.#last;
    this.#known = next;
    this.#last = next;
    const byOthers =
      before !== null &&
      before.uid === next.uid &&
      before.replicas !== next.replicas &&
      next.replicas !== this.#writing;
    if (byOthers) {
      this.#serial++;
      this.#raisedTo = null;
      this.#changedByOthersMs = this.#options.clock.nowMs();
    }
    const raised = this.#settleRaise();
    this.#options.learned(next, byOthers);
    if (raised) this.#options.accepted();
  }

  #byOthers(replicas: number): DormouseError {
    const text = `${this.#title} was scaled to ${replicas} by somebody else meanwhile, which is left as it is`;
    return new DormouseError('DORMOUSE_SCALED_BY_OTHERS', text);
  }

  #failed(reason: string, cause?: unknown): DormouseError {
    return new DormouseError('DORMOUSE_SCALE_FAILED', `${this.#title} can't be scaled: ${reason}`, { cause });
  }

  get #title(): string {
    const { resource, name } = this.#options;
    return `${resource.kind} ${name.namespace}/${name.name}`;
  }
}

/** The API server's versions of one kind are numbers that grow; where they are not, nothing is taken to be old. */
export function isOlder(version: string, than: string): boolean {
  if (!/^\d+$/.test(version) || !/^\d+$/.test(than)) return false;
  return BigInt(version) < BigInt(than);
}
