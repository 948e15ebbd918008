/** From what stands in `plugins:` to the file that is loaded. */
import { createHash } from 'node:crypto';
import { readFileSync, statSync } from 'node:fs';
import { createRequire, findPackageJSON } from 'node:module';
import { dirname, join, resolve } from 'node:path';
import { pathToFileURL } from 'node:url';
import type { PluginConfig } from '../model/config.ts';
import { DormouseError } from '../model/errors.ts';

/** A module is source text: a larger file is something else. */
const MAX_BYTES = 16 * 1024 * 1024;

/**
 * `written`: a file (`./x.ts`, `/etc/x.js`), relative to `folder`, or the name of a package that is installed there or above. Throws DORMOUSE_PLUGIN with what is
 * wrong and what to do, as `message; hint`.
 */
export function findPlugin(written: string, folder: string): PluginConfig {
  const path = /^\.{0,2}\//.test(written) ? resolve(folder, written) : packageFile(written, folder);
  let content: Buffer;
  try {
    const stat = statSync(path);
    if (!stat.isFile()) throw fault(`${path} is not a file; name a module`);
    if (stat.size > MAX_BYTES) throw fault(`${path} is larger than ${MAX_BYTES} bytes; is this the right file?`);
    content = readFileSync(path);
  } catch (error) {
    if (error instanceof DormouseError) throw error;
    const { code, message } = error as NodeJS.ErrnoException;
    if (code === 'ENOENT')
      throw fault(`there is no file ${path}; relative paths start at the folder of the configuration file`);
    throw fault(`${path} can't be read: ${message}; check the path`);
  }
  return { path, version: createHash('sha256').update(content).digest('hex').slice(0, 16) };
}

function packageFile(written: string, folder: string): string {
  const base = join(folder, 'dormouse.yaml');
  try {
    return createRequire(base).resolve(written);
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException;
    // Its exports name no file for require(): an ES module alone.
    const entry = code === 'ERR_PACKAGE_PATH_NOT_EXPORTED' ? importEntry(written, base) : undefined;
    if (entry !== undefined) return entry;
    const looksLikeFile = /\.[cm]?[jt]s$/.test(written);
    throw fault(
      looksLikeFile
        ? `there is no package ${written}; write ./${written} for a file`
        : `there is no package ${written} in ${folder} or above; install it there, or write ./… for a file`,
    );
  }
}

/** The `import` or `default` entry of a package's exports, for its main module. */
function importEntry(name: string, base: string): string | undefined {
  const file = findPackageJSON(name, pathToFileURL(base));
  if (file === undefined) return undefined;
  const { exports } = JSON.parse(readFileSync(file, 'utf8')) as { exports?: unknown };
  let entry: unknown = typeof exports === 'object' && exports !== null && '.' in exports ? exports['.'] : exports;
  while (typeof entry === 'object' && entry !== null && !Array.isArray(entry)) {
    const conditions = entry as Record<string, unknown>;
    entry = conditions['node'] ?? conditions['import'] ?? conditions['default'];
  }
  return typeof entry === 'string' ? join(dirname(file), entry) : undefined;
}

function fault(message: string): DormouseError {
  return new DormouseError('DORMOUSE_PLUGIN', message, { userFault: true });
}
