/** A changed source while something runs: the new instances start beside the old ones, which serve until the new ones are ready. */
import type { BackendConfig } from '../model/config.ts';
import type { Machine } from './backend-host.ts';
import type { WakeAttempt } from './wake-attempt.ts';
import type { Waking } from './waking.ts';

export class Replacement {
  readonly #machine: Machine;
  readonly #waking: Waking;
  readonly #retireOne: (id: string) => void;

  /** `retireOne` ends an instance that took longer to empty than it may. */
  constructor(machine: Machine, waking: Waking, retireOne: (id: string) => void) {
    this.#machine = machine;
    this.#waking = waking;
    this.#retireOne = retireOne;
  }

  /** True when the old and the new one want the same port, so that they can't run side by side. */
  get portIsTaken(): boolean {
    const { config, fleet } = this.#machine;
    const wanted = fixedPort(config);
    if (wanted === null) return false;
    return fleet.old.some((old) => fixedPort(old.config) === wanted && old.counted().length > 0);
  }

  /** Empties and ends the old one first; requests are held meanwhile. */
  oneAfterTheOther(): void {
    const { fleet } = this.#machine;
    this.#waking.beginReplacement();
    for (const old of fleet.old) fleet.cancelStarts(old);
    this.#drainOld();
    this.#machine.publish();
  }

  /** Looks whether the old one is gone, so that the new one may start. */
  progress(attempt: WakeAttempt): void {
    const { fleet } = this.#machine;
    if (fleet.old.some((old) => fleet.isLeaving(old))) return;
    fleet.closeOld();
    this.#waking.startInstances(attempt);
  }

  /** Nothing has answered yet: what was starting ends, and the new source starts when the old one is gone. */
  whileStarting(attempt: WakeAttempt): void {
    const { fleet, host } = this.#machine;
    for (const old of fleet.old) old.driver.cancelStarts(0);
    const ends = fleet.closeEmptied();
    // What still drains is waited for as before, and dependencies come first anyway: the newest source starts then.
    if (attempt.stage === 'replacing' || attempt.stage === 'dependencies') return;
    attempt.stage = 'closing';
    void Promise.all(ends).then(() =>
      host.turn(() => {
        if (this.#waking.attempt === attempt && attempt.stage === 'closing') this.#waking.startInstances(attempt);
      }),
    );
  }

  /** Empties the old ones when the present source has what it is meant to have. True when gateways have to be told. */
  retireOld(): boolean {
    const { fleet } = this.#machine;
    if (fleet.old.length === 0) return false;
    if (fleet.driver.canScale && fleet.ownReady < Math.max(1, fleet.target)) return false;
    const draining = this.#drainOld();
    fleet.closeEmptied();
    return draining;
  }

  #drainOld(): boolean {
    const { fleet, host, logger } = this.#machine;
    let any = false;
    for (const old of fleet.old) {
      for (const { id, state } of fleet.live(old)) {
        if (state === 'starting') continue;
        any = true;
        fleet.drain(id, 'replace', host.drainMs(), () => {
          logger.warn('replaced with something still in flight: the drain bound has passed', { instance: id });
          this.#retireOne(id);
        });
      }
    }
    return any;
  }
}

function fixedPort({ source }: BackendConfig): number | null {
  return source.driver === 'process' && typeof source.process.port === 'number' ? source.process.port : null;
}
