/** Bounds of one message head. Every value is >= 1; a parser's memory is at most `headerBytes` plus a few numbers per header line. */
export interface HeadLimits {
  /** Bytes of the whole head, from the first byte of the start line to the final CRLF. Beyond it: 431. */
  headerBytes: number;
  /** Header lines. Beyond it: 431. */
  headers: number;
  /** Bytes of the request-target. Beyond it: 414. Not used for responses. */
  uriBytes: number;
}
