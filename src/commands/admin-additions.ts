/** What the admin API has added to a configuration file, for the process that reads that file. */
import { join, resolve } from 'node:path';
import { additionsOf } from '../apis/admin/machine/additions.ts';
import { readState, STATE_FILE } from '../apis/admin/machine/state-file.ts';
import { ConfigError, type Additions } from '../config/index.ts';
import { dotted } from '../config/config-error.ts';
import { DormouseError } from '../model/errors.ts';
import { stateDirIn } from './state-dir.ts';

export type AdminEntries = Record<string, Record<string, unknown>>;

/** `entries`: null for those in the state folder. Throws ConfigError. */
export async function adminAdditions(
  text: string,
  file: string,
  env: Readonly<Record<string, string | undefined>>,
  entries: AdminEntries | null,
): Promise<Additions | null> {
  const stateDir = await stateDirIn(text, resolve(file), env);
  const source = join(stateDir, STATE_FILE);
  const specs = entries ?? (await entriesIn(stateDir, source));
  if (Object.keys(specs).length === 0) return null;
  const { additions, faults } = additionsOf(specs, source);
  if (faults.length === 0) return additions;
  const issues = faults.slice(0, 20).map(({ name, key, message, hint }) => {
    const at = dotted(['backends', name]);
    return {
      file: source,
      line: 0,
      column: 0,
      key: key.startsWith('[') ? `${at}${key}` : `${at}.${key}`,
      message,
      hint,
    };
  });
  throw new ConfigError('DORMOUSE_CONFIG_INVALID', issues, { more: faults.length - issues.length });
}

async function entriesIn(stateDir: string, source: string): Promise<AdminEntries> {
  try {
    const { backends } = await readState(stateDir);
    return Object.fromEntries(Object.entries(backends).map(([name, { spec }]) => [name, spec]));
  } catch (error) {
    if (!(error instanceof DormouseError)) throw error;
    const issue = { file: source, line: 0, column: 0, key: '', message: error.message, hint: '' };
    throw new ConfigError('DORMOUSE_CONFIG_INVALID', [issue], { cause: error });
  }
}
