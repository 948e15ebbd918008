/**
 * One thing at a time: a message, a driver's event, a timer or a command is handled to its end before the next begins, although links and drivers
 * may call back from within our own calls. What comes meanwhile waits its turn, in order, and is done before the outermost call returns: nothing
 * here is put off to a later tick, since a wake is measured in single milliseconds.
 */
export class Turns {
  readonly #onError: (error: unknown) => void;
  readonly #waiting: (() => void)[] = [];
  #running = false;

  /** `onError`: told what a step threw; the next steps run all the same. */
  constructor(onError: (error: unknown) => void) {
    this.#onError = onError;
  }

  readonly run = (step: () => void): void => {
    if (this.#running) {
      this.#waiting.push(step);
      return;
    }
    this.#running = true;
    for (let next: (() => void) | undefined = step; next !== undefined; next = this.#waiting.shift()) {
      try {
        next();
      } catch (error) {
        this.#onError(error);
      }
    }
    this.#running = false;
  };
}
