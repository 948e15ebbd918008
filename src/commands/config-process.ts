/**
 * Reads a configuration file in a process of its own and tells its parent what came out. argv: the file, and `given` when the parent sends what the admin API has added to
 * it (in force is not always what is written); the environment is what `${NAME}` is taken from. See load-config-apart.ts for why.
 */
import { once } from 'node:events';
import { ConfigError, loadConfig, renderIssue } from '../config/index.ts';
import { adminAdditions, type AdminEntries } from './admin-additions.ts';
import type { ConfigAnswer, FaultCode } from './load-config-apart.ts';
import { pluginLoader } from './load-plugins.ts';
import { defaultRegistry } from './registry.ts';

const warnings: string[] = [];
const registry = defaultRegistry();
const [, , file = '', given] = process.argv;
let answer: ConfigAnswer;
try {
  const entries = given === 'given' ? ((await once(process, 'message'))[0] as AdminEntries) : null;
  const config = await loadConfig(file, {
    env: process.env,
    registry,
    loadPlugins: pluginLoader(registry),
    additionsFor: (text) => adminAdditions(text, file, process.env, entries),
    onWarning: (issue) => warnings.push(renderIssue(issue)),
  });
  answer = { ok: true, config, warnings };
} catch (error) {
  if (!(error instanceof ConfigError)) throw error;
  answer = { ok: false, code: error.code as FaultCode, issues: error.issues, more: error.more };
}
// A plugin may have begun something that would keep the process alive.
process.send?.(answer, () => process.exit(0));
