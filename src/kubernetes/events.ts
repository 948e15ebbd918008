/**
 * Events (events.k8s.io/v1) for people: what is said again is counted in the Event that is there (its `series`), and a bound holds for each object and
 * for all. Telling must never hold up or fail what is told of.
 */
import type { Clock, Logger, RandomSource } from '../model/ports.ts';
import { TokenBucket, type BucketTerms } from '../model/token-bucket.ts';
import { ApiError } from './api-error.ts';
import { BoundedSignal } from './bounded-signal.ts';
import type { KubernetesClient, KubernetesObject } from './client.ts';
import { microTime } from './micro-time.ts';
import { EVENTS } from './resources.ts';

export interface EventSubject {
  apiVersion: string;
  kind: string;
  metadata: { name: string; namespace?: string; uid: string; resourceVersion?: string };
}

export interface EventRecorderOptions {
  client: Pick<KubernetesClient, 'create' | 'patch'>;
  /** Who says it, as a qualified name: `example.com/operator`. */
  controller: string;
  /** Which of them: the pod's name. */
  instance: string;
  logger: Logger;
  clock: Clock;
  random: RandomSource;
  /** Between two writes of one Event's count, ms; one minute. */
  repeatMs?: number;
}

/** Plain counters. */
export interface EventCounts {
  created: number;
  /** Writes of a count. */
  updated: number;
  /** Not told: over a bound. */
  dropped: number;
  failed: number;
}

interface Entry {
  subject: EventSubject;
  type: string;
  reason: string;
  action: string;
  note: string;
  /** '': not created (yet). */
  eventName: string;
  namespace: string;
  count: number;
  writtenCount: number;
  lastAtMs: number;
  lastWallMs: number;
  writtenAtMs: number;
  writing: boolean;
}

/** Bursts are for a start with many objects; what client-go lets one object say in five minutes, ours says in one. */
const PER_OBJECT: BucketTerms = { limit: 1, windowMs: 60_000, burst: 25 };
const TOGETHER: BucketTerms = { limit: 10, windowMs: 1000, burst: 300 };
const MAX_ENTRIES = 2048;
const MAX_PENDING = 500;
/** What wasn't said for so long is a new Event when it is said again, as with client-go. */
const SERIES_ENDS_MS = 360_000;
const MAX_NOTE_BYTES = 1024;
const FLUSH_MS = 5000;

export class EventRecorder {
  readonly counts: EventCounts = { created: 0, updated: 0, dropped: 0, failed: 0 };
  readonly #options: EventRecorderOptions;
  readonly #repeatMs: number;
  /** By what is said of whom; the oldest first. */
  readonly #entries = new Map<string, Entry>();
  /** By uid; the oldest first. */
  readonly #buckets = new Map<string, TokenBucket>();
  readonly #together: TokenBucket;
  #pending: Entry[] = [];
  #writing: Promise<void> | null = null;
  readonly #stopping = new AbortController();
  #stopped = false;
  #timer: NodeJS.Timeout | null = null;

  constructor(options: EventRecorderOptions) {
    this.#options = options;
    this.#repeatMs = options.repeatMs ?? 60_000;
    this.#together = new TokenBucket(options.clock.nowMs());
  }

  /** `reason` and `action`: at most 128 characters, UpperCamelCase; `note`: a sentence, cut at 1 kB. Returns at once and never throws. */
  record(
    subject: EventSubject | KubernetesObject,
    type: 'Normal' | 'Warning',
    reason: string,
    action: string,
    note: string,
  ): void {
    if (this.#stopped) return;
    const { clock } = this.#options;
    const key = [subject.metadata.uid, subject.kind, subject.metadata.name, type, reason, action, note].join('\n');
    const known = this.#entries.get(key);
    if (known !== undefined && clock.nowMs() - known.lastAtMs < SERIES_ENDS_MS) {
      known.count += 1;
      known.lastAtMs = clock.nowMs();
      known.lastWallMs = clock.wallMs();
      // The youngest last.
      this.#entries.delete(key);
      this.#entries.set(key, known);
      this.#writeWhenDue(known);
      return;
    }
    if (!this.#mayTell(subject.metadata.uid)) {
      this.counts.dropped += 1;
      return;
    }
    const entry: Entry = {
      subject: subjectOf(subject),
      type,
      reason: reason.slice(0, 128),
      action: action.slice(0, 128),
      note: cut(note),
      eventName: '',
      // Of what has no namespace: where kubectl looks for it.
      namespace: subject.metadata.namespace ?? 'default',
      count: 1,
      writtenCount: 0,
      lastAtMs: clock.nowMs(),
      lastWallMs: clock.wallMs(),
      writtenAtMs: -Infinity,
      writing: false,
    };
    this.#entries.delete(key);
    this.#entries.set(key, entry);
    if (this.#entries.size > MAX_ENTRIES) this.#entries.delete(this.#entries.keys().next().value!);
    this.#writeWhenDue(entry);
  }

  /** Writes what is still to be written, for 5 s at most; nothing is taken any more. */
  async stop(): Promise<void> {
    this.#stopped = true;
    if (this.#timer !== null) clearInterval(this.#timer);
    this.#timer = null;
    const bound = setTimeout(() => this.#stopping.abort(new Error('stopping')), FLUSH_MS);
    // What is being written may have been said again since: that is the second time.
    for (let times = 0; times < 2; times += 1) {
      await this.#writing;
      for (const entry of this.#entries.values()) {
        if (entry.count > entry.writtenCount) this.#enqueue(entry);
      }
    }
    await this.#writing;
    clearTimeout(bound);
    this.#entries.clear();
  }

  #mayTell(uid: string): boolean {
    const now = this.#options.clock.nowMs();
    const bucket = this.#buckets.get(uid) ?? new TokenBucket(now);
    bucket.advance(PER_OBJECT, now);
    this.#together.advance(TOGETHER, now);
    if (bucket.tokens(PER_OBJECT) < 1 || this.#together.tokens(TOGETHER) < 1) return false;
    bucket.take(PER_OBJECT, 1);
    this.#together.take(TOGETHER, 1);
    this.#buckets.delete(uid);
    this.#buckets.set(uid, bucket);
    if (this.#buckets.size > MAX_ENTRIES) this.#buckets.delete(this.#buckets.keys().next().value!);
    return true;
  }

  #writeWhenDue(entry: Entry): void {
    if (this.#options.clock.nowMs() - entry.writtenAtMs >= this.#repeatMs) this.#enqueue(entry);
    else this.#tickLater();
  }

  #tickLater(): void {
    this.#timer ??= setInterval(() => this.#tick(), this.#repeatMs / 4).unref();
  }

  #tick(): void {
    const now = this.#options.clock.nowMs();
    let waits = false;
    for (const [key, entry] of this.#entries) {
      if (entry.count > entry.writtenCount) {
        waits = true;
        if (now - entry.writtenAtMs >= this.#repeatMs) this.#enqueue(entry);
      } else if (now - entry.lastAtMs >= SERIES_ENDS_MS) {
        this.#entries.delete(key);
      }
    }
    if (waits || this.#timer === null) return;
    clearInterval(this.#timer);
    this.#timer = null;
  }

  #enqueue(entry: Entry): void {
    if (entry.writing) return;
    if (this.#pending.length >= MAX_PENDING) {
      this.counts.dropped += 1;
      return;
    }
    entry.writing = true;
    this.#pending.push(entry);
    this.#writing ??= this.#writeAll().finally(() => {
      this.#writing = null;
    });
  }

  async #writeAll(): Promise<void> {
    // What is said several times at once needs one write.
    await new Promise(setImmediate);
    for (let entry = this.#pending.shift(); entry !== undefined; entry = this.#pending.shift()) {
      const count = entry.count;
      const bounded = new BoundedSignal(this.#stopping.signal, 30_000);
      try {
        await this.#write(entry, bounded.signal);
        entry.writtenCount = count;
      } catch (error) {
        this.counts.failed += 1;
        // Not again: the next time it happens will do.
        entry.writtenCount = entry.count;
        this.#complain(entry, error);
      } finally {
        bounded.end();
        entry.writtenAtMs = this.#options.clock.nowMs();
        entry.writing = false;
        if (entry.count > entry.writtenCount && !this.#stopped) this.#tickLater();
      }
    }
  }

  async #write(entry: Entry, signal: AbortSignal): Promise<void> {
    const { client } = this.#options;
    const series = { count: entry.count, lastObservedTime: microTime(entry.lastWallMs) };
    if (entry.eventName !== '') {
      const name = { namespace: entry.namespace, name: entry.eventName };
      try {
        await client.patch(EVENTS, name, { type: 'merge', body: { series } }, { signal });
        this.counts.updated += 1;
        return;
      } catch (error) {
        // The API server forgets Events after an hour.
        if (!(error instanceof ApiError && error.status === 404)) throw error;
      }
    }
    const event = this.#eventOf(entry, entry.count > 1 ? series : undefined);
    await client.create(EVENTS, event, { namespace: entry.namespace, signal });
    entry.eventName = event.metadata.name;
    this.counts.created += 1;
  }

  #eventOf(entry: Entry, series: object | undefined) {
    const { controller, instance, random } = this.#options;
    const { subject } = entry;
    const { name, namespace, uid, resourceVersion } = subject.metadata;
    const unique = `${Math.floor(entry.lastWallMs).toString(16)}${Math.floor(random() * 2 ** 32).toString(16)}`;
    return {
      apiVersion: 'events.k8s.io/v1',
      kind: 'Event',
      metadata: { name: `${name.slice(0, 220)}.${unique}`, namespace: entry.namespace },
      eventTime: microTime(entry.lastWallMs),
      reportingController: controller,
      reportingInstance: instance.slice(0, 128),
      type: entry.type,
      reason: entry.reason,
      action: entry.action,
      note: entry.note,
      regarding: { apiVersion: subject.apiVersion, kind: subject.kind, name, namespace, uid, resourceVersion },
      series,
    };
  }

  #complain(entry: Entry, error: unknown): void {
    const fields = { reason: entry.reason, error: (error as Error).message, failed: this.counts.failed };
    // Rights that are missing are missing each time.
    if (Number.isInteger(Math.log2(this.counts.failed)))
      this.#options.logger.warn('an Event could not be written', fields);
    else this.#options.logger.debug('an Event could not be written', fields);
  }
}

/** Not the whole object: it may be large, and is kept for minutes. */
function subjectOf({ apiVersion, kind, metadata }: EventSubject): EventSubject {
  const { name, namespace, uid, resourceVersion } = metadata;
  return {
    apiVersion,
    kind,
    metadata: { name, uid, ...(namespace && { namespace }), ...(resourceVersion && { resourceVersion }) },
  };
}

function cut(note: string): string {
  if (Buffer.byteLength(note) <= MAX_NOTE_BYTES) return note;
  // Decoding drops a character that was cut through: it becomes U+FFFD at the end.
  const kept = Buffer.from(note)
    .subarray(0, MAX_NOTE_BYTES - 3)
    .toString('utf8')
    .replace(/\uFFFD+$/, '');
  return `${kept}…`;
}
