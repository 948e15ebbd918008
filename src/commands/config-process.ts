/**
 * Reads a configuration file in a process of its own and tells its parent what came out. argv: the file; the environment is what `${NAME}` is
 * taken from. See load-config-apart.ts for why.
 */
import { ConfigError, loadConfig, renderIssue } from '../config/index.ts';
import type { ConfigAnswer, FaultCode } from './load-config-apart.ts';
import { pluginLoader } from './load-plugins.ts';
import { defaultRegistry } from './registry.ts';

const warnings: string[] = [];
const registry = defaultRegistry();
let answer: ConfigAnswer;
try {
  const config = await loadConfig(process.argv[2] ?? '', {
    env: process.env,
    registry,
    loadPlugins: pluginLoader(registry),
    onWarning: (issue) => warnings.push(renderIssue(issue)),
  });
  answer = { ok: true, config, warnings };
} catch (error) {
  if (!(error instanceof ConfigError)) throw error;
  answer = { ok: false, code: error.code as FaultCode, issues: error.issues, more: error.more };
}
// A plugin may have begun something that would keep the process alive.
process.send?.(answer, () => process.exit(0));
