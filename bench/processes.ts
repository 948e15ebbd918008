/** Programs that a bench starts: pinned to a core, seen to answer, and ended by their own id. */
import { spawn, type ChildProcess } from 'node:child_process';
import { openSync } from 'node:fs';
import { connect, createServer } from 'node:net';
import { setTimeout as delay } from 'node:timers/promises';

export interface Program {
  readonly pid: number;
  readonly child: ChildProcess;
  /** What it wrote to standard error so far (the last 20 kB), for error messages. */
  errors(): string;
  /** Resolves with the exit code (null after a signal). */
  readonly ended: Promise<number | null>;
  stop(): Promise<void>;
}

export interface ProgramOptions {
  /** Logical core that it is kept on; null: the system decides. */
  core: number | null;
  cwd?: string;
  env?: Record<string, string>;
  /** File for standard output; default: thrown away. */
  stdout?: string;
  onLine?: (line: string) => void;
}

const GRACE_MS = 15_000;
const KEPT_CHARS = 20_000;

export function startProgram(command: readonly string[], options: ProgramOptions): Program {
  const [file, ...args] = options.core === null ? command : ['taskset', '-c', String(options.core), ...command];
  const out = options.onLine ? 'pipe' : options.stdout === undefined ? 'ignore' : openSync(options.stdout, 'a');
  const child = spawn(file ?? '', args, {
    cwd: options.cwd,
    env: { ...process.env, ...options.env },
    stdio: ['ignore', out, 'pipe'],
  });
  let errors = '';
  child.stderr?.setEncoding('utf8').on('data', (text: string) => (errors = (errors + text).slice(-KEPT_CHARS)));
  if (options.onLine) readLines(child, options.onLine);
  const ended = new Promise<number | null>((resolve) => {
    child.once('error', (error) => {
      errors += `${error.message}\n`;
      resolve(127);
    });
    child.once('exit', (code) => resolve(code));
  });
  return {
    pid: child.pid ?? -1,
    child,
    errors: () => errors,
    ended,
    async stop() {
      if (child.exitCode !== null || child.signalCode !== null || child.pid === undefined) return;
      child.kill('SIGTERM');
      const hurry = setTimeout(() => child.kill('SIGKILL'), GRACE_MS);
      await ended;
      clearTimeout(hurry);
    },
  };
}

function readLines(child: ChildProcess, onLine: (line: string) => void): void {
  let rest = '';
  child.stdout?.setEncoding('utf8').on('data', (text: string) => {
    const lines = (rest + text).split('\n');
    rest = lines.pop() ?? '';
    lines.forEach(onLine);
  });
}

/** Runs to the end and returns what it printed. Throws with its error output when it fails or takes longer than `timeoutMs`. */
export async function runProgram(
  command: readonly string[],
  options: ProgramOptions,
  timeoutMs: number,
): Promise<string> {
  const lines: string[] = [];
  const program = startProgram(command, { ...options, onLine: (line) => lines.push(line) });
  const bound = setTimeout(() => program.child.kill('SIGKILL'), timeoutMs);
  const code = await program.ended;
  clearTimeout(bound);
  if (code !== 0) throw new Error(`${command.join(' ')} ended with ${code}:\n${lines.join('\n')}\n${program.errors()}`);
  return lines.join('\n');
}

/** Bound to port 0 and let go: free now, and unlikely to be taken before it is used a moment later. */
export async function freePort(): Promise<number> {
  const server = createServer();
  await new Promise<void>((resolve, reject) => server.once('error', reject).listen(0, '127.0.0.1', resolve));
  const address = server.address();
  await new Promise((resolve) => server.close(resolve));
  if (address === null || typeof address === 'string') throw new Error('no port');
  return address.port;
}

/** Waits until something accepts on the port, or throws with what the program said when it ended or `timeoutMs` passed. */
export async function untilListening(program: Program, port: number, timeoutMs = 20_000): Promise<void> {
  const deadline = performance.now() + timeoutMs;
  let ended = false;
  void program.ended.then(() => (ended = true));
  while (!(await accepts(port))) {
    if (ended || performance.now() > deadline) throw new Error(`nothing listens on ${port}:\n${program.errors()}`);
    await delay(5);
  }
}

function accepts(port: number): Promise<boolean> {
  return new Promise((resolve) => {
    const socket = connect(port, '127.0.0.1');
    socket.once('connect', () => {
      socket.destroy();
      resolve(true);
    });
    socket.once('error', () => resolve(false));
  });
}
