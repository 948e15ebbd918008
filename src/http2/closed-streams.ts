/** The last streams that were closed, as many as `capacity`: what comes for them is judged by how they ended (RFC 9113 5.1). */
export class ClosedStreams {
  private readonly ids: Int32Array;
  private readonly byUs: Uint8Array;
  private at = 0;

  constructor(capacity: number) {
    this.ids = new Int32Array(capacity);
    this.byUs = new Uint8Array(capacity);
  }

  /** `resetByUs`: the peer may have sent on before it knew. */
  add(streamId: number, resetByUs: boolean): void {
    this.ids[this.at] = streamId;
    this.byUs[this.at] = resetByUs ? 1 : 0;
    this.at = (this.at + 1) % this.ids.length;
  }

  has(streamId: number): boolean {
    return this.ids.includes(streamId);
  }

  wasResetByUs(streamId: number): boolean {
    const at = this.ids.indexOf(streamId);
    return at >= 0 && this.byUs[at] === 1;
  }
}
