import { HeaderKind } from './header-kind.ts';
import { MessageHead } from './message-head.ts';

/** A response's status line and header lines. */
export class ResponseHead extends MessageHead {
  /** 100 to 599. */
  status = 0;
  /** As sent, may be ''. */
  reason = '';

  /** Also true for the Content-Length of 1xx and 204 (RFC 9110 8.6: it must not stand there; only 0 was let in). */
  override dropped(i: number): boolean {
    if (this.kinds[i] === HeaderKind.CONTENT_LENGTH && (this.status < 200 || this.status === 204)) return true;
    return super.dropped(i);
  }
}
