/**
 * A signal that follows another one and aborts after a time; `over` tells the second from the first. Leaves nothing on the other signal after `end`, unlike
 * AbortSignal.any, whose results stay listed on a source that lives as long as the program.
 */
export class BoundedSignal {
  readonly #controller = new AbortController();
  readonly #parent: AbortSignal | undefined;
  readonly #endsAtMs: number;
  readonly #timer: NodeJS.Timeout;
  readonly #onAbort = (): void => this.#controller.abort(this.#parent!.reason);
  #over = false;

  constructor(parent: AbortSignal | undefined, timeoutMs: number) {
    this.#parent = parent;
    this.#endsAtMs = performance.now() + timeoutMs;
    this.#timer = setTimeout(() => this.#timeIsOver(timeoutMs), timeoutMs);
    if (parent?.aborted === true) this.#onAbort();
    else parent?.addEventListener('abort', this.#onAbort, { once: true });
  }

  get signal(): AbortSignal {
    return this.#controller.signal;
  }

  /** Whether it aborted because of the time. */
  get over(): boolean {
    return this.#over;
  }

  leftMs(): number {
    return this.#endsAtMs - performance.now();
  }

  /** The time doesn't count any more; it goes on following the other signal. */
  liftBound(): void {
    clearTimeout(this.#timer);
  }

  end(): void {
    clearTimeout(this.#timer);
    this.#parent?.removeEventListener('abort', this.#onAbort);
  }

  #timeIsOver(timeoutMs: number): void {
    if (this.#controller.signal.aborted) return;
    this.#over = true;
    this.#controller.abort(new Error(`not done within ${timeoutMs} ms`));
  }
}
