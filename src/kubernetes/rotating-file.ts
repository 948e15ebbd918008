import { open } from 'node:fs/promises';
import type { Clock } from '../model/ports.ts';

/** How long what was read is good, ms: the kubelet renews a token when a fifth of its life is left, ten minutes before its end at the latest. */
const GOOD_FOR_MS = 60_000;
/** Certificates, keys and tokens are far smaller. */
const MAX_BYTES = 1024 * 1024;

/** A small file that others replace now and then: read again after a minute at most. */
export class RotatingFile {
  readonly path: string;
  readonly #clock: Clock;
  #content: Buffer | null = null;
  #readAtMs = 0;

  constructor(path: string, clock: Clock) {
    this.path = path;
    this.#clock = clock;
  }

  /** Rejects with the system's error, or one that says that it is empty or too large, unless an earlier content is known: that is given then. */
  async read(fresh = false): Promise<Buffer> {
    const now = this.#clock.nowMs();
    if (this.#content !== null && !fresh && now - this.#readAtMs < GOOD_FOR_MS) return this.#content;
    try {
      const content = await readSmallFile(this.path, MAX_BYTES);
      if (content.length === 0) throw new Error('the file is empty');
      if (this.#content === null || !content.equals(this.#content)) this.#content = content;
    } catch (error) {
      if (this.#content === null) throw error;
    }
    this.#readAtMs = now;
    return this.#content;
  }
}

/** Rejects when it is larger than `maxBytes`, without reading more than that. */
export async function readSmallFile(path: string, maxBytes: number): Promise<Buffer> {
  const file = await open(path, 'r');
  try {
    const { size } = await file.stat();
    if (size > maxBytes) throw new Error(`the file is larger than ${maxBytes} bytes`);
    return await file.readFile();
  } finally {
    await file.close();
  }
}
