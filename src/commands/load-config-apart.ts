/**
 * Loads the configuration in a process that ends afterwards. What reads it (a YAML parser, the schemas, the rules' compilers) is needed for
 * a moment only, but would stay in the supervisor's memory for good (measured: 20 MB of 82); and a file that makes it use up memory or time
 * then harms nobody.
 */
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { fileURLToPath } from 'node:url';
import { ConfigError } from '../config/config-error.ts';
import type { ConfigIssue } from '../config/config-error.ts';
import type { Config } from '../model/config.ts';
import { DormouseError } from '../model/errors.ts';

export type ConfigAnswer =
  | { ok: true; config: Config; warnings: string[] }
  | { ok: false; code: FaultCode; issues: readonly ConfigIssue[]; more: number };

export type FaultCode = 'DORMOUSE_CONFIG_INVALID' | 'DORMOUSE_CONFIG_UNREADABLE';

export interface LoadApartOptions {
  /** For `${NAME}`. */
  env: Readonly<Record<string, string | undefined>>;
  /** Given up after this long, ms. */
  withinMs?: number;
  /** Backends that the admin API has added to the file, as they were given; left out: those in the state folder. */
  entries?: Record<string, Record<string, unknown>>;
}

const USUAL_BOUND_MS = 60_000;

/**
 * The compiled configuration (not frozen) and one sentence for each thing in it that is probably not meant. Rejects with the ConfigError of loadConfig
 * (DORMOUSE_CONFIG_INVALID, DORMOUSE_CONFIG_UNREADABLE), or DORMOUSE_CONFIG_PROCESS when that process failed or took longer than 60 s.
 */
export async function loadConfigApart(
  file: string,
  { env, withinMs = USUAL_BOUND_MS, entries }: LoadApartOptions,
): Promise<{ config: Config; warnings: string[] }> {
  const entry = fileURLToPath(new URL('./config-process.ts', import.meta.url));
  const child = spawn(process.execPath, [entry, file, ...(entries === undefined ? [] : ['given'])], {
    env,
    stdio: ['ignore', 'ignore', 'inherit', 'ipc'],
  });
  // A process that has failed takes no message: how it ended is told below.
  if (entries !== undefined) child.send(entries, () => {});
  const late = setTimeout(() => child.kill('SIGKILL'), withinMs);
  let answer: ConfigAnswer | null = null;
  child.on('message', (message) => (answer = message as ConfigAnswer));
  const how = await once(child, 'close')
    .then(([code, signal]) => (signal === null ? `it ended with code ${code}` : `it was ended by ${signal}`))
    .catch((error: Error) => error.message);
  clearTimeout(late);
  return settle(file, answer, how);
}

function settle(file: string, answer: ConfigAnswer | null, how: string): { config: Config; warnings: string[] } {
  if (answer === null) {
    throw new DormouseError(
      'DORMOUSE_CONFIG_PROCESS',
      `${file} could not be read: the process that reads it failed (${how}). What it printed stands above, if anything.`,
    );
  }
  if (!answer.ok) throw new ConfigError(answer.code, answer.issues, { more: answer.more });
  return { config: answer.config, warnings: answer.warnings };
}
