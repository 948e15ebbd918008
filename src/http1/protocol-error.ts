import { DormouseError } from '../model/errors.ts';

/**
 * What is wrong with a message on the wire. Parsers return these (they never throw) and hand out the same frozen object each time
 * (refusals.ts): a hostile client must not be able to make us capture stacks.
 */
export class ProtocolError extends DormouseError {
  /** Status that a client is answered when it was its message: 400, 413, 414, 417, 431, 501 or 505. A backend's bad answer is a 502, whatever stands here. */
  readonly status: number;
  /** Short, stable name of the reason, for logs and counters, e.g. `bare-lf`. */
  readonly detail: string;

  constructor(status: number, detail: string, message: string) {
    super(codeOf(status), message);
    this.name = 'ProtocolError';
    this.status = status;
    this.detail = detail;
  }
}

function codeOf(status: number): `DORMOUSE_${string}` {
  switch (status) {
    case 413:
      return 'DORMOUSE_HTTP_BODY_TOO_LARGE';
    case 414:
      return 'DORMOUSE_HTTP_URI_TOO_LONG';
    case 417:
      return 'DORMOUSE_HTTP_EXPECTATION_UNKNOWN';
    case 431:
      return 'DORMOUSE_HTTP_HEAD_TOO_LARGE';
    case 501:
      return 'DORMOUSE_HTTP_NOT_IMPLEMENTED';
    case 505:
      return 'DORMOUSE_HTTP_VERSION_UNKNOWN';
    default:
      return 'DORMOUSE_HTTP_BAD_REQUEST';
  }
}
