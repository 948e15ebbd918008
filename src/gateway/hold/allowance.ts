/**
 * How much this gateway may hold for one backend. The bound is across all gateways (wake.maxHeld, wake.maxHeldBytes): the controller hands out parts
 * of it in batches, so that a hold costs no round trip. What comes while an answer is under way waits in the queue; when the answer
 * is no, the newest are refused.
 */
export class Allowance {
  holds = 0;
  bytes = 0;
  private asked = false;
  private emptySinceMs = 0;
  private readonly maxHolds: number;
  private readonly maxBytes: number;
  private readonly send: (type: 'lease-ask' | 'lease-return', holds: number, bytes: number) => void;

  constructor(
    maxHolds: number,
    maxBytes: number,
    send: (type: 'lease-ask' | 'lease-return', holds: number, bytes: number) => void,
  ) {
    this.maxHolds = maxHolds;
    this.maxBytes = maxBytes;
    this.send = send;
  }

  covers(holds: number, bytes: number): boolean {
    return holds <= this.holds && bytes <= this.bytes;
  }

  /** Asks for what is missing and a batch more (an eighth of the whole), once at a time. */
  ask(holds: number, bytes: number): void {
    if (this.asked) return;
    this.asked = true;
    const wantHolds = holds > this.holds ? holds - this.holds + Math.ceil(this.maxHolds / 8) : 0;
    const wantBytes = bytes > this.bytes ? bytes - this.bytes + Math.ceil(this.maxBytes / 8) : 0;
    this.send('lease-ask', Math.min(wantHolds, this.maxHolds), Math.min(wantBytes, this.maxBytes));
  }

  /** The controller's answer. */
  grant(holds: number, bytes: number): void {
    this.asked = false;
    this.holds += holds;
    this.bytes += bytes;
  }

  /** An answer that was under way will not come: whoever was asked is gone. */
  forgetAsk(): void {
    this.asked = false;
  }

  /** Called now and then: an allowance that nobody needed for five seconds goes back. */
  tick(held: number, nowMs: number): void {
    if (held > 0 || this.asked || (this.holds === 0 && this.bytes === 0)) {
      this.emptySinceMs = 0;
      return;
    }
    if (this.emptySinceMs === 0) this.emptySinceMs = nowMs;
    else if (nowMs - this.emptySinceMs >= 5000) {
      this.send('lease-return', this.holds, this.bytes);
      this.holds = 0;
      this.bytes = 0;
      this.emptySinceMs = 0;
    }
  }
}
