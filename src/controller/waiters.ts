/** Who waits for an outcome: a command, or a backend that needs this one. Told in the same step as the outcome. */
import type { DormouseError } from '../model/errors.ts';

export interface Waiter {
  resolve(): void;
  reject(error: DormouseError): void;
}

export class Waiters {
  readonly #waiting = new Set<Waiter>();

  get size(): number {
    return this.#waiting.size;
  }

  add(waiter: Waiter): void {
    this.#waiting.add(waiter);
  }

  remove(waiter: Waiter): void {
    this.#waiting.delete(waiter);
  }

  resolve(): void {
    for (const waiter of this.#taken()) waiter.resolve();
  }

  reject(error: DormouseError): void {
    for (const waiter of this.#taken()) waiter.reject(error);
  }

  /** Whoever is told may wait again at once: that is another outcome. */
  #taken(): Waiter[] {
    const all = [...this.#waiting];
    this.#waiting.clear();
    return all;
  }
}
