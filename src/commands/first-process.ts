import type { EventEmitter } from 'node:events';

/** As a shell tells of a program that a signal has ended. */
const CODES = { SIGTERM: 143, SIGINT: 130 } as const;

/**
 * For the first process of a container (pid 1): the kernel ends it by no signal that it doesn't listen to, so that whoever ends the container while the program is still being
 * loaded would wait for the whole grace period. Ends it at such a signal as long as nobody else listens.
 */
export function endEarly(signals: EventEmitter, exit: (code: number) => void): void {
  for (const [name, code] of Object.entries(CODES))
    signals.on(name, () => {
      if (signals.listenerCount(name) === 1) exit(code);
    });
}
