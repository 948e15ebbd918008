/**
 * What gateways go on with for a moment after a Backend is gone: kube-proxy has a pace of its own on every node, and connects clients to gateways for a while after they
 * have been taken out of the Service.
 */
import type { BackendParts } from './backends.ts';

/** Longer than kube-proxy takes to follow a change of slices, also with thousands of Services, ms. */
export const LINGER_MS = 30_000;
/** Beyond it the oldest goes at once: a namespace with thousands of Backends may be deleted. */
const MOST = 10_000;

interface Leftover {
  parts: BackendParts;
  timer: NodeJS.Timeout;
  ended(): void;
}

export class Leftovers {
  readonly #kept = new Map<string, Leftover>();

  /** `ended` is called once, when it is over; not when it is dropped before. */
  keep(key: string, parts: BackendParts, ended: () => void): void {
    this.drop(key);
    const timer = setTimeout(() => this.#end(key), LINGER_MS);
    timer.unref();
    this.#kept.set(key, { parts, timer, ended });
    const [oldest] = this.#kept.keys();
    if (this.#kept.size > MOST && oldest !== undefined) this.#end(oldest);
  }

  #end(key: string): void {
    const ended = this.#kept.get(key)?.ended;
    this.drop(key);
    ended?.();
  }

  /** Something else has its place now. */
  drop(key: string): void {
    clearTimeout(this.#kept.get(key)?.timer);
    this.#kept.delete(key);
  }

  get(key: string): BackendParts | null {
    return this.#kept.get(key)?.parts ?? null;
  }

  keys(): Iterable<string> {
    return this.#kept.keys();
  }

  close(): void {
    for (const key of [...this.#kept.keys()]) this.drop(key);
  }
}
