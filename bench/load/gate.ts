/** Lets many loops run, and stops them all between two of their requests. */
export class Gate {
  #members = 0;
  #waiting = 0;
  #closed = false;
  #allWait: (() => void) | null = null;
  #opened: Promise<void> = Promise.resolve();
  #open: () => void = () => {};

  /** A loop that goes through the gate; what it returns is called when the loop ends. */
  join(): () => void {
    this.#members++;
    return () => {
      this.#members--;
      this.#check();
    };
  }

  /** Returns at once while the gate is open; otherwise calls `beforeWaiting` and returns when it is opened. */
  async pass(beforeWaiting: () => void): Promise<void> {
    if (!this.#closed) return;
    beforeWaiting();
    this.#waiting++;
    this.#check();
    await this.#opened;
    this.#waiting--;
  }

  /** Resolves when every loop waits. */
  async close(): Promise<void> {
    this.#closed = true;
    this.#opened = new Promise((resolve) => (this.#open = resolve));
    await new Promise<void>((resolve) => {
      this.#allWait = resolve;
      this.#check();
    });
  }

  open(): void {
    this.#closed = false;
    this.#open();
  }

  #check(): void {
    if (this.#closed && this.#waiting === this.#members) this.#allWait?.();
  }
}
