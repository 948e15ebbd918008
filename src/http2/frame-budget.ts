/** Frames per second that ask for work and bring nothing; so many more for each stream begun in that second. */
const IDLE_FRAMES = 1000;
const IDLE_FRAMES_PER_STREAM = 8;

/** Counts what a peer may do so often in a second. Seconds begin with the first thing counted after the last one. */
export class FrameBudget {
  /** Streams that were reset in this second. */
  resets = 0;
  private beganMs = Number.NEGATIVE_INFINITY;
  private idleFrames = 0;
  private streams = 0;
  private readonly nowMs: () => number;

  constructor(nowMs: () => number) {
    this.nowMs = nowMs;
  }

  private look(): void {
    const nowMs = this.nowMs();
    if (nowMs - this.beganMs < 1000) return;
    this.beganMs = nowMs;
    this.idleFrames = 0;
    this.streams = 0;
    this.resets = 0;
  }

  streamBegun(): void {
    this.look();
    this.streams++;
  }

  /** SETTINGS, PING, PRIORITY, empty DATA, small windows, unknown frames. False: too many of them. */
  idleFrame(): boolean {
    this.look();
    return ++this.idleFrames <= IDLE_FRAMES + IDLE_FRAMES_PER_STREAM * this.streams;
  }

  /** The number in this second, with this one. */
  reset(): number {
    this.look();
    return ++this.resets;
  }
}
