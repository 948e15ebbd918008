/** From a configuration to a running child: who to run as, which port, which socket, and what went wrong in words. */
import { spawn } from 'node:child_process';
import type { ChildProcess } from 'node:child_process';
import type { ProcessConfig } from '../../model/config.ts';
import { probe } from '../probe/probe.ts';
import { PLAIN } from '../probe/speech.ts';
import { lookUpAccount } from './accounts.ts';
import type { Account } from './accounts.ts';
import type { FreePorts } from './free-ports.ts';
import { withListeningSocket } from './inherited-socket.ts';
import { fillIn, planLaunch } from './launch.ts';
import type { Environment } from './launch.ts';
import { StartFailure, executableProblem, spawnFailure } from './start-failure.ts';

export interface StartOptions {
  instance: string;
  config: ProcessConfig;
  /** The place in the file, for reasons: `backends.shop.process`. */
  key: string;
  marker: string;
  environment: Environment;
  ports: FreePorts;
  /** Asked right before the spawn: false gives the start up. */
  isWanted(): boolean;
  /** Called in the same turn as the spawn, so that the caller sees every event of the child. */
  adopt(child: ChildProcess, port: number): void;
}

const PORT_CHECK_MS = 250;

/** Resolves when the child was adopted or the start given up. Rejects with StartFailure (or what nobody foresaw). */
export async function startProcess(options: StartOptions): Promise<void> {
  const { config, key } = options;
  const account = config.user === null ? null : await lookUpAccount(config.user, `${key}.user`);
  if (config.socket === 'inherited') await startInheriting(options, account);
  else await startConnecting(options, account);
}

async function startConnecting(options: StartOptions, account: Account | null): Promise<void> {
  const { config, ports, key } = options;
  const port = config.port === 'auto' ? await ports.take().catch(noPort) : portOf(config);
  if (port === config.port) await mustBeFree(port, key);
  if (!options.isWanted()) return;
  const failed = spawnOne(options, port, account, 'ignore');
  if (failed !== null) throw await inWords(failed, options, port);
}

async function startInheriting(options: StartOptions, account: Account | null): Promise<void> {
  const { config, environment, key } = options;
  const wanted = portOf(config);
  // The child's own PATH counts, as for execvp in the shell.
  const path = config.env['PATH'] ?? environment['PATH'];
  const problem = await executableProblem(fillIn(config.command[0] ?? '', options.instance, wanted), config.cwd, path);
  if (problem !== null) throw await inWords(Promise.resolve({ code: problem }), options, wanted);
  let port = wanted;
  let failed: Promise<SpawnError> | null = null;
  try {
    await withListeningSocket(wanted, (fd, bound) => {
      port = bound;
      if (options.isWanted()) failed = spawnOne(options, bound, account, fd);
    });
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException;
    const reason =
      code === 'EADDRINUSE' ? taken(wanted, key) : listenFailure(error as NodeJS.ErrnoException, wanted, key);
    throw new StartFailure(reason, { cause: error });
  }
  if (failed !== null) throw await inWords(failed, options, port);
}

/** 0: any, or none. */
function portOf({ port }: ProcessConfig): number {
  return typeof port === 'number' ? port : 0;
}

type SpawnError = Pick<NodeJS.ErrnoException, 'code'> & { message?: string };

/** null: it runs, and was adopted. */
function spawnOne(
  options: StartOptions,
  port: number,
  account: Account | null,
  stdin: 'ignore' | number,
): Promise<SpawnError> | null {
  const { config, instance, marker, environment } = options;
  const launch = planLaunch(config, { instance, port, marker, environment, account });
  let child: ChildProcess;
  try {
    child = spawn(launch.file, launch.args, {
      cwd: config.cwd,
      env: launch.env,
      stdio: [stdin, 'pipe', 'pipe'],
      // Its own session and group, so that a Ctrl-C in dormouse's terminal doesn't reach it and all of it can be signalled.
      detached: true,
      ...(account === null ? {} : { uid: account.uid, gid: account.gid }),
    });
  } catch (error) {
    // Node throws for the errno values that it doesn't expect of spawn.
    return Promise.resolve(error as SpawnError);
  }
  if (child.pid === undefined) return new Promise((resolve) => void child.once('error', resolve));
  // Of a process that runs, an error is a signal that could not be sent; ours go to the group and not through here.
  child.on('error', () => {});
  options.adopt(child, port);
  return null;
}

/** The errno doesn't say whether the program or its folder is missing: that takes a look at the disk. */
async function inWords(failed: Promise<SpawnError>, options: StartOptions, port: number): Promise<StartFailure> {
  const { config, key, instance } = options;
  const error = await failed;
  const command = fillIn(config.command[0] ?? '', instance, port);
  return new StartFailure(await spawnFailure(error, config, command, key), { cause: error });
}

async function mustBeFree(port: number, key: string): Promise<void> {
  const answers = await Promise.all(['127.0.0.1', '::1'].map((host) => accepts(host, port)));
  if (answers.includes(true)) throw new StartFailure(taken(port, key));
}

function accepts(host: string, port: number): Promise<boolean> {
  return new Promise((resolve) => {
    probe({ host, port, http: null, speech: PLAIN }, PORT_CHECK_MS, (result) => resolve(result.ok));
  });
}

function taken(port: number, key: string): string {
  return `port ${port} is already taken by another process; end that one or change ${key}.port`;
}

function listenFailure(error: NodeJS.ErrnoException, port: number, key: string): string {
  if (isOutOfDescriptors(error)) return outOfDescriptors('to make its socket', error);
  const which = port === 0 ? 'a free port' : `port ${port}`;
  return `can't listen on ${which} for it (${error.code ?? error.message}); check ${key}.port`;
}

function noPort(error: NodeJS.ErrnoException): never {
  const reason = isOutOfDescriptors(error)
    ? outOfDescriptors('to find a free port', error)
    : `found no free port (${error.code ?? error.message})`;
  throw new StartFailure(reason, { cause: error });
}

function isOutOfDescriptors(error: NodeJS.ErrnoException): boolean {
  return error.code === 'EMFILE' || error.code === 'ENFILE';
}

function outOfDescriptors(what: string, error: NodeJS.ErrnoException): string {
  return `no file descriptors left ${what} (${error.code}); raise the limit (ulimit -n, LimitNOFILE=) or run fewer instances`;
}
