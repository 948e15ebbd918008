/**
 * Tells when the configuration file has other content. The folder is watched, not the file: editors and configuration management replace
 * the file by another one, and a watch on the old one would see nothing more.
 */
import { createHash } from 'node:crypto';
import { watch, type FSWatcher } from 'node:fs';
import { readFile } from 'node:fs/promises';
import { dirname } from 'node:path';
import type { Logger } from '../model/ports.ts';

/** A file is often written in several steps: this long after the last one it is looked at, ms. */
const SETTLE_MS = 100;

export class ConfigWatch {
  readonly #file: string;
  readonly #changed: () => void;
  readonly #logger: Logger;
  #watcher: FSWatcher | null = null;
  #timer: NodeJS.Timeout | undefined;
  #hash = '';

  constructor(file: string, options: { changed: () => void; logger: Logger }) {
    this.#file = file;
    this.#changed = options.changed;
    this.#logger = options.logger;
  }

  /** Never rejects: without a watch the program works, and SIGHUP and the control socket still reload. */
  async start(): Promise<void> {
    this.#hash = await this.#contentHash();
    try {
      // Any name counts: with a Kubernetes ConfigMap it is a symbolic link above the file that changes.
      this.#watcher = watch(dirname(this.#file), { persistent: false }, () => this.#touched());
      this.#watcher.on('error', (error) => this.#failed(error));
    } catch (error) {
      this.#failed(error as Error);
    }
  }

  close(): void {
    clearTimeout(this.#timer);
    this.#watcher?.close();
    this.#watcher = null;
  }

  #touched(): void {
    clearTimeout(this.#timer);
    this.#timer = setTimeout(() => void this.#look(), SETTLE_MS);
  }

  async #look(): Promise<void> {
    const hash = await this.#contentHash();
    // An empty hash: it is not there now, as between the two steps of a replacement.
    if (hash === '' || hash === this.#hash || this.#watcher === null) return;
    this.#hash = hash;
    this.#changed();
  }

  async #contentHash(): Promise<string> {
    try {
      return createHash('sha256')
        .update(await readFile(this.#file))
        .digest('hex');
    } catch {
      return '';
    }
  }

  #failed(error: Error): void {
    this.#logger.warn('changes of the configuration file are not seen; reload with SIGHUP', {
      file: this.#file,
      reason: error.message,
    });
    this.close();
  }
}
