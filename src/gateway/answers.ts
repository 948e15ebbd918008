import { reasonPhrase } from '../http1/writer.ts';

/** Why the gateway itself answered. The word stands in the access log (`outcome`) and in the answer's body (`code`). */
export type Outcome =
  | ''
  | 'bad-request'
  | 'not-allowed'
  | 'no-route'
  | 'no-backend'
  | 'too-large'
  | 'filter'
  | 'filter-failed'
  | 'waiting-page'
  | 'hold-full'
  | 'hold-timeout'
  | 'crashing'
  | 'backend-down'
  | 'backend-removed'
  | 'connect-failed'
  | 'upstream-closed'
  | 'upstream-invalid'
  | 'upstream-aborted'
  | 'upstream-stalled'
  | 'not-forwarded'
  | 'body-timeout'
  | 'client-deadline'
  | 'client-gone'
  | 'shutdown'
  | 'tunnel'
  | 'misdirected'
  | 'client-refused'
  | 'wake-answer'
  | 'wake-refused'
  | 'breaker-open'
  | 'idle-timeout'
  | 'request-timeout'
  | 'upstream-timeout'
  | 'idle';

/**
 * The body of an answer of our own: problem+json (RFC 9457). `detail` is one sentence for people; it never holds what a client could use against the
 * service behind (addresses, stacks).
 */
export function problemBody(status: number, code: string, detail: string): string {
  return `${JSON.stringify({ type: 'about:blank', title: reasonPhrase(status), status, detail, code })}\n`;
}
