/**
 * One reload at a time, and of those that are asked for meanwhile only one more: it reads the file as it is then, so it stands for all.
 */
export class Reloads<Result> {
  readonly #reload: () => Promise<Result>;
  #running: Promise<Result> | null = null;
  #next: Promise<Result> | null = null;

  constructor(reload: () => Promise<Result>) {
    this.#reload = reload;
  }

  /** Resolves with a reload that began after this call. */
  request(): Promise<Result> {
    if (this.#next !== null) return this.#next;
    if (this.#running === null) return this.#begin();
    const follow = (): Promise<Result> => {
      this.#next = null;
      return this.#begin();
    };
    this.#next = this.#running.then(follow, follow);
    return this.#next;
  }

  /** Resolves when none runs. */
  async idle(): Promise<void> {
    while (this.#running !== null) await this.#running.then(ignore, ignore);
  }

  #begin(): Promise<Result> {
    const running = this.#reload().finally(() => {
      if (this.#running === running) this.#running = null;
    });
    this.#running = running;
    return running;
  }
}

function ignore(): void {}
