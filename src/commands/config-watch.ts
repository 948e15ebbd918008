/**
 * Tells when the configuration file, or another file that belongs to it, has other content. Folders are watched, not files: editors and
 * configuration management replace a file by another one, and a watch on the old one would see nothing more.
 */
import { createHash } from 'node:crypto';
import { watch, type FSWatcher } from 'node:fs';
import { readFile } from 'node:fs/promises';
import { dirname } from 'node:path';
import type { Logger } from '../model/ports.ts';

/** A file is often written in several steps: this long after the last one it is looked at, ms. */
const SETTLE_MS = 100;
/** As in PluginConfig.version. */
const HASH_LENGTH = 16;

export class ConfigWatch {
  readonly #file: string;
  readonly #changed: () => void;
  readonly #logger: Logger;
  #also: readonly string[] = [];
  #watchers: Map<string, FSWatcher> | null = null;
  #timer: NodeJS.Timeout | undefined;
  /** By file; '' while one is not there. */
  #hashes = new Map<string, string>();

  constructor(file: string, options: { changed: () => void; logger: Logger }) {
    this.#file = file;
    this.#changed = options.changed;
    this.#logger = options.logger;
  }

  /** The file as it is now is what was read. Never rejects: without a watch the program works, and SIGHUP and the control socket still reload. */
  async start(): Promise<void> {
    this.#watchers = new Map();
    this.#hashes.set(this.#file, await contentHash(this.#file));
    this.#watch();
  }

  /** Other files that the configuration in force was made of, with the hashes of what was read then; they replace those of the call before. */
  also(files: readonly { path: string; version: string }[]): void {
    for (const path of this.#also) this.#hashes.delete(path);
    this.#also = files.map(({ path }) => path);
    for (const { path, version } of files) this.#hashes.set(path, version);
    if (this.#watchers === null) return;
    this.#watch();
    // One may have changed since.
    if (files.length > 0) this.#touched();
  }

  close(): void {
    clearTimeout(this.#timer);
    for (const watcher of this.#watchers?.values() ?? []) watcher.close();
    this.#watchers = null;
  }

  #watch(): void {
    const watchers = this.#watchers!;
    const folders = new Set([this.#file, ...this.#also].map((file) => dirname(file)));
    for (const [folder, watcher] of watchers) {
      if (folders.has(folder)) continue;
      watcher.close();
      watchers.delete(folder);
    }
    for (const folder of folders) {
      if (watchers.has(folder)) continue;
      try {
        // Any name counts: with a Kubernetes ConfigMap it is a symbolic link above the file that changes.
        const watcher = watch(folder, { persistent: false }, () => this.#touched());
        watcher.on('error', (error) => this.#failed(folder, error));
        watchers.set(folder, watcher);
      } catch (error) {
        this.#failed(folder, error as Error);
      }
    }
  }

  #touched(): void {
    clearTimeout(this.#timer);
    this.#timer = setTimeout(() => void this.#look(), SETTLE_MS);
  }

  async #look(): Promise<void> {
    if ((await this.#hash()) && this.#watchers !== null) this.#changed();
  }

  /** True when a file has other content than before. One that is not there now, as between the two steps of a replacement, has not. */
  async #hash(): Promise<boolean> {
    const files = [this.#file, ...this.#also];
    const hashes = await Promise.all(files.map(contentHash));
    let changed = false;
    for (const [index, file] of files.entries()) {
      const hash = hashes[index]!;
      const known = this.#hashes.get(file);
      if (hash === '' || hash === known) continue;
      changed ||= known !== undefined;
      this.#hashes.set(file, hash);
    }
    return changed;
  }

  #failed(folder: string, error: Error): void {
    this.#logger.warn('changes of the configuration file are not seen; reload with SIGHUP', {
      folder,
      reason: error.message,
    });
    this.#watchers?.get(folder)?.close();
    this.#watchers?.delete(folder);
  }
}

async function contentHash(file: string): Promise<string> {
  try {
    return createHash('sha256')
      .update(await readFile(file))
      .digest('hex')
      .slice(0, HASH_LENGTH);
  } catch {
    return '';
  }
}
