/**
 * Reads a configuration file in a process of its own and tells its parent what came out. argv: the file; the environment is what `${NAME}` is
 * taken from. See load-config-apart.ts for why.
 */
import { ConfigError, loadConfig, renderIssue } from '../config/index.ts';
import type { ConfigAnswer } from './load-config-apart.ts';
import { defaultRegistry } from './registry.ts';

const warnings: string[] = [];
let answer: ConfigAnswer;
try {
  const config = await loadConfig(process.argv[2] ?? '', {
    env: process.env,
    registry: defaultRegistry(),
    onWarning: (issue) => warnings.push(renderIssue(issue)),
  });
  answer = { ok: true, config, warnings };
} catch (error) {
  if (!(error instanceof ConfigError)) throw error;
  answer = { ok: false, code: error.code, message: error.message };
}
process.send?.(answer, () => process.disconnect?.());
