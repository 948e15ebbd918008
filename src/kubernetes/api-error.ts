import { DormouseError } from '../model/errors.ts';

/** An answer of the API server that is no success. `reason` is that of its Status object: NotFound, Conflict, Forbidden, Invalid, TooManyRequests … */
export class ApiError extends DormouseError {
  readonly status: number;
  readonly reason: string;
  /** From Retry-After, ms; 0 when there was none. */
  readonly retryAfterMs: number;

  constructor(message: string, details: { status: number; reason: string; retryAfterMs?: number; cause?: unknown }) {
    super('DORMOUSE_API_ERROR', message, { cause: details.cause });
    this.status = details.status;
    this.reason = details.reason;
    this.retryAfterMs = details.retryAfterMs ?? 0;
  }
}

/** Whether it is an ApiError of this reason. */
export function isReason(error: unknown, ...reasons: string[]): boolean {
  return error instanceof ApiError && reasons.includes(error.reason);
}
