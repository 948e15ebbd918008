/** Answers to clients that did not prove who they are. They say what to do, and nothing about why a credential was not taken: that helps whoever guesses. */
import type { Answer } from '../filters/filter.ts';
import { problemAnswer } from '../filters/problem-answer.ts';

/** 401 with its challenge (RFC 9110 section 11.6.1), e.g. `Bearer realm="x"`. */
export function unauthorized(challenge: string, detail: string): Answer {
  return problem(401, 'unauthorized', detail, `WWW-Authenticate: ${challenge}\r\n`);
}

/** 400: credentials in more places than one, which two servers may read in two ways. */
export function ambiguous(challenge: string): Answer {
  return problem(
    400,
    'ambiguous-credentials',
    'Credentials were sent more than once.',
    `WWW-Authenticate: ${challenge}\r\n`,
  );
}

/** 403: known, but not allowed. */
export function forbidden(challenge: string | null, detail: string): Answer {
  return problem(403, 'forbidden', detail, challenge === null ? '' : `WWW-Authenticate: ${challenge}\r\n`);
}

/** 503: nobody could say who it is. Never passed on instead. */
export function undecided(retryAfterSeconds: number): Answer {
  return problem(
    503,
    'authentication-unavailable',
    'Credentials can not be checked at present.',
    `Retry-After: ${Math.max(1, Math.ceil(retryAfterSeconds))}\r\n`,
  );
}

function problem(status: number, code: string, detail: string, headers: string): Answer {
  return Object.freeze(problemAnswer(status, code, detail, `${headers}Cache-Control: no-store\r\n`));
}
