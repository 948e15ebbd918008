import type { Clock, Logger } from '../../model/ports.ts';
import { parseKeySet, type KeySetContent, type SigningKey } from './signing-keys.ts';

/** After a fetch, unknown keys ask for another one no sooner than this, ms: tokens with invented keys must not become a flood at whoever issues them. */
export const UNKNOWN_KEY_PAUSE_MS = 10_000;
/** Pause after a fetch that failed, doubled by each further one. */
export const FIRST_RETRY_PAUSE_MS = 1000;
export const LONGEST_RETRY_PAUSE_MS = 60_000;
/** Keys tried for a token that names none. */
const MOST_TRIED = 10;

export interface KeySetOptions {
  /** For the log: where it comes from. */
  name: string;
  /** Gets the text of the set. Rejects when that fails, or with the signal's reason. */
  load: (signal: AbortSignal) => Promise<string>;
  /** The set as it is known before the first fetch. */
  initial: KeySetContent | null;
  refreshMs: number;
  timeoutMs: number;
  /** Shared secrets count as keys: only for sets of this machine's own files. */
  allowSymmetric: boolean;
  clock: Clock;
  logger: Logger;
}

/**
 * The keys of an issuer: fetched when they are first needed, again in the background when they are used and `refreshMs` old, and when a token names a key that is
 * not there (rotation). A fetch that fails or brings nothing usable leaves the keys that are there in force, for as long as it takes.
 */
export class KeySet {
  /** Rises when a key is gone or has changed: what was verified by it is to be forgotten. */
  removals = 0;
  readonly #options: KeySetOptions;
  #keys: readonly SigningKey[];
  #dueMs: number;
  #fetchedMs = Number.NEGATIVE_INFINITY;
  #retryPauseMs = 0;
  #fetching: Promise<void> | null = null;
  #closed = new AbortController();

  constructor(options: KeySetOptions) {
    this.#options = options;
    this.#keys = options.initial?.keys ?? [];
    this.#dueMs = options.initial === null ? Number.NEGATIVE_INFINITY : options.clock.nowMs() + options.refreshMs;
  }

  /** There has been a good set. */
  get isKnown(): boolean {
    return this.#keys.length > 0;
  }

  /** To be called with every use: begins a fetch in the background when one is due. */
  touch(): void {
    if (this.#options.clock.nowMs() >= this.#dueMs) void this.#fetch();
  }

  /** Keys that may have signed a token with this header. */
  find(alg: string, kid: string | undefined): SigningKey[] {
    const fitting = this.#keys.filter((key) => key.algorithms.has(alg) && (kid === undefined || key.kid === kid));
    return fitting.slice(0, MOST_TRIED);
  }

  /** Seconds until a set that was never there is asked for again. */
  get retryAfterSeconds(): number {
    return Math.max(1, Math.ceil((this.#dueMs - this.#options.clock.nowMs()) / 1000));
  }

  /**
   * Waits for the set that is being fetched, or fetches it when that is allowed by now: at once when there is none and the last failure is long enough ago, and after
   * `UNKNOWN_KEY_PAUSE_MS` when it lacks a key. Bounded by the timeout; never rejects.
   */
  async refresh(): Promise<void> {
    const nowMs = this.#options.clock.nowMs();
    const isAllowed = this.isKnown
      ? nowMs >= this.#fetchedMs + Math.max(UNKNOWN_KEY_PAUSE_MS, this.#retryPauseMs)
      : nowMs >= this.#dueMs;
    if (this.#fetching !== null || isAllowed) await this.#fetch();
  }

  close(): void {
    this.#closed.abort(new Error('the key set is not used any more'));
  }

  #fetch(): Promise<void> {
    this.#fetching ??= this.#fetchOnce().finally(() => (this.#fetching = null));
    return this.#fetching;
  }

  async #fetchOnce(): Promise<void> {
    const { load, timeoutMs, refreshMs, allowSymmetric, clock, logger, name } = this.#options;
    this.#fetchedMs = clock.nowMs();
    try {
      const signal = AbortSignal.any([this.#closed.signal, AbortSignal.timeout(timeoutMs)]);
      const content = parseKeySet(await load(signal), allowSymmetric);
      this.#replace(content);
      this.#retryPauseMs = 0;
      this.#dueMs = clock.nowMs() + refreshMs;
    } catch (error) {
      if (this.#closed.signal.aborted) return;
      this.#retryPauseMs = Math.min(LONGEST_RETRY_PAUSE_MS, Math.max(FIRST_RETRY_PAUSE_MS, this.#retryPauseMs * 2));
      this.#dueMs = clock.nowMs() + this.#retryPauseMs;
      const reason = error instanceof Error ? error.message : String(error);
      logger.warn(
        this.isKnown
          ? 'a key set could not be fetched; its known keys stay in force'
          : 'a key set could not be fetched',
        { keySet: name, reason, retryInMs: this.#retryPauseMs },
      );
    }
  }

  #replace({ keys, ignored }: KeySetContent): void {
    const { logger, name } = this.#options;
    const before = identities(this.#keys);
    const after = identities(keys);
    const gone = [...before].some((identity) => !after.has(identity));
    if (gone) this.removals++;
    if (gone || after.size !== before.size) {
      logger.info('a key set has changed', { keySet: name, keys: keys.length });
      for (const reason of ignored.slice(0, 10))
        logger.warn('a key of a key set is not used', { keySet: name, reason });
    }
    this.#keys = keys;
  }
}

function identities(keys: readonly SigningKey[]): Set<string> {
  return new Set(keys.map((key) => `${key.kid ?? ''}\n${key.content}\n${[...key.algorithms].join(' ')}`));
}
