/** DormouseErrors to problem+json and back, so that a command tells the user what the running program said. */
import { DormouseError } from '../../model/errors.ts';
import type { Problem } from './control-target.ts';

export const PROBLEM_TYPE = 'application/problem+json';

/** What a failed request is answered with. An unknown error's message is given, its stack never. */
export function problemOf(error: unknown): Problem {
  if (!(error instanceof DormouseError)) {
    const detail = error instanceof Error ? error.message : String(error);
    return { code: 'DORMOUSE_INTERNAL', title: 'Internal error', detail, status: 500, userFault: false };
  }
  return {
    code: error.code,
    title: titleOf(error.code),
    detail: error.message,
    status: statusOf(error),
    userFault: error.userFault,
  };
}

/** The error that a problem tells of; whatever is not a problem becomes DORMOUSE_CONTROL_PROTOCOL. */
export function errorOf(status: number, body: string): DormouseError {
  let problem: Partial<Problem> | null = null;
  try {
    problem = JSON.parse(body) as Partial<Problem> | null;
  } catch {
    // Not JSON: told below.
  }
  if (problem !== null && typeof problem === 'object' && isCode(problem.code) && typeof problem.detail === 'string') {
    return new DormouseError(problem.code, problem.detail, { userFault: problem.userFault === true });
  }
  return new DormouseError(
    'DORMOUSE_CONTROL_PROTOCOL',
    `the control socket answered ${status} with something that is not a problem document`,
  );
}

function isCode(code: unknown): code is `DORMOUSE_${string}` {
  return typeof code === 'string' && code.startsWith('DORMOUSE_');
}

/** `DORMOUSE_BACKEND_UNKNOWN` -> `Backend unknown`. */
function titleOf(code: string): string {
  const words = code.slice('DORMOUSE_'.length).toLowerCase().replaceAll('_', ' ');
  return words.charAt(0).toUpperCase() + words.slice(1);
}

function statusOf(error: DormouseError): number {
  switch (error.code) {
    case 'DORMOUSE_BACKEND_UNKNOWN':
    case 'DORMOUSE_CONTROL_PATH':
      return 404;
    case 'DORMOUSE_CONTROL_METHOD':
      return 405;
    case 'DORMOUSE_CONTROL_BODY':
      return 413;
    case 'DORMOUSE_CONTROL_QUERY':
      return 400;
    default:
      return error.userFault ? 422 : 503;
  }
}
