/** Active health checks of one address: rise and fall as in HAProxy, so that one lost packet doesn't take a server away. */
import type { HealthConfig, HostPort } from '../../model/config.ts';
import type { RandomSource } from '../../model/ports.ts';
import { probe } from './probe.ts';
import type { ProbeResult } from './probe.ts';
import type { Speech } from './speech.ts';

export interface HealthCheckOptions {
  target: HostPort;
  speech: Speech;
  config: HealthConfig;
  random: RandomSource;
  /** `always` checks for as long as it runs; `suspected` only from a suspicion until it is healthy again. */
  when: 'always' | 'suspected';
  /** Starts with one check at once, whose result alone decides (HAProxy does the same): a server that is down at the start gets nothing. */
  decideAtOnce: boolean;
  changed(healthy: boolean, reason: string): void;
}

/** Checks that follow a result which contradicts the state come this much sooner. */
const HURRY = 10;
const SHORTEST_MS = 50;

export class HealthCheck {
  readonly #options: HealthCheckOptions;
  #healthy = true;
  /** Results in a row that contradict #healthy. */
  #against = 0;
  #first: boolean;
  #timer: NodeJS.Timeout | null = null;
  #abandon: (() => void) | null = null;
  #running = false;

  constructor(options: HealthCheckOptions) {
    this.#options = options;
    this.#first = options.decideAtOnce;
  }

  start(): void {
    if (this.#running) return;
    this.#running = true;
    if (this.#options.when === 'suspected') return;
    if (this.#first) this.#check();
    else this.#schedule();
  }

  stop(): void {
    this.#running = false;
    if (this.#timer !== null) clearTimeout(this.#timer);
    this.#timer = null;
    this.#abandon?.();
    this.#abandon = null;
  }

  /** Looks now; nothing more when a look is under way. */
  suspect(): void {
    if (!this.#running || this.#abandon !== null) return;
    if (this.#against > 0) return;
    if (this.#timer !== null) clearTimeout(this.#timer);
    this.#check();
  }

  #check(): void {
    this.#timer = null;
    const { target, speech, config } = this.#options;
    const http = config.path === null ? null : { path: config.path, status: config.status };
    this.#abandon = probe({ ...target, http, speech }, config.timeoutMs, (result) => {
      this.#abandon = null;
      if (!this.#running) return;
      this.#judge(result);
      if (this.#running) this.#schedule();
    });
  }

  #judge(result: ProbeResult): void {
    const { config } = this.#options;
    if (result.ok === this.#healthy) {
      this.#against = 0;
      this.#first = false;
      return;
    }
    this.#against++;
    const needed = this.#first ? 1 : result.ok ? config.rise : config.fall;
    this.#first = false;
    if (this.#against < needed) return;
    this.#against = 0;
    this.#healthy = result.ok;
    this.#options.changed(this.#healthy, result.ok ? '' : `${this.#what()} ${result.reason}`);
  }

  #what(): string {
    const { path } = this.#options.config;
    return path === null ? 'it' : `GET ${path}`;
  }

  /** Interval with 10 % of jitter either way, so that many checks don't fall into step. */
  #schedule(): void {
    const { config, random, when } = this.#options;
    if (when === 'suspected' && this.#healthy && this.#against === 0) return;
    const base =
      this.#against > 0
        ? Math.min(config.intervalMs, Math.max(SHORTEST_MS, config.intervalMs / HURRY))
        : config.intervalMs;
    this.#timer = setTimeout(() => this.#check(), base * (0.9 + 0.2 * random()));
  }
}
