/** Finds the running dormouse that a command is meant for: by its state folder, or by the configuration file that says where that is. */
import { readFile, stat } from 'node:fs/promises';
import { resolve } from 'node:path';
import { ControlClient } from '../apis/control/control-client.ts';
import { isFileOrStream } from '../config/file-kind.ts';
import { DormouseError } from '../model/errors.ts';
import type { CommandContext, CommandOptions } from './command.ts';
import { stateDirIn } from './state-dir.ts';

const DEFAULT_FILE = 'dormouse.yaml';

export function configFile(context: CommandContext, options: CommandOptions): string {
  return resolve(context.cwd, typeof options.config === 'string' ? options.config : DEFAULT_FILE);
}

export async function runningDormouse(context: CommandContext, options: CommandOptions): Promise<ControlClient> {
  if (typeof options.stateDir === 'string') {
    const stateDir = resolve(context.cwd, options.stateDir);
    return new ControlClient({
      stateDir,
      notRunning: `dormouse is not running with the state folder ${stateDir} (no control socket)`,
    });
  }
  const file = configFile(context, options);
  const stateDir = await stateDirOf(file, context.env);
  const shown = typeof options.config === 'string' ? options.config : DEFAULT_FILE;
  return new ControlClient({
    stateDir,
    notRunning: `dormouse is not running for ${file} (no control socket); start it with: dormouse up -c ${shown}. If it runs since before stateDir was changed, name the folder of then with --state-dir`,
  });
}

/**
 * `stateDir` of a file, without checking the rest: the file may be broken just now while the program runs on with what it had.
 */
export async function stateDirOf(file: string, env: Readonly<Record<string, string | undefined>>): Promise<string> {
  let text: string;
  try {
    // Opening a named pipe waits for somebody who writes.
    if (!isFileOrStream(file, await stat(file))) throw Object.assign(new Error('no file'), { code: 'no regular file' });
    text = await readFile(file, 'utf8');
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException;
    const reason = code === 'ENOENT' ? `there is no ${file}` : `cannot read ${file} (${code})`;
    throw new DormouseError(
      'DORMOUSE_CONFIG_UNREADABLE',
      `${reason}; name the configuration file with -c, or the state folder with --state-dir`,
      {
        cause: error,
        userFault: true,
      },
    );
  }
  return stateDirIn(text, file, env);
}
