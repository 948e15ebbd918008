/** The Redis or NATS of the queue demo: a program of this machine on a free port of 127.0.0.1, with its data in the demo's folder. */
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { accessSync, constants, openSync, closeSync, readFileSync, readlinkSync } from 'node:fs';
import { connect, createServer, type AddressInfo } from 'node:net';
import { delimiter, join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { DormouseError } from '../../model/errors.ts';
import type { CommandContext } from '../command.ts';
import { isAlive } from './demo-state.ts';

export interface QueueServer {
  readonly pid: number;
  readonly port: number;
  /** Ends it; resolves when it is gone. */
  stop(): Promise<void>;
}

interface Kind {
  program: string;
  install: string;
  args(folder: string, port: number): string[];
}

/** Server administrators' programs are in sbin, which is not on everyone's PATH. */
const SBIN = ['/usr/sbin', '/usr/local/sbin', '/opt/homebrew/bin'];
const START_WITHIN_MS = 10_000;
const END_WITHIN_MS = 5000;
const LOOK_EVERY_MS = 10;
const LOG_CHARS = 1000;

export const REDIS: Kind = {
  program: 'redis-server',
  install: 'apt-get install redis-server (Debian, Ubuntu), brew install redis (macOS)',
  args: (folder, port) => [
    ...['--bind', '127.0.0.1', '--port', String(port), '--dir', folder],
    ...['--save', '', '--appendonly', 'no'],
  ],
};

export const NATS: Kind = {
  program: 'nats-server',
  install: 'apt-get install nats-server (Debian, Ubuntu), brew install nats-server (macOS)',
  args: (folder, port) => ['--addr', '127.0.0.1', '--port', String(port), '--jetstream', '--store_dir', folder],
};

/** Throws DORMOUSE_PROGRAM_MISSING with the line that installs it, DORMOUSE_PROGRAM_FAILED with what it said. */
export async function startServer(
  kind: Kind,
  folder: string,
  env: CommandContext['env'],
  signal: AbortSignal,
): Promise<QueueServer> {
  const file = findProgram(kind.program, env.PATH ?? '');
  if (file === null) {
    const text = `the queue demo needs ${kind.program}, which is not installed: ${kind.install}`;
    throw new DormouseError('DORMOUSE_PROGRAM_MISSING', text, { userFault: true });
  }
  const port = await freePort();
  const logFile = join(folder, `${kind.program}.log`);
  const log = openSync(logFile, 'w', 0o600);
  // A group of its own: Ctrl-C is for dormouse, which ends the workers first.
  const child = spawn(file, kind.args(folder, port), { cwd: folder, detached: true, stdio: ['ignore', log, log] });
  closeSync(log);
  let gone = false;
  const ended = new Promise<void>((resolve) => {
    const end = (): void => {
      gone = true;
      resolve();
    };
    child.once('exit', end);
    child.once('error', end);
  });
  const giveUpAtMs = performance.now() + START_WITHIN_MS;
  while (!(await accepts(port))) {
    if (gone || signal.aborted || performance.now() > giveUpAtMs) {
      child.kill('SIGKILL');
      const said = readFileSync(logFile, 'utf8').trim().slice(-LOG_CHARS);
      const text = `${kind.program} could not be started${said === '' ? '' : `:\n${said}`}`;
      throw new DormouseError('DORMOUSE_PROGRAM_FAILED', text, { userFault: true });
    }
    await sleep(LOOK_EVERY_MS);
  }
  const pid = child.pid!;
  return {
    pid,
    port,
    async stop() {
      if (gone) return;
      await endServer(pid);
      await ended;
    },
  };
}

/** Ends a server of which only the number is known, when it works in `folder`: the number may be somebody else's meanwhile. True when it was there. */
export async function endLeftServer(pid: number, folder: string): Promise<boolean> {
  if (!isAlive(pid) || workingFolder(pid) !== folder) return false;
  await endServer(pid);
  return true;
}

async function endServer(pid: number): Promise<void> {
  for (const signal of ['SIGTERM', 'SIGKILL'] as const) {
    try {
      process.kill(pid, signal);
    } catch {
      return;
    }
    const killAtMs = performance.now() + END_WITHIN_MS;
    while (performance.now() < killAtMs) {
      if (!isAlive(pid)) return;
      await sleep(LOOK_EVERY_MS);
    }
  }
}

function workingFolder(pid: number): string | null {
  try {
    return readlinkSync(`/proc/${pid}/cwd`);
  } catch {
    return null;
  }
}

export function findProgram(name: string, path: string): string | null {
  for (const folder of [...path.split(delimiter), ...SBIN]) {
    if (folder === '') continue;
    try {
      accessSync(join(folder, name), constants.X_OK);
      return join(folder, name);
    } catch {
      continue;
    }
  }
  return null;
}

async function freePort(): Promise<number> {
  const server = createServer().listen(0, '127.0.0.1');
  await once(server, 'listening');
  const { port } = server.address() as AddressInfo;
  server.close();
  await once(server, 'close');
  return port;
}

async function accepts(port: number): Promise<boolean> {
  const socket = connect(port, '127.0.0.1');
  try {
    await once(socket, 'connect');
    return true;
  } catch {
    return false;
  } finally {
    socket.destroy();
  }
}
