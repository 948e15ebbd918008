/** Waits for a starting application to answer on its port, and sees it within a few milliseconds. */
import type { Clock } from '../../model/ports.ts';
import { probe } from './probe.ts';
import type { ProbeResult, ProbeTarget } from './probe.ts';
import type { Speech } from './speech.ts';

/** An application on `localhost` may listen on ::1 only, so both families are asked, always both at once. */
const LOOPBACKS = ['127.0.0.1', '::1'] as const;
const ATTEMPT_TIMEOUT_MS = 1000;

/** What connecting to ::1 says on a machine without IPv6. */
const NO_SUCH_FAMILY = new Set(['EAFNOSUPPORT', 'EADDRNOTAVAIL', 'ENETUNREACH', 'EPROTONOSUPPORT', 'EINVAL']);

/**
 * How often is asked. One refused connection costs about 75 us of CPU in this process, so one starting application costs 8 % of a core in its first two seconds; when many start at once they share
 * about the budget of four.
 */
export class ProbePace {
  #waiting = 0;

  enter(): void {
    this.#waiting++;
  }

  leave(): void {
    this.#waiting--;
  }

  /** Milliseconds from the start of one attempt to the next. */
  intervalMs(elapsedMs: number, answered: boolean): number {
    const wanted = elapsedMs < 2000 ? 2 : elapsedMs < 10_000 ? 10 : 50;
    // Who answers with a wrong status writes a line into its log each time.
    return Math.max(answered ? Math.max(10, wanted) : wanted, this.#waiting / 2);
  }
}

export interface ReadinessOptions {
  port: number;
  http: ProbeTarget['http'];
  speech: Speech;
  pace: ProbePace;
  clock: Clock;
}

/**
 * Calls `ready` once with the address that answered. There is no bound in here: the caller has a start timeout and ends the wait with the returned
 * function. `last` tells what the latest attempt found, for the reason of a start that failed.
 */
export function awaitReadiness(
  options: ReadinessOptions,
  ready: (host: string) => void,
): { cancel(): void; last(): string } {
  const beganMs = options.clock.nowMs();
  let hosts: readonly string[] = LOOPBACKS;
  let last = 'refuses connections';
  let ended = false;
  let timer: NodeJS.Timeout | null = null;
  let abandon: (() => void)[] = [];
  options.pace.enter();

  const end = (): void => {
    if (ended) return;
    ended = true;
    options.pace.leave();
    if (timer !== null) clearTimeout(timer);
    for (const give of abandon) give();
  };

  const attempt = (): void => {
    timer = null;
    const startedMs = options.clock.nowMs();
    let open = hosts.length;
    let answered = false;
    const seen = (host: string, result: ProbeResult): void => {
      if (ended) return;
      if (result.ok) {
        end();
        ready(host);
        return;
      }
      if (NO_SUCH_FAMILY.has(result.code)) hosts = hosts.filter((other) => other !== host || hosts.length === 1);
      if (result.answered) {
        answered = true;
        last = result.reason;
      }
      if (--open > 0) return;
      const nowMs = options.clock.nowMs();
      const delayMs = options.pace.intervalMs(nowMs - beganMs, answered) - (nowMs - startedMs);
      timer = setTimeout(attempt, Math.max(1, delayMs));
    };
    abandon = hosts.map((host) =>
      probe({ host, port: options.port, http: options.http, speech: options.speech }, ATTEMPT_TIMEOUT_MS, (result) =>
        seen(host, result),
      ),
    );
  };

  attempt();
  return { cancel: end, last: () => last };
}
