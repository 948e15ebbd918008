/**
 * What every transport does with what arrives: messages that come before there is a handler are kept in order, up to a bound; the close
 * is told once, after the last message.
 */
export const KEPT_MESSAGES = 10_000;

export class Inbox<In> {
  #handler: ((message: In) => void) | null = null;
  #closeHandlers: (() => void)[] = [];
  #kept: In[] = [];
  #dropped = false;
  #closed = false;
  #closeTold = false;
  readonly #overflow: () => void;

  /** `overflow` is called when more than {@link KEPT_MESSAGES} wait for a handler: the transport must close, since order can't be kept. */
  constructor(overflow: () => void) {
    this.#overflow = overflow;
  }

  deliver(message: In): void {
    if (this.#dropped || this.#closed) return;
    if (this.#handler !== null) return this.#handler(message);
    if (this.#kept.length >= KEPT_MESSAGES) return this.#overflow();
    this.#kept.push(message);
  }

  onMessage(handler: (message: In) => void): void {
    this.#handler = handler;
    const kept = this.#kept;
    this.#kept = [];
    for (const message of kept) if (!this.#dropped) handler(message);
    this.#tellClose();
  }

  onClose(handler: () => void): void {
    if (this.#closeTold) queueMicrotask(handler);
    else this.#closeHandlers.push(handler);
  }

  /** This end closes: what was not delivered yet is not wanted any more. */
  drop(): void {
    this.#dropped = true;
    this.#kept = [];
  }

  /** Nothing more will come. Kept messages are still delivered when a handler is set, and the close is told after them. */
  close(): void {
    if (this.#closed) return;
    this.#closed = true;
    this.#tellClose();
  }

  #tellClose(): void {
    if (!this.#closed || this.#closeTold || this.#kept.length > 0) return;
    this.#closeTold = true;
    for (const handler of this.#closeHandlers.splice(0)) handler();
  }
}
