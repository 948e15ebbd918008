/** What becomes of a response body on its way to the client: one part of a chain. */

/** Where a transform sends what it has made. */
export interface BodyOutput {
  /** Takes a part; it may be kept. False: hold back until `onDrain`. */
  data(part: Buffer): boolean;
  /** Nothing more comes. */
  end(): void;
  /** After a `write` that returned false: more may be written. */
  drained(): void;
  /** It can't go on: the client sees a broken transfer. */
  fail(error: Error): void;
}

export interface BodyTransform {
  /** Called once, before all others. */
  start(output: BodyOutput): void;
  /** The part may be kept. False: it has enough for now and says `drained` when it can take more. */
  write(part: Buffer): boolean;
  /** The body is complete. Ends with `output.end()`, now or later. */
  end(): void;
  /** Who gets the output takes more again. */
  onDrain(): void;
  /** The exchange is over before its end: free what is held. */
  destroy(): void;
}
