import { open, stat as statOf } from 'node:fs/promises';
import { basename, dirname, resolve } from 'node:path';
import type { Config } from '../model/config.ts';
import type { Additions } from './additions.ts';
import { ConfigError } from './config-error.ts';
import { isFileOrStream } from './file-kind.ts';
import { parseConfig } from './parse.ts';
import { pluginFaults, pluginsNamed } from './plugins-named.ts';
import type { LoadPlugins } from './plugins-named.ts';
import type { ParseOptions } from './parse.ts';

export const MAX_FILE_BYTES = 16 * 1024 * 1024;

export interface LoadOptions extends Omit<ParseOptions, 'file' | 'plugins' | 'additions'> {
  /** What is added to the file; `text` is what stands in it. */
  additionsFor?: (text: string) => Promise<Additions | null>;
  /** Finds and loads what `plugins:` names; when left out, there are none. */
  loadPlugins?: LoadPlugins;
}

/**
 * Reads, checks and compiles a configuration file. Throws ConfigError: DORMOUSE_CONFIG_UNREADABLE when the file can't be read as text (missing, a folder,
 * over 16 MiB, not UTF-8), DORMOUSE_CONFIG_INVALID with every issue otherwise.
 */
export async function loadConfig(file: string, options: LoadOptions): Promise<Config> {
  const text = await readText(file);
  const { loadPlugins, registry, additionsFor, ...others } = options;
  const additions = additionsFor === undefined ? null : await additionsFor(text);
  const rest = { ...others, additions };
  const written = loadPlugins === undefined ? [] : pluginsNamed(text, options.env);
  if (loadPlugins === undefined || written.length === 0) return parseConfig(text, { ...rest, registry, file });
  const { plugins, parts, faults } = await loadPlugins(written, dirname(resolve(file)));
  if (faults.length > 0) throw pluginFaults(faults, text, file);
  return parseConfig(text, { ...rest, registry: { ...registry, plugins: parts }, plugins, file });
}

async function readText(file: string): Promise<string> {
  let bytes: Buffer;
  try {
    // Before it is opened: opening a named pipe waits for somebody who writes.
    if (!isFileOrStream(file, await statOf(file)))
      throw unreadable(file, 'is a pipe, a socket or a device', 'name a regular file, or /dev/stdin');
    await using handle = await open(file, 'r');
    const stat = await handle.stat();
    if (stat.isDirectory())
      throw unreadable(file, 'is a folder', `name the file in it, as in ${file.replace(/\/+$/, '')}/dormouse.yaml`);
    if (stat.size > MAX_FILE_BYTES) throw tooLarge(file);
    bytes = await readBounded(handle, file);
  } catch (error) {
    if (error instanceof ConfigError) throw error;
    throw unreadableBecause(file, error);
  }
  try {
    return new TextDecoder('utf-8', { fatal: true }).decode(bytes);
  } catch (error) {
    const at = badByte(bytes);
    const line = bytes.subarray(0, at).reduce((count, byte) => (byte === 0x0a ? count + 1 : count), 1);
    const column = at - (at === 0 ? -1 : bytes.lastIndexOf(0x0a, at - 1));
    const issue = { file, line, column, key: '', message: 'is not UTF-8 text', hint: 'save the file as UTF-8' };
    throw new ConfigError('DORMOUSE_CONFIG_UNREADABLE', [issue], { cause: error });
  }
}

/** A pipe or a growing file has no size to check beforehand. */
async function readBounded(
  handle: { createReadStream(options: object): AsyncIterable<Buffer> },
  file: string,
): Promise<Buffer> {
  const chunks: Buffer[] = [];
  let total = 0;
  for await (const chunk of handle.createReadStream({ autoClose: false, highWaterMark: 1 << 20 })) {
    total += chunk.length;
    if (total > MAX_FILE_BYTES) throw tooLarge(file);
    chunks.push(chunk);
  }
  return Buffer.concat(chunks);
}

function tooLarge(file: string): ConfigError {
  return unreadable(file, 'is larger than 16 MiB', 'is this the right file?');
}

function unreadable(file: string, message: string, hint: string, cause?: unknown): ConfigError {
  return new ConfigError('DORMOUSE_CONFIG_UNREADABLE', [{ file, line: 0, column: 0, key: '', message, hint }], {
    cause,
  });
}

function unreadableBecause(file: string, error: unknown): ConfigError {
  switch ((error as NodeJS.ErrnoException).code) {
    case 'ENOENT':
      return unreadable(file, 'there is no such file', `create ${basename(file)}, or name another with -c`, error);
    case 'EACCES':
    case 'EPERM':
      return unreadable(file, 'may not be read', `allow it with chmod u+r ${file}, or run as its owner`, error);
    case 'EISDIR':
      return unreadable(file, 'is a folder', 'name the file in it', error);
    case 'ENOTDIR':
      return unreadable(file, 'a part of this path is a file, not a folder', 'check the path', error);
    default:
      return unreadable(
        file,
        `can't be read: ${error instanceof Error ? error.message : String(error)}`,
        'check the path and the disk',
        error,
      );
  }
}

/** Offset of the first byte that is not part of a UTF-8 sequence. */
function badByte(bytes: Buffer): number {
  let low = 0;
  let high = bytes.length;
  // A prefix decodes (its last sequence may be cut) exactly up to the first bad byte.
  while (low < high) {
    const middle = (low + high + 1) >> 1;
    if (decodes(bytes.subarray(0, middle))) low = middle;
    else high = middle - 1;
  }
  return low;
}

function decodes(bytes: Buffer): boolean {
  try {
    new TextDecoder('utf-8', { fatal: true }).decode(bytes, { stream: true });
    return true;
  } catch {
    return false;
  }
}
