import type { LimitGrant } from '../../link/limit-messages.ts';

/** Whoever asks for tokens or slots of one key. Exactly one of `granted` and `unanswered` is called, once per ask, never inside it. */
export interface Asker {
  /** When the question goes out, which may be later: what is asked for then. Once at most; never, when it doesn't go out in time. */
  amounts(): Amounts;
  granted(grant: LimitGrant): void;
  /** Nobody has answered in time. */
  unanswered(): void;
  /** So much was given after all, when nobody wanted it any more: what of it goes back. */
  unwanted(given: number, need: number): number;
}

export interface Amounts {
  /** As in LimitAsk. */
  need: number;
  more: number;
  used: number;
  back: number;
}

/** Where the tokens or slots of one limit come from. */
export interface TokenSource {
  /** False: it doesn't answer at present; don't wait for it. */
  readonly ready: boolean;
  /** False: it is not asked, too much is under way already. */
  ask(key: string, asker: Asker): boolean;
  /** Tells what was used and what isn't needed, without an answer. False: not told. */
  report(key: string, used: number, back: number): boolean;
  close(): void;
}
