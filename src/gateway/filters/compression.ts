import {
  brotliCompressSync,
  constants,
  createBrotliCompress,
  createGzip,
  createZstdCompress,
  gzipSync,
  zstdCompressSync,
} from 'node:zlib';
import type { BrotliCompress, Gzip, ZstdCompress } from 'node:zlib';
import type { Coding } from './accept-encoding.ts';
import type { BodyOutput, BodyTransform } from './body-transform.ts';
import type { KeptPart } from './kept-parts.ts';

/** A body up to here is encoded at once: about 0.1 ms, less than an encoder with its own thread work would cost. */
export const AT_ONCE_BYTES = 16_384;
/** Window of 256 kB (br) and 512 kB (zstd): more memory per encoder finds little more in web content. */
const BROTLI_WINDOW = 18;
const ZSTD_WINDOW = 19;

type Encoder = Gzip | BrotliCompress | ZstdCompress;

/** How many encoders this worker has: each holds 0.3 MB (gzip) to 1 MB (zstd). Shared by all routes. */
export class EncoderCount implements KeptPart {
  used = 0;

  close(): void {}
}

export interface CompressionOptions {
  coding: Coding;
  level: number;
  /** How long bytes may wait in the encoder for more, ms; 0: each part goes on at once. */
  flushAfterMs: number;
}

/**
 * Encodes a body. Small ones at once, others by an encoder that works beside the event loop. What comes slowly is flushed, so that nothing that the
 * endpoint has sent waits longer than `flushAfterMs`.
 */
export class Compression implements BodyTransform {
  private readonly options: CompressionOptions;
  private readonly count: EncoderCount;
  private output: BodyOutput | null = null;
  private kept: Buffer[] = [];
  private keptBytes = 0;
  private encoder: Encoder | null = null;
  private timer: NodeJS.Timeout | null = null;
  private counted = false;

  constructor(options: CompressionOptions, count: EncoderCount) {
    this.options = options;
    this.count = count;
  }

  start(output: BodyOutput): void {
    this.output = output;
    this.counted = true;
    this.count.used++;
  }

  write(part: Buffer): boolean {
    const { flushAfterMs } = this.options;
    let more = true;
    if (this.encoder !== null) more = this.encoder.write(part);
    else {
      this.kept.push(part);
      this.keptBytes += part.length;
      if (this.keptBytes > AT_ONCE_BYTES || flushAfterMs === 0) more = this.open();
    }
    if (flushAfterMs === 0) this.flush();
    else this.timer ??= setTimeout(() => this.flush(), flushAfterMs);
    return more;
  }

  end(): void {
    this.stopTimer();
    if (this.encoder !== null) {
      this.encoder.end();
      return;
    }
    const { output } = this;
    const encoded = encodeAtOnce(this.take(), this.options);
    this.release();
    output!.data(encoded);
    output!.end();
  }

  onDrain(): void {
    this.encoder?.resume();
  }

  destroy(): void {
    this.stopTimer();
    this.kept = [];
    this.encoder?.destroy();
    this.release();
  }

  private flush(): void {
    this.stopTimer();
    if (this.encoder === null) this.open();
    const sync = this.options.coding === 'gzip' ? constants.Z_SYNC_FLUSH : undefined;
    // Without an argument: the flush of the format (BROTLI_OPERATION_FLUSH, ZSTD_e_flush).
    if (sync === undefined) this.encoder!.flush();
    else this.encoder!.flush(sync);
  }

  private open(): boolean {
    const encoder = createEncoder(this.options);
    this.encoder = encoder;
    encoder.on('data', (part: Buffer) => {
      if (this.output !== null && !this.output.data(part)) encoder.pause();
    });
    encoder.on('drain', () => this.output?.drained());
    encoder.on('end', () => {
      const { output } = this;
      this.release();
      output?.end();
    });
    encoder.on('error', (error) => {
      const { output } = this;
      this.destroy();
      output?.fail(error);
    });
    return encoder.write(this.take());
  }

  private take(): Buffer {
    const kept = this.kept.length === 1 ? this.kept[0]! : Buffer.concat(this.kept, this.keptBytes);
    this.kept = [];
    this.keptBytes = 0;
    return kept;
  }

  private stopTimer(): void {
    if (this.timer !== null) clearTimeout(this.timer);
    this.timer = null;
  }

  private release(): void {
    this.output = null;
    if (!this.counted) return;
    this.counted = false;
    this.count.used--;
  }
}

function createEncoder({ coding, level }: CompressionOptions): Encoder {
  switch (coding) {
    case 'gzip':
      return createGzip({ level });
    case 'br':
      return createBrotliCompress({ params: brotliParams(level) });
    case 'zstd':
      return createZstdCompress({ params: zstdParams(level) });
  }
}

function encodeAtOnce(body: Buffer, { coding, level }: CompressionOptions): Buffer {
  switch (coding) {
    case 'gzip':
      return gzipSync(body, { level });
    case 'br':
      return brotliCompressSync(body, {
        params: { ...brotliParams(level), [constants.BROTLI_PARAM_SIZE_HINT]: body.length },
      });
    case 'zstd':
      return zstdCompressSync(body, { params: zstdParams(level) });
  }
}

function brotliParams(level: number): Record<number, number> {
  return { [constants.BROTLI_PARAM_QUALITY]: level, [constants.BROTLI_PARAM_LGWIN]: BROTLI_WINDOW };
}

function zstdParams(level: number): Record<number, number> {
  return { [constants.ZSTD_c_compressionLevel]: level, [constants.ZSTD_c_windowLog]: ZSTD_WINDOW };
}
