/** Programs that run to their end, and waiting for something to become true. */
import { spawn } from 'node:child_process';
import { setTimeout as delay } from 'node:timers/promises';

export interface RunOptions {
  cwd?: string;
  env?: Record<string, string>;
  /** What it reads on standard input. */
  input?: string;
  /** Bound, ms; the program is killed after it. Default: one minute. */
  timeoutMs?: number;
  signal?: AbortSignal;
  /** Its error output goes to this process' own, as it comes, instead of into the result. */
  showErrors?: boolean;
}

export interface RunResult {
  /** Exit code; 128 + signal's number is not used: a program that a signal ended has code -1. */
  code: number;
  stdout: string;
  stderr: string;
}

const DEFAULT_TIMEOUT_MS = 60_000;
const ERROR_CHARS = 4_000;

/** Runs to the end. Rejects when the program can't be started, not when it fails. */
export function runToEnd(command: readonly string[], options: RunOptions = {}): Promise<RunResult> {
  const [file = '', ...args] = command;
  const signals = [AbortSignal.timeout(options.timeoutMs ?? DEFAULT_TIMEOUT_MS)];
  if (options.signal) signals.push(options.signal);
  const child = spawn(file, args, {
    cwd: options.cwd,
    env: { ...process.env, ...options.env },
    stdio: ['pipe', 'pipe', options.showErrors ? 'inherit' : 'pipe'],
    signal: AbortSignal.any(signals),
    killSignal: 'SIGKILL',
  });
  const out: Buffer[] = [];
  const errors: Buffer[] = [];
  child.stdout!.on('data', (chunk: Buffer) => out.push(chunk));
  child.stderr?.on('data', (chunk: Buffer) => errors.push(chunk));
  // A program that ends without reading its input closes the pipe: its exit code says what happened.
  child.stdin!.on('error', () => {});
  child.stdin!.end(options.input ?? '');
  return new Promise((resolve, reject) => {
    child.once('error', (error) => reject(new Error(`${command.join(' ')}: ${error.message}`, { cause: error })));
    child.once('close', (code) =>
      resolve({
        code: code ?? -1,
        stdout: Buffer.concat(out).toString('utf8'),
        stderr: Buffer.concat(errors).toString('utf8'),
      }),
    );
  });
}

/** What the program printed. Throws with the end of its error output when it fails. */
export async function run(command: readonly string[], options: RunOptions = {}): Promise<string> {
  const { code, stdout, stderr } = await runToEnd(command, options);
  if (code === 0) return stdout;
  throw new Error(`${command.join(' ')} failed (${code}):\n${(stderr || stdout).slice(-ERROR_CHARS)}`);
}

/** Resolves with the first value of `check` that is neither null nor false. `check` may throw: its last error is told when the time is over. */
export async function until<T>(
  what: string,
  check: () => Promise<T | null | false> | T | null | false,
  { timeoutMs = 30_000, everyMs = 50, signal }: { timeoutMs?: number; everyMs?: number; signal?: AbortSignal } = {},
): Promise<T> {
  const deadline = performance.now() + timeoutMs;
  let lastError: unknown = null;
  for (;;) {
    try {
      const value = await check();
      if (value !== null && value !== false) return value;
      lastError = null;
    } catch (error) {
      lastError = error;
    }
    if (performance.now() > deadline) {
      const why = lastError instanceof Error ? `: ${lastError.message}` : '';
      throw new Error(`${what}: not within ${timeoutMs / 1000} s${why}`, { cause: lastError });
    }
    await delay(everyMs, undefined, { signal });
  }
}
