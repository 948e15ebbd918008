/**
 * The base of every error that this program raises on purpose. `code` is stable and listed in docs/errors.md; the message says what is
 * wrong, where, and what to do next. What a user did wrong is printed without a stack (`userFault`).
 */
export class DormouseError extends Error {
  readonly code: `DORMOUSE_${string}`;
  /** True when the user's input caused it: printed as a sentence, never with a stack. */
  readonly userFault: boolean;

  constructor(code: `DORMOUSE_${string}`, message: string, options: { cause?: unknown; userFault?: boolean } = {}) {
    super(message, options.cause === undefined ? undefined : { cause: options.cause });
    this.name = 'DormouseError';
    this.code = code;
    this.userFault = options.userFault ?? false;
  }
}
