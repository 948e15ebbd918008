/**
 * The configuration that all objects of the cluster make together, applied to the controller as a whole: a moment after the last change, so that a thousand objects that change
 * together are one configuration, and one at a time.
 */
import type { Config } from '../model/config.ts';
import type { Logger } from '../model/ports.ts';

/** Changes within this belong together, ms; a steady stream of them is applied after the second bound all the same. */
const GATHER_MS = 10;
const GATHER_MOST_MS = 250;
/** With many objects one configuration is work for operator and gateways: between two they rest for so many times as long as the last one took, but not longer than this, ms. */
const REST_TIMES = 2;
const REST_MOST_MS = 1000;
/** A refused one is tried again after this, ms, also when nothing changes: what refused it may have gone. */
const TRY_AGAIN_MS = 5000;

export interface ConfigurationDeps {
  logger: Logger;
  /** As it is now. */
  build(): Config;
  /** Resolves with the version of the link when gateways have answered; rejects when one refused. */
  configure(config: Config): Promise<number>;
  /** Gateways on the link. */
  gateways(): { inForce: number; leaving: boolean }[];
  /** Applied, or refused for this reason. */
  applied(refusal: string | null): void;
}

export class Configuration {
  readonly #deps: ConfigurationDeps;
  /** Rises with each change. */
  #changes = 0;
  /** Up to which change the controller has been told, and under which version. */
  #told = { change: 0, version: 0 };
  #timer: NodeJS.Timeout | null = null;
  #tryAgain: NodeJS.Timeout | undefined;
  #gatherUntilMs = 0;
  #restUntilMs = 0;
  #running = false;
  #closed = false;

  constructor(deps: ConfigurationDeps) {
    this.#deps = deps;
  }

  /** Something has changed. Gives what `isInForce` takes. */
  change(): number {
    this.#changes++;
    if (!this.#running) this.#schedule();
    return this.#changes;
  }

  /** Whether every gateway that is not leaving has a configuration in force with this change, and there is one. */
  isInForce(change: number): boolean {
    if (this.#told.change < change) return false;
    const gateways = this.#deps.gateways().filter(({ leaving }) => !leaving);
    return gateways.length > 0 && gateways.every(({ inForce }) => inForce >= this.#told.version);
  }

  /** Whether what was changed has been given to the controller. */
  get isSettled(): boolean {
    return this.#told.change === this.#changes;
  }

  #schedule(): void {
    if (this.#closed) return;
    const nowMs = performance.now();
    if (this.#timer === null) this.#gatherUntilMs = nowMs + GATHER_MOST_MS;
    else clearTimeout(this.#timer);
    const waitMs = Math.max(0, Math.min(GATHER_MS, this.#gatherUntilMs - nowMs), this.#restUntilMs - nowMs);
    this.#timer = setTimeout(() => {
      this.#timer = null;
      void this.#apply();
    }, waitMs);
  }

  async #apply(): Promise<void> {
    this.#running = true;
    clearTimeout(this.#tryAgain);
    const change = this.#changes;
    let refusal: string | null = null;
    const beganAtMs = performance.now();
    try {
      const version = await this.#deps.configure(this.#deps.build());
      this.#told = { change, version };
    } catch (error) {
      refusal = error instanceof Error ? error.message : String(error);
      this.#deps.logger.error('the configuration of the cluster was refused; the former one stays in force', {
        reason: refusal,
      });
    }
    this.#running = false;
    if (this.#closed) return;
    const nowMs = performance.now();
    this.#restUntilMs = nowMs + Math.min(REST_MOST_MS, REST_TIMES * (nowMs - beganAtMs));
    this.#deps.applied(refusal);
    if (this.#changes !== change) this.#schedule();
    else if (refusal !== null)
      this.#tryAgain = setTimeout(() => {
        if (!this.#running && this.#timer === null) this.#schedule();
      }, TRY_AGAIN_MS);
  }

  close(): void {
    this.#closed = true;
    if (this.#timer !== null) clearTimeout(this.#timer);
    clearTimeout(this.#tryAgain);
  }
}
