/**
 * Who may end or reload the program, and how: SIGTERM and SIGINT end it, a second one hurries; SIGHUP reloads, but ends a program that was
 * started from a terminal, so that closing the window leaves nothing running. A fault of the program ends it too, its instances first.
 */
import type { EventEmitter } from 'node:events';
import { setTimeout } from 'node:timers/promises';

export interface StopRequestOptions {
  /** `process`, or what a test uses instead. */
  signals: EventEmitter;
  hasTerminal: boolean;
  reload: () => void;
  fault: (error: unknown) => void;
  /** An error that nobody caught and that is no fault of the program; it goes on. */
  claims?: (error: unknown, origin: 'uncaughtException' | 'unhandledRejection') => boolean;
}

export class StopRequest {
  /** Aborted when the program shall end. */
  readonly stopping: AbortSignal;
  /** Aborted when it shall end at once. */
  readonly hurry: AbortSignal;
  readonly #stop = new AbortController();
  readonly #hurry = new AbortController();
  readonly #signals: EventEmitter;
  readonly #handlers: [event: string, handler: (value: unknown) => void][];
  #reason = '';
  #faulty = false;

  constructor(options: StopRequestOptions) {
    this.stopping = this.#stop.signal;
    this.hurry = this.#hurry.signal;
    this.#signals = options.signals;
    const end = (name: string) => (): void => this.request(name);
    const fault =
      (origin: 'uncaughtException' | 'unhandledRejection') =>
      (error: unknown): void => {
        if (options.claims?.(error, origin) === true) return;
        this.#faulty = true;
        options.fault(error);
        this.request('a fault');
      };
    this.#handlers = [
      ['SIGTERM', end('SIGTERM')],
      ['SIGINT', end('SIGINT')],
      ['SIGHUP', options.hasTerminal ? end('SIGHUP') : () => options.reload()],
      ['uncaughtException', fault('uncaughtException')],
      ['unhandledRejection', fault('unhandledRejection')],
    ];
    for (const [event, handler] of this.#handlers) this.#signals.on(event, handler);
  }

  /** Why it ends: the signal's name. */
  get reason(): string {
    return this.#reason;
  }

  /** True when it ends because of a fault of the program. */
  get faulty(): boolean {
    return this.#faulty;
  }

  /** The second call hurries. */
  request(reason: string): void {
    if (this.stopping.aborted) return this.#hurry.abort();
    this.#reason = reason;
    this.#stop.abort();
  }

  /** Waits for `work`; rejects with the signal's reason as soon as the program shall end. What `work` does then is nobody's concern. */
  async unlessStopped<T>(work: Promise<T>): Promise<T> {
    const { promise: stopped, reject } = Promise.withResolvers<never>();
    const abort = (): void => reject(this.stopping.reason);
    if (this.stopping.aborted) abort();
    this.stopping.addEventListener('abort', abort, { once: true });
    try {
      return await Promise.race([work, stopped]);
    } finally {
      this.stopping.removeEventListener('abort', abort);
    }
  }

  /** Resolves when the program shall end. */
  async requested(): Promise<void> {
    if (this.stopping.aborted) return;
    await new Promise((resolve) => this.stopping.addEventListener('abort', resolve, { once: true }));
  }

  /** Waits that long, or until it shall end at once. */
  async linger(ms: number): Promise<void> {
    await setTimeout(ms, undefined, { signal: this.hurry }).catch(() => {});
  }

  [Symbol.dispose](): void {
    for (const [event, handler] of this.#handlers) this.#signals.off(event, handler);
  }
}
