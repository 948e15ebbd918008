/** What the admin API refuses, as problem+json (RFC 9457): a stable code, the field, and what to do next. */
import { DormouseError } from '../../model/errors.ts';

export interface FieldError {
  /** JSON pointer (RFC 6901) into the body; '' is all of it. */
  field: string;
  detail: string;
  /** What to do. */
  next: string;
}

export interface AdminErrorOptions {
  cause?: unknown;
  errors?: readonly FieldError[];
  /** Further headers of the answer. */
  headers?: Readonly<Record<string, string>>;
}

export class AdminError extends DormouseError {
  readonly status: number;
  readonly errors: readonly FieldError[];
  readonly headers: Readonly<Record<string, string>>;

  constructor(status: number, code: `DORMOUSE_${string}`, message: string, options: AdminErrorOptions = {}) {
    super(code, message, { cause: options.cause, userFault: status < 500 });
    this.name = 'AdminError';
    this.status = status;
    this.errors = options.errors ?? [];
    this.headers = options.headers ?? {};
  }
}

export interface AdminProblem {
  type: string;
  title: string;
  status: number;
  code: string;
  detail: string;
  userFault: boolean;
  errors?: readonly FieldError[];
}

/** Faults of the program itself are told without their words, which may have anything in them: they stand in the log. */
export function adminProblem(error: unknown): AdminProblem {
  if (!(error instanceof DormouseError)) {
    return problem(500, 'DORMOUSE_INTERNAL', 'a fault of dormouse; its log says more', false);
  }
  const errors = error instanceof AdminError ? error.errors : [];
  return {
    ...problem(statusOf(error), error.code, error.message, error.userFault),
    ...(errors.length === 0 ? {} : { errors }),
  };
}

/** The sentences of fields, for a message that stands by itself. */
export function sentenceOf(errors: readonly FieldError[]): string {
  return errors.map(({ field, detail, next }) => `${field === '' ? 'the body' : field}: ${detail}; ${next}`).join('. ');
}

function problem(status: number, code: string, detail: string, userFault: boolean): AdminProblem {
  const words = code.slice('DORMOUSE_'.length).toLowerCase();
  const title = words.replaceAll('_', ' ');
  return {
    type: `urn:dormouse:error:${words.replaceAll('_', '-')}`,
    title: title.charAt(0).toUpperCase() + title.slice(1),
    status,
    code,
    detail,
    userFault,
  };
}

function statusOf(error: DormouseError): number {
  if (error instanceof AdminError) return error.status;
  switch (error.code) {
    case 'DORMOUSE_BACKEND_UNKNOWN':
      return 404;
    case 'DORMOUSE_SLEEP_REFUSED':
    case 'DORMOUSE_SLEEP_CANCELLED':
    case 'DORMOUSE_BACKEND_REMOVED':
      return 409;
    case 'DORMOUSE_CONFIG_INVALID':
    case 'DORMOUSE_CONFIG_REFUSED':
      return 409;
    case 'DORMOUSE_CLOSING':
    case 'DORMOUSE_STOPPING':
      return 503;
    default:
      return error.userFault ? 422 : 503;
  }
}
