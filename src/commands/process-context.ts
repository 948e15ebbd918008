/** The outside as this process has it. */
import { DormouseError } from '../model/errors.ts';
import type { CommandContext } from './command.ts';

/** Throws DORMOUSE_FOLDER_GONE. */
export function processContext(): CommandContext {
  // `dormouse status | head -1`: the reader has what it wanted.
  process.stdout.on('error', (error: NodeJS.ErrnoException) => process.exit(error.code === 'EPIPE' ? 0 : 1));
  process.stderr.on('error', () => {});
  const isTTY = process.stdout.isTTY === true;
  let interruption: AbortController | null = null;
  return {
    env: process.env,
    cwd: workingFolder(),
    out: (text) => void process.stdout.write(text),
    err: (text) => void process.stderr.write(text),
    input: () => (process.stdin.isTTY ? null : process.stdin),
    terminal: {
      isTTY,
      attached: isTTY || process.stdin.isTTY === true || process.stderr.isTTY === true,
      colours: isTTY && (process.env.NO_COLOR ?? '') === '' && process.env.TERM !== 'dumb',
      size: () => ({ columns: process.stdout.columns ?? 0, rows: process.stdout.rows ?? 0 }),
      onKey,
    },
    interrupted() {
      if (interruption === null) {
        const controller = new AbortController();
        interruption = controller;
        for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) process.once(signal, () => controller.abort());
      }
      return interruption.signal;
    },
  };
}

function workingFolder(): string {
  try {
    return process.cwd();
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException;
    const reason = code === 'ENOENT' ? 'does not exist any more' : `can't be read (${code})`;
    throw new DormouseError('DORMOUSE_FOLDER_GONE', `the folder that this is run in ${reason}; change to another one`, {
      cause: error,
      userFault: true,
    });
  }
}

function onKey(listener: (key: string) => void): () => void {
  const { stdin } = process;
  if (!stdin.isTTY) return () => {};
  const listen = (chunk: Buffer): void => listener(chunk.toString('utf8'));
  stdin.setRawMode(true).resume().on('data', listen);
  return () => {
    stdin.off('data', listen).setRawMode(false).pause();
  };
}
