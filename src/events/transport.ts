/** What a bus outside this process has to do; events/outbox.ts does the rest: keeping, trying again, dropping, telling. */
import type { TrafficEvent } from '../model/traffic-event.ts';

export interface Transport {
  /** Rejects with a BusFault when there is no connection that events may be sent on, within a bound of its own. Called again after each fault. */
  connect(): Promise<void>;
  /**
   * Hands them to the socket in this turn or the next phase of the event loop; resolves when the bus has stored them, and tells how many of them it refused for good. Rejects with a
   * BusFault: nothing is known of them then.
   */
  send(events: readonly TrafficEvent[]): Promise<{ refused: number }>;
  /** The connection has ended by itself. Set before `connect`. */
  onLost: (fault: BusFault) => void;
  /** Closes the connection at once. */
  disconnect(): void;
}

/** Why the bus does not take events: what happened, and what to do next. Neither has a password in it. */
export class BusFault extends Error {
  readonly hint: string;

  constructor(reason: string, hint: string, cause?: unknown) {
    super(reason, cause === undefined ? undefined : { cause });
    this.hint = hint;
  }
}
