/** The lines of a backend's instances over all its drivers: a listener stays when a changed source brings a new driver. */
import type { Driver, LogLine } from '../drivers/driver.ts';

export class LogFeed {
  readonly #drivers = new Map<Driver, (() => void) | null>();
  readonly #listeners = new Set<(line: LogLine) => void>();

  add(driver: Driver): void {
    this.#drivers.set(driver, this.#listeners.size > 0 ? this.#listen(driver) : null);
  }

  drop(driver: Driver): void {
    if (this.#drivers.size === 1) return;
    this.#drivers.get(driver)?.();
    this.#drivers.delete(driver);
  }

  /** The last lines, oldest first. */
  lines(limit: number): LogLine[] {
    const all = [...this.#drivers.keys()].flatMap((driver) => driver.logs(limit));
    if (this.#drivers.size > 1) all.sort((a, b) => a.atMs - b.atMs);
    return limit <= 0 ? [] : all.slice(-limit);
  }

  /** Drivers are listened to only while somebody listens here. */
  onLine(listener: (line: LogLine) => void): () => void {
    const own = (line: LogLine): void => listener(line);
    this.#listeners.add(own);
    if (this.#listeners.size === 1)
      for (const driver of this.#drivers.keys()) this.#drivers.set(driver, this.#listen(driver));
    return () => {
      if (!this.#listeners.delete(own) || this.#listeners.size > 0) return;
      for (const [driver, stop] of this.#drivers) {
        stop?.();
        this.#drivers.set(driver, null);
      }
    };
  }

  #listen(driver: Driver): () => void {
    return driver.onLog((line) => {
      for (const listener of this.#listeners) listener(line);
    });
  }
}
