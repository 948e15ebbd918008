/** Files that the configuration names: their paths become absolute, and what is wrong with them is an error at the key that names them. */
import { readFileSync, statSync } from 'node:fs';
import { resolve } from 'node:path';
import { NamedFile } from '../model/named-file.ts';
import type { Path, Problem } from './config-error.ts';
import { problem } from './explain.ts';
import { isMapping } from './plain-data.ts';
import { MAX_ANSWER_BYTES } from './schema/resilience.ts';

/** What is read of the file system; both throw as node:fs does. */
export interface FileAccess {
  stat(path: string): { isFile(): boolean; size: number };
  read(path: string): Buffer;
}

export const realFiles: FileAccess = { stat: (path) => statSync(path), read: (path) => readFileSync(path) };

/** Certificates, keys and lists are far smaller; a wrong path may lead to anything. */
const MAX_NAMED_BYTES = 16 * 1024 * 1024;

export class NamedFiles {
  readonly #folder: string;
  readonly #access: FileAccess;
  readonly #problems: Problem[];

  constructor(folder: string, access: FileAccess, problems: Problem[]) {
    this.#folder = folder;
    this.#access = access;
    this.#problems = problems;
  }

  /** Absolute path of a file that must be there and be readable. */
  path(written: string, at: Path): string {
    this.bytes(written, at);
    return this.resolve(written);
  }

  resolve(written: string): string {
    return resolve(this.#folder, written);
  }

  /** Its content, UTF-8; '' when there is a problem with it. */
  text(written: string, at: Path, maxBytes = MAX_ANSWER_BYTES): string {
    const bytes = this.bytes(written, at, maxBytes);
    if (bytes === null) return '';
    try {
      return new TextDecoder('utf-8', { fatal: true, ignoreBOM: true }).decode(bytes);
    } catch {
      this.#problems.push(problem(at, `${this.resolve(written)} is not UTF-8 text`, 'save the file as UTF-8'));
      return '';
    }
  }

  bytes(written: string, at: Path, maxBytes = MAX_NAMED_BYTES): Buffer | null {
    const path = this.resolve(written);
    try {
      // Before it is opened: opening a named pipe waits for somebody who writes.
      const stat = this.#access.stat(path);
      if (!stat.isFile()) return this.#refuse(at, `${path} is not a file`, 'name a regular file');
      if (stat.size > maxBytes)
        return this.#refuse(at, `${path} is larger than ${maxBytes} bytes`, 'is this the right file?');
      return this.#access.read(path);
    } catch (error) {
      return this.#refuse(at, ...sentence(path, error));
    }
  }

  /** Puts paths and texts where a filter's schema left a NamedFile, however deep. */
  fill(value: unknown, at: Path): unknown {
    if (value instanceof NamedFile) {
      return value.as === 'path' ? this.path(value.written, at) : this.text(value.written, at);
    }
    if (Array.isArray(value)) return value.map((item, index) => this.fill(item, [...at, index]));
    // Only plain data: a schema may have made something else of its options.
    if (!isMapping(value) || Object.getPrototypeOf(value) !== Object.prototype) return value;
    for (const [key, entry] of Object.entries(value)) {
      const filled = this.fill(entry, [...at, key]);
      if (filled !== entry) value[key] = filled;
    }
    return value;
  }

  #refuse(at: Path, message: string, hint: string): null {
    this.#problems.push(problem(at, message, hint));
    return null;
  }
}

function sentence(path: string, error: unknown): [message: string, hint: string] {
  switch ((error as NodeJS.ErrnoException).code) {
    case 'ENOENT':
      return [`there is no file ${path}`, 'relative paths start at the folder of the configuration file'];
    case 'EACCES':
    case 'EPERM':
      return [`${path} may not be read`, 'let the user that runs dormouse read it'];
    case 'ENOTDIR':
      return [`a part of the path ${path} is a file, not a folder`, 'check the path'];
    default:
      return [`${path} can't be read: ${error instanceof Error ? error.message : String(error)}`, 'check the path'];
  }
}
