import { watch, type FSWatcher } from 'node:fs';
import { readFile, stat } from 'node:fs/promises';
import { dirname } from 'node:path';
import type { Logger } from '../../model/ports.ts';

/** Writers need a moment for all files that belong together, ms. */
const SETTLE_MS = 100;
/** Where the system doesn't tell of a change (network file systems), and where it can't be asked: looked at this often, ms. */
const POLL_MS = 30_000;
/** Files that can't be used are read again after this long, ms, doubling up to the second. */
const FIRST_RETRY_MS = 500;
const LAST_RETRY_MS = 30_000;
/** Certificates with their chains, lists of authorities. */
export const MAX_FILE_BYTES = 4 << 20;

/** Says what is wrong with which file. */
export class FileProblem extends Error {
  readonly file: string;

  constructor(file: string, reason: string, options?: { cause: unknown }) {
    super(reason, options);
    this.name = 'FileProblem';
    this.file = file;
  }
}

export interface WatchedFilesOptions {
  /** Absolute paths. */
  files: readonly string[];
  /** Puts the contents in force, in the order of `files`; throws a FileProblem when they can't be used (half written, say): what was in force stays. */
  use: (contents: readonly Buffer[]) => void;
  logger: Logger;
  /** For log lines: which part of the configuration they belong to. */
  fields: Record<string, unknown>;
}

/** Files that belong together and are put in force again whenever they change. Folders are watched, since files are mostly replaced by renaming (Kubernetes does so with a link two levels up). */
export class WatchedFiles {
  readonly #options: WatchedFilesOptions;
  readonly #watchers: FSWatcher[] = [];
  #used: Buffer[] | null = null;
  #timer: NodeJS.Timeout | null = null;
  #dueMs = 0;
  #poll: NodeJS.Timeout | null = null;
  #retryMs = FIRST_RETRY_MS;
  #lastProblem = '';
  #running = false;
  #again = false;
  #closed = false;

  constructor(options: WatchedFilesOptions) {
    this.#options = options;
  }

  /** Reads the files and puts them in force. Rejects with a FileProblem. */
  async load(): Promise<void> {
    const contents = await this.#read();
    this.#options.use(contents);
    this.#used = contents;
  }

  /** Begins to look for changes. Nothing of it keeps the process alive. */
  watch(): void {
    if (this.#closed || this.#poll !== null) return;
    for (const folder of new Set(this.#options.files.map((file) => dirname(file)))) this.#watchFolder(folder);
    this.#poll = setInterval(() => this.#changed(), POLL_MS);
    this.#poll.unref();
    // What changed between the reading and now has made no event.
    this.#changed();
  }

  /** Looks at the files now, as after a reload of the configuration. Resolves when it is done; problems are logged. */
  check(): Promise<void> {
    return this.#check();
  }

  close(): void {
    this.#closed = true;
    for (const watcher of this.#watchers) watcher.close();
    if (this.#timer !== null) clearTimeout(this.#timer);
    if (this.#poll !== null) clearInterval(this.#poll);
  }

  #watchFolder(folder: string): void {
    const { logger, fields } = this.#options;
    try {
      const watcher = watch(folder, { persistent: false }, () => this.#changed());
      watcher.on('error', (error) => {
        logger.debug('a folder is no longer watched, its files are looked at every 30 s', {
          ...fields,
          folder,
          error: error.message,
        });
        watcher.close();
      });
      this.#watchers.push(watcher);
    } catch (error) {
      logger.debug('a folder cannot be watched, its files are looked at every 30 s', {
        ...fields,
        folder,
        error: (error as Error).message,
      });
    }
  }

  #changed(): void {
    this.#after(SETTLE_MS);
  }

  /** Never later than what is planned already: a folder in which something happens all the time must not put it off. */
  #after(delayMs: number): void {
    const dueMs = performance.now() + delayMs;
    if (this.#closed || (this.#timer !== null && this.#dueMs <= dueMs)) return;
    if (this.#timer !== null) clearTimeout(this.#timer);
    this.#dueMs = dueMs;
    this.#timer = setTimeout(() => {
      this.#timer = null;
      void this.#check();
    }, delayMs);
    this.#timer.unref();
  }

  /** One at a time; what happens meanwhile is looked at afterwards. Never rejects. */
  async #check(): Promise<void> {
    if (this.#running) {
      this.#again = true;
      return;
    }
    this.#running = true;
    do {
      this.#again = false;
      await this.#tryOnce();
    } while (this.#again && !this.#closed);
    this.#running = false;
  }

  async #tryOnce(): Promise<void> {
    const { logger, fields } = this.#options;
    try {
      const contents = await this.#read();
      if (this.#closed) return;
      if (this.#used?.every((content, index) => content.equals(contents[index]!)) === true) {
        this.#recovered();
        return;
      }
      this.#options.use(contents);
      this.#used = contents;
      this.#recovered();
      logger.info('files have changed and are in force', { ...fields, files: this.#options.files });
    } catch (error) {
      const file = error instanceof FileProblem ? error.file : '';
      const reason = error instanceof Error ? error.message : String(error);
      if (this.#lastProblem !== file + reason) {
        this.#lastProblem = file + reason;
        logger.warn('changed files cannot be used: the former ones stay in force, and they are read again', {
          ...fields,
          file,
          reason,
        });
      }
      this.#after(this.#retryMs);
      this.#retryMs = Math.min(this.#retryMs * 2, LAST_RETRY_MS);
    }
  }

  #recovered(): void {
    this.#retryMs = FIRST_RETRY_MS;
    this.#lastProblem = '';
  }

  #read(): Promise<Buffer[]> {
    return Promise.all(
      this.#options.files.map(async (file) => {
        try {
          // A pipe or a device would be waited for.
          const { size } = await regularFile(file);
          if (size > MAX_FILE_BYTES) throw new FileProblem(file, 'it is larger than 4 MiB');
          return await readFile(file);
        } catch (error) {
          if (error instanceof FileProblem) throw error;
          throw new FileProblem(file, `it cannot be read (${(error as NodeJS.ErrnoException).code ?? String(error)})`, {
            cause: error,
          });
        }
      }),
    );
  }
}

async function regularFile(file: string): Promise<{ size: number }> {
  const found = await stat(file);
  if (!found.isFile()) throw new FileProblem(file, 'it is no file');
  return found;
}
