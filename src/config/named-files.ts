/** Files that the configuration names: their paths become absolute, and what is wrong with them is an error at the key that names them. */
import { readFileSync, statSync } from 'node:fs';
import { resolve } from 'node:path';
import type { Path, Problem } from './config-error.ts';
import { problem } from './explain.ts';
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

  /** Its content, UTF-8, at most 1 MiB, or what `read` makes of it; '' when there is a problem with it. */
  text(written: string, at: Path): string;
  text(written: string, at: Path, read: ((text: string) => unknown) | null): unknown;
  text(written: string, at: Path, read: ((text: string) => unknown) | null = null): unknown {
    const bytes = this.bytes(written, at, MAX_ANSWER_BYTES);
    if (bytes === null) return '';
    let text: string;
    try {
      text = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true }).decode(bytes);
    } catch {
      this.#problems.push(problem(at, `${this.resolve(written)} is not UTF-8 text`, 'save the file as UTF-8'));
      return '';
    }
    try {
      return read === null ? text : read(text);
    } catch (error) {
      this.#problems.push(problem(at, `${this.resolve(written)} ${(error as Error).message}`));
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
