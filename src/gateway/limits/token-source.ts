import type { LimitGrant } from '../../link/limit-messages.ts';

/** Whoever asks for tokens or slots of one key. Exactly one of the two is called, once per ask, never inside it. */
export interface Asker {
  granted(grant: LimitGrant): void;
  /** Nobody has answered in time. */
  unanswered(): void;
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
  ask(key: string, amounts: Amounts, asker: Asker): boolean;
  /** Tells what was used and what isn't needed, without an answer. False: not told. */
  report(key: string, used: number, back: number): boolean;
  close(): void;
}
