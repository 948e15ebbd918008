import type { BodyOutput, BodyTransform } from './body-transform.ts';

/** What a chain gives its output to. */
export interface ChainEnd {
  /** False: the client takes no more until `onDrain`. */
  chainData(part: Buffer): boolean;
  /** All of the body has come out. `late`: after the call of `end` had returned. */
  chainEnded(late: boolean): void;
  /** After a `write` that returned false: more may be written. */
  chainDrained(): void;
  chainFailed(error: Error): void;
}

/** A transform that does something when time passes (heartbeats). */
export interface TimedTransform extends BodyTransform {
  tick(nowMs: number): void;
}

/** Transforms one behind the other, with backpressure from the last to the first. */
export class TransformChain {
  private readonly transforms: BodyTransform[];
  private readonly sink: ChainEnd;
  private ended = false;
  private ending = false;

  /** At least one transform, first to last. */
  constructor(transforms: BodyTransform[], sink: ChainEnd) {
    this.transforms = transforms;
    this.sink = sink;
  }

  /** Before the first `write`, when the head has been sent. */
  start(): void {
    const { transforms } = this;
    for (let i = transforms.length - 1; i >= 0; i--) transforms[i]!.start(this.outputOf(i));
  }

  /** False: hold back until `chainDrained`. */
  write(part: Buffer): boolean {
    return this.ended ? true : this.transforms[0]!.write(part);
  }

  /** The body is complete. True when all of it has come out already. */
  end(): boolean {
    if (this.ended) return true;
    this.ending = true;
    this.transforms[0]!.end();
    this.ending = false;
    return this.ended;
  }

  onDrain(): void {
    if (!this.ended) this.transforms.at(-1)!.onDrain();
  }

  tick(nowMs: number): void {
    if (this.ended) return;
    for (const transform of this.transforms) if ('tick' in transform) (transform as TimedTransform).tick(nowMs);
  }

  /** The exchange is over before its end. */
  destroy(): void {
    if (this.ended) return;
    this.ended = true;
    for (const transform of this.transforms) transform.destroy();
  }

  private outputOf(index: number): BodyOutput {
    const { transforms, sink } = this;
    const next = transforms[index + 1];
    return {
      data: (part) => {
        if (this.ended || part.length === 0) return true;
        return next === undefined ? sink.chainData(part) : next.write(part);
      },
      end: () => {
        if (this.ended) return;
        if (next !== undefined) next.end();
        else {
          this.ended = true;
          sink.chainEnded(!this.ending);
        }
      },
      drained: () => {
        if (this.ended) return;
        if (index === 0) sink.chainDrained();
        else transforms[index - 1]!.onDrain();
      },
      fail: (error) => {
        if (this.ended) return;
        this.destroy();
        sink.chainFailed(error);
      },
    };
  }
}
