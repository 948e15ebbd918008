/** Loads a plugin's module and looks whether it is one. No schema library: workers do this too. */
import { pathToFileURL } from 'node:url';
import type { PluginConfig } from '../model/config.ts';
import { DormouseError } from '../model/errors.ts';
import type { Plugin } from './plugin.ts';

/** For the module's top level, ms. */
const LOAD_BOUND_MS = 10_000;

/**
 * Rejects with DORMOUSE_PLUGIN, whose message begins with what went wrong. Another version of the file is another module: the former one stays in memory until the process
 * ends, since modules are never unloaded. Only the file itself is looked at again, not what it imports; CommonJS is loaded once.
 */
export async function loadPlugin({ path, version }: PluginConfig, withinMs = LOAD_BOUND_MS): Promise<Plugin> {
  const url = pathToFileURL(path);
  url.searchParams.set('version', version);
  let late: NodeJS.Timeout | undefined;
  try {
    const module = (await Promise.race([
      import(url.href) as Promise<object>,
      new Promise<never>((_, reject) => {
        late = setTimeout(() => reject(new Error(`it did not load within ${withinMs / 1000} s`)), withinMs);
      }),
    ])) as Record<string, unknown>;
    return pluginOf(module);
  } catch (error) {
    throw new DormouseError('DORMOUSE_PLUGIN', reasonOf(error), { cause: error, userFault: true });
  } finally {
    clearTimeout(late);
  }
}

function reasonOf(error: unknown): string {
  if (!(error instanceof Error)) return `it threw ${String(error)}`;
  const { code } = error as NodeJS.ErrnoException;
  if (code === 'ERR_UNSUPPORTED_NODE_MODULES_TYPE_STRIPPING') {
    return 'TypeScript is not run from node_modules; the package has to bring JavaScript';
  }
  // Of a syntax error the place stands in the first line of the stack.
  const place = error instanceof SyntaxError ? /^(?:file:\/\/)?(\S+:\d+)$/m.exec(error.stack ?? '')?.[1] : undefined;
  const text = error.message.split('\n', 1)[0]!;
  return place === undefined ? text : `${text} (${place.replace(/\?version=[^:]*/, '')})`;
}

const PARTS = {
  strategies: 'create',
  filters: 'create',
  metricsSinks: 'create',
  triggers: 'start',
} as const;

const NAME = /^[A-Za-z][A-Za-z0-9_-]{0,63}$/;

/** Throws an Error that says what is wrong with the module's exports. */
export function pluginOf(module: Readonly<Record<string, unknown>>): Plugin {
  let found = module['default'] ?? module['plugin'];
  // A CommonJS module that was compiled from an ES module.
  if (isObject(found) && found['__esModule'] === true) found = found['default'] ?? found['plugin'];
  if (!isObject(found)) throw new Error('it has no default export, and no export "plugin"');
  if (typeof found['name'] !== 'string' || found['name'] === '' || found['name'].length > 200)
    throw new Error('its export has no name');
  for (const key of Object.keys(found)) {
    if (key !== 'name' && !Object.hasOwn(PARTS, key))
      throw new Error(`its export has ${key}; there are name, ${Object.keys(PARTS).join(', ')}`);
  }
  for (const [kind, method] of Object.entries(PARTS)) {
    const parts = found[kind] ?? {};
    if (!isObject(parts)) throw new Error(`${kind} is not a mapping of names`);
    for (const [name, part] of Object.entries(parts)) {
      const at = `${kind}.${name}`;
      if (!NAME.test(name)) throw new Error(`${at} is not a name: letters, digits, - and _`);
      if (!isObject(part) || typeof part[method] !== 'function') throw new Error(`${at} has no function ${method}`);
      const { options } = part;
      if (options !== undefined && typeof options !== 'function' && !isStandardSchema(options))
        throw new Error(`${at}.options is neither a Standard Schema nor a function`);
    }
  }
  return found as unknown as Plugin;
}

/** A schema may be a function with properties (arktype). */
function isStandardSchema(value: unknown): boolean {
  if ((typeof value !== 'object' || value === null) && typeof value !== 'function') return false;
  const standard = (value as Record<string, unknown>)['~standard'];
  return isObject(standard) && standard['version'] === 1 && typeof standard['validate'] === 'function';
}

function isObject(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}
