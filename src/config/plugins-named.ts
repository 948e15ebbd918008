import type { PluginConfig } from '../model/config.ts';
import { ConfigError } from './config-error.ts';
import type { Problem } from './config-error.ts';
import { expand } from './expand.ts';
import type { Environment } from './expand.ts';
import { problem } from './explain.ts';
import { isMapping } from './plain-data.ts';
import { placeProblems } from './places.ts';
import { readYaml } from './read-yaml.ts';
import type { PluginParts } from './schema/file.ts';

/** What came of loading plugins. */
export interface PluginLoading {
  plugins: PluginConfig[];
  parts: PluginParts;
  /** `index`: of the entry in `plugins:` that can't be used. */
  faults: { index: number; message: string; hint?: string }[];
}

/** `written`: the entries of `plugins:`; `folder`: where relative paths start. */
export type LoadPlugins = (written: readonly string[], folder: string) => Promise<PluginLoading>;

/** The entries of `plugins:`; none when the file can't be read so far, which is said when it is parsed. */
export function pluginsNamed(text: string, env: Environment): string[] {
  if (!text.includes('plugins')) return [];
  const reading = readYaml(text);
  if (!('data' in reading) || !isMapping(reading.data)) return [];
  const { data, problems } = expand({ plugins: reading.data['plugins'] }, env);
  const { plugins } = data as { plugins?: unknown };
  const wellFormed = problems.length === 0 && Array.isArray(plugins) && plugins.length <= 100;
  return wellFormed && plugins.every((entry) => typeof entry === 'string' && entry !== '') ? plugins : [];
}

/** A plugin that can't be used would make what it brings look unknown: nothing else is said before it can. */
export function pluginFaults(faults: PluginLoading['faults'], text: string, file: string): ConfigError {
  const problems = faults.map(({ index, message, hint }): Problem => problem(['plugins', index], message, hint));
  const { issues, more } = placeProblems(problems, text, file);
  return new ConfigError('DORMOUSE_CONFIG_INVALID', issues, { more });
}
