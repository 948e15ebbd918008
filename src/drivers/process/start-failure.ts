/** Why a start or an instance ended, in words for `status` and for the 503. */
import { access, constants, stat } from 'node:fs/promises';
import { delimiter, join } from 'node:path';
import type { ProcessConfig } from '../../model/config.ts';

/** A start that could not even be tried. Its message is the crash's reason; it never leaves the driver. */
export class StartFailure extends Error {}

/** What spawn's errno means for the user, with the next step. `key` is the place in the file, such as `backends.shop.process`. */
export async function spawnFailure(
  error: { code?: string | undefined; message?: string },
  config: ProcessConfig,
  command: string,
  key: string,
): Promise<string> {
  const code = error.code ?? 'ERROR';
  switch (code) {
    case 'ENOENT':
    case 'ENOTDIR':
      return (await cwdProblem(config, key)) ?? `command not found: ${command} (${code}); check ${key}.command`;
    case 'EACCES':
      return (
        (await cwdProblem(config, key)) ??
        `not executable: ${command} (EACCES); check the file's mode and ${key}.command`
      );
    case 'E2BIG':
      return `the arguments and environment of ${command} are too long (E2BIG); shorten ${key}.command or ${key}.env`;
    case 'EPERM':
      return `not permitted to start ${command} (EPERM); check ${key}.user`;
    case 'EMFILE':
    case 'ENFILE':
      return `no file descriptors left to start ${command} (${code}); raise the limit (ulimit -n, LimitNOFILE=) or run fewer instances`;
    case 'EAGAIN':
      return `no more processes allowed, can't start ${command} (EAGAIN); raise the limit (ulimit -u, TasksMax=) or run fewer instances`;
    case 'ENOMEM':
      return `not enough memory to start ${command} (ENOMEM); free memory or run fewer instances`;
    default:
      return `can't start ${command}: ${error.message ?? code}`;
  }
}

async function cwdProblem(config: ProcessConfig, key: string): Promise<string | null> {
  try {
    if (!(await stat(config.cwd)).isDirectory()) return `cwd is not a folder: ${config.cwd}; check ${key}.cwd`;
    await access(config.cwd, constants.X_OK);
    return null;
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException;
    if (code === 'ENOENT' || code === 'ENOTDIR') return `cwd does not exist: ${config.cwd}; check ${key}.cwd`;
    return `cwd can't be entered: ${config.cwd} (${code}); check its mode and ${key}.cwd`;
  }
}

/**
 * Whether execvp(3) would find the program; null: it would. Asked before the start only where a shell stands between, whose exit code comes too late. Answers with the errno that spawn would
 * have given.
 */
export async function executableProblem(
  command: string,
  cwd: string,
  path: string | undefined,
): Promise<'ENOENT' | 'EACCES' | null> {
  const places = command.includes('/') ? [cwd] : (path ?? '/bin:/usr/bin').split(delimiter);
  let seen = false;
  for (const place of places) {
    const file = command.startsWith('/') ? command : join(place === '' ? cwd : place, command);
    const found = await stat(file).catch(() => null);
    if (found === null || !found.isFile()) continue;
    seen = true;
    if (
      await access(file, constants.X_OK).then(
        () => true,
        () => false,
      )
    )
      return null;
  }
  return seen ? 'EACCES' : 'ENOENT';
}

/** `exited with code 1`, `was killed by SIGSEGV (it crashed)`. */
export function exitWords(code: number | null, name: NodeJS.Signals | null): string {
  if (name === null) return `exited with code ${code}`;
  const why = SIGNAL_WORDS[name];
  return why === undefined ? `was killed by ${name}` : `was killed by ${name} (${why})`;
}

const SIGNAL_WORDS: Partial<Record<NodeJS.Signals, string>> = {
  SIGSEGV: 'it accessed memory that is not its own',
  SIGBUS: 'it accessed memory that is not there',
  SIGABRT: 'it gave up itself',
  SIGILL: 'an instruction this processor does not have',
  SIGKILL: 'by somebody else, or by the kernel when memory ran out',
};

/** `120 ms`, `3.5 s`, `12 min`. */
export function spell(durationMs: number): string {
  if (durationMs < 1000) return `${Math.round(durationMs)} ms`;
  if (durationMs < 120_000) return `${Math.round(durationMs / 100) / 10} s`;
  return `${Math.round(durationMs / 60_000)} min`;
}
