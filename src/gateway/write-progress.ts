import type { Socket } from 'node:net';

/** Tells for how long a socket has taken nothing of what waits to be sent on it. */
export class WriteProgress {
  private sent = 0;
  private sinceMs = 0;

  /** 0: nothing waits, or something went out since the last look. */
  stalledForMs(socket: Socket, nowMs: number): number {
    const waiting = socket.writableLength;
    if (waiting === 0) {
      this.sinceMs = 0;
      return 0;
    }
    const sent = socket.bytesWritten - waiting;
    if (this.sinceMs === 0 || sent !== this.sent) {
      this.sent = sent;
      this.sinceMs = nowMs;
    }
    return nowMs - this.sinceMs;
  }
}
