/** One bound on a time that doesn't always run: it can be paused and go on. */
export class Deadline {
  private timer: NodeJS.Timeout | null = null;
  private leftMs = 0;
  private sinceMs = 0;
  private readonly passed: () => void;

  constructor(passed: () => void) {
    this.passed = passed;
  }

  /** Runs from now on. `forMs` > 0. */
  start(forMs: number, nowMs: number): void {
    this.stop();
    this.leftMs = forMs;
    this.resume(nowMs);
  }

  pause(nowMs: number): void {
    if (this.timer === null) return;
    clearTimeout(this.timer);
    this.timer = null;
    this.leftMs = Math.max(1, this.leftMs - (nowMs - this.sinceMs));
  }

  /** Does nothing when it isn't paused. */
  resume(nowMs: number): void {
    if (this.timer !== null || this.leftMs === 0) return;
    this.sinceMs = nowMs;
    this.timer = setTimeout(() => {
      this.timer = null;
      this.leftMs = 0;
      this.passed();
    }, this.leftMs);
  }

  stop(): void {
    this.leftMs = 0;
    if (this.timer === null) return;
    clearTimeout(this.timer);
    this.timer = null;
  }
}
