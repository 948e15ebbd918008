import { readFileSync, statSync } from 'node:fs';
import { readFile, stat } from 'node:fs/promises';
import { DormouseError } from '../../model/errors.ts';
import type { Clock, Logger } from '../../model/ports.ts';

/** A file in use is looked at this often, ms. */
export const LOOK_INTERVAL_MS = 5000;

export interface FileContentOptions<T> {
  /** Absolute path. */
  file: string;
  maxBytes: number;
  /** Makes a value of the text. Throws, with a sentence that begins with what is wrong, when it is not usable. */
  read: (text: string) => T;
  clock: Clock;
  logger: Logger;
}

/**
 * What a file says, read again when it has changed; it is looked at while it is asked for, so that nothing runs for routes that nobody uses. A file that
 * is gone, half written or wrong leaves the last good content in force, which is logged once per change.
 */
export class FileContent<T> {
  /** Counts the contents. */
  version = 1;
  #value: T;
  readonly #options: FileContentOptions<T>;
  #mark: string;
  #nextLookMs: number;
  #looking: Promise<void> | null = null;

  /** Throws DORMOUSE_AUTH_FILE when it can't be read or used. */
  constructor(options: FileContentOptions<T>) {
    this.#options = options;
    this.#nextLookMs = options.clock.nowMs() + LOOK_INTERVAL_MS;
    try {
      const found = statSync(options.file);
      checkSize(found, options.maxBytes);
      this.#mark = markOf(found);
      this.#value = options.read(readFileSync(options.file, 'utf8'));
    } catch (error) {
      throw new DormouseError('DORMOUSE_AUTH_FILE', `${options.file}: ${sentence(error)}`, {
        cause: error,
        userFault: true,
      });
    }
  }

  /** The last good content. */
  get value(): T {
    if (this.#options.clock.nowMs() >= this.#nextLookMs) void this.look();
    return this.#value;
  }

  /** Looks now; resolves when what was found is in force. Never rejects. */
  look(): Promise<void> {
    this.#looking ??= this.#look().finally(() => (this.#looking = null));
    return this.#looking;
  }

  async #look(): Promise<void> {
    const { file, maxBytes, read, clock, logger } = this.#options;
    this.#nextLookMs = clock.nowMs() + LOOK_INTERVAL_MS;
    let mark = 'gone';
    try {
      const found = await stat(file);
      mark = markOf(found);
      if (mark === this.#mark) return;
      checkSize(found, maxBytes);
      const value = read(await readFile(file, 'utf8'));
      this.#value = value;
      this.version++;
      logger.info('a file of credentials has changed and is in force', { file });
    } catch (error) {
      if (mark !== this.#mark)
        logger.warn('a file of credentials can not be used; what it said before stays in force', {
          file,
          reason: sentence(error),
        });
    }
    this.#mark = mark;
  }
}

interface Found {
  isFile(): boolean;
  size: number;
  mtimeMs: number;
  ino: number;
}

/** Before it is opened: opening a named pipe waits for somebody who writes. */
function checkSize(found: Found, maxBytes: number): void {
  if (!found.isFile()) throw new Error('is not a file');
  if (found.size > maxBytes) throw new Error(`is larger than ${maxBytes} bytes`);
}

function markOf(found: Found): string {
  return `${found.ino} ${found.size} ${found.mtimeMs}`;
}

/** Without the path, which stands before it, and never with what the file says. */
function sentence(error: unknown): string {
  const code = (error as NodeJS.ErrnoException).code;
  if (code === 'ENOENT') return 'there is no such file';
  if (code === 'EACCES' || code === 'EPERM') return 'may not be read';
  return error instanceof Error ? error.message : String(error);
}
