/** What a parser made of a byte stream: the messages that it took to be whole, and how it ended. */
export interface Outcome {
  messages: SeenMessage[];
  /** Where in the stream each message begins; only ours tells. */
  offsets?: number[];
  /**
   * complete: nothing is left (or the connection ends after the last message); partial: inside a message; refused: `reason` says why. `upgraded`: what follows is
   * not HTTP.
   */
  end: 'complete' | 'partial' | 'refused' | 'upgraded';
  reason: string;
}

export interface SeenMessage {
  /** `GET /path 1` or `200 1`: method and target or status, and the minor version. */
  start: string;
  /** Names in lower case, values without spaces around them, latin1. */
  headers: [string, string][];
  /** latin1 */
  body: string;
}

export const Direction = Object.freeze({ REQUESTS: 'requests', RESPONSES: 'responses' } as const);
export type Direction = (typeof Direction)[keyof typeof Direction];

/** Short text of an outcome, for reports. */
export function describe(outcome: Outcome): string {
  const messages = outcome.messages.map(
    (m) => `${m.start} [${m.headers.map(([n, v]) => `${n}:${v}`).join('|')}] ${JSON.stringify(m.body)}`,
  );
  return [...messages, outcome.reason === '' ? outcome.end : `${outcome.end}: ${outcome.reason}`].join(' // ');
}
