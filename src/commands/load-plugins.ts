/** Plugins as the configuration sees them: found, loaded, and what they bring put beside what is built in. */
import { spawnSync } from 'node:child_process';
import type { ConfigRegistry, PluginLoading } from '../config/index.ts';
import { DormouseError } from '../model/errors.ts';
import { findPlugin } from '../plugins/find-plugin.ts';
import { loadPlugin } from '../plugins/load-plugin.ts';
import type { Plugin } from '../plugins/plugin.ts';

/** For looking at a file's syntax, ms. */
const CHECK_BOUND_MS = 5000;

/** `own`: the registry without plugins, whose names they may not have. Never rejects for what is wrong with a plugin. */
export function pluginLoader(
  own: ConfigRegistry,
): (written: readonly string[], folder: string) => Promise<PluginLoading> {
  return async (written, folder) => {
    const loading: PluginLoading = {
      plugins: [],
      parts: { filters: {}, strategies: {}, triggers: {}, metricsSinks: {} },
      faults: [],
    };
    const taken = {
      filters: new Map(Object.keys(own.filters).map((name) => [name, 'dormouse itself'])),
      strategies: new Map(own.strategies.map((name) => [name, 'dormouse itself'])),
      triggers: new Map(Object.keys(own.triggers ?? {}).map((name) => [name, 'dormouse itself'])),
      metricsSinks: new Map<string, string>(),
    };
    for (const [index, name] of written.entries()) {
      try {
        const found = findPlugin(name, folder);
        if (loading.plugins.some(({ path }) => path === found.path)) throw fault('is listed twice', 'remove one');
        const plugin = await loadPlugin(found).catch((error: unknown) => {
          throw withPlace(error, found.path);
        });
        add(plugin, found.version, loading, taken);
        loading.plugins.push(found);
      } catch (error) {
        loading.faults.push({ index, ...sentence(error) });
      }
    }
    return loading;
  };
}

/** Node says where a syntax error of JavaScript stands only when it runs or checks the file itself. */
function withPlace(error: unknown, path: string): unknown {
  const unplaced = error instanceof DormouseError && error.cause instanceof SyntaxError && !error.message.endsWith(')');
  if (!unplaced || !/\.[cm]?js$/.test(path)) return error;
  const { stderr } = spawnSync(process.execPath, ['--check', path], { encoding: 'utf8', timeout: CHECK_BOUND_MS });
  const [place] = stderr.split('\n', 1);
  if (place === undefined || !/:\d+$/.test(place)) return error;
  return new DormouseError('DORMOUSE_PLUGIN', `${error.message} (${place})`, { cause: error.cause, userFault: true });
}

type Kind = keyof PluginLoading['parts'];
const NOUNS: Readonly<Record<Kind, string>> = {
  filters: 'filter',
  strategies: 'strategy',
  triggers: 'trigger',
  metricsSinks: 'metrics sink',
};

function add(plugin: Plugin, version: string, loading: PluginLoading, taken: Record<Kind, Map<string, string>>): void {
  for (const kind of Object.keys(NOUNS) as Kind[]) {
    for (const [name, part] of Object.entries(plugin[kind] ?? {})) {
      const owner = taken[kind].get(name);
      if (owner !== undefined)
        throw fault(`brings the ${NOUNS[kind]} ${name}, which ${owner} has too`, 'give it another name');
      taken[kind].set(name, plugin.name);
      const parts = loading.parts[kind] as Record<string, object>;
      const answers = 'answers' in part && part.answers === true;
      parts[name] = { options: part.options, version, ...(answers ? { answers } : {}) };
    }
  }
}

function fault(message: string, hint: string): DormouseError {
  return new DormouseError('DORMOUSE_PLUGIN', `${message}; ${hint}`, { userFault: true });
}

function sentence(error: unknown): { message: string; hint?: string } {
  const text = error instanceof Error ? error.message : String(error);
  const at = error instanceof DormouseError && error.cause === undefined ? text.lastIndexOf('; ') : -1;
  return at < 0 ? { message: `can't be loaded: ${text}` } : { message: text.slice(0, at), hint: text.slice(at + 2) };
}
