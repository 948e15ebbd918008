/** What a running queue demo of this user has written down, so that other commands find it. */
import { readFileSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { tmpdir, userInfo } from 'node:os';
import { join, resolve } from 'node:path';
import { DormouseError } from '../../model/errors.ts';
import type { CommandContext, CommandOptions } from '../command.ts';
import { makeFolder } from '../make-folder.ts';

export const SOURCES = ['list', 'stream', 'cron'] as const;
export type SourceKind = (typeof SOURCES)[number];

export interface DemoState {
  /** Of the dormouse that runs it. */
  pid: number;
  source: SourceKind;
  /** redis:// or nats://; '' for a schedule. */
  connection: string;
  queue: string;
  /** Of the server that the demo started; null: a schedule needs none. */
  server: { pid: number; port: number } | null;
  startedAtMs: number;
}

const FILE = 'demo.json';

/** `--folder`, or one of this user in the system's folder for temporary files. */
export function demoFolder(context: CommandContext, options: CommandOptions): string {
  return typeof options.folder === 'string'
    ? resolve(context.cwd, options.folder)
    : join(tmpdir(), `dormouse-queue-demo-${userInfo().uid}`);
}

/** Makes it, for this user alone. Throws DORMOUSE_DEMO_FOLDER when it is somebody else's. */
export function ownFolder(folder: string): void {
  makeFolder(folder, 0o700);
  const { uid, mode } = statSync(folder);
  const own = process.getuid?.();
  if ((own === undefined || uid === own) && (mode & 0o022) === 0) return;
  const text = `${folder} belongs to another user or may be written by others; name another folder with --folder`;
  throw new DormouseError('DORMOUSE_DEMO_FOLDER', text, { userFault: true });
}

export function writeDemoState(folder: string, state: DemoState): void {
  writeFileSync(join(folder, FILE), `${JSON.stringify(state)}\n`, { mode: 0o600 });
}

/** null: no demo has been started there, or it was ended. */
export function readDemoState(folder: string): DemoState | null {
  try {
    return JSON.parse(readFileSync(join(folder, FILE), 'utf8')) as DemoState;
  } catch {
    return null;
  }
}

export function removeDemoFolder(folder: string): void {
  rmSync(folder, { recursive: true, force: true });
}

/** The demo that runs there. Throws DORMOUSE_DEMO_NOT_RUNNING. */
export function runningDemo(folder: string, command: string): DemoState {
  const state = readDemoState(folder);
  if (state !== null && isAlive(state.pid)) return state;
  const text = `no queue demo runs on this machine; start it with: ${command} demo queue up`;
  throw new DormouseError('DORMOUSE_DEMO_NOT_RUNNING', text, { userFault: true });
}

export function isAlive(pid: number): boolean {
  try {
    process.kill(pid, 0);
    return true;
  } catch (error) {
    return (error as NodeJS.ErrnoException).code === 'EPERM';
  }
}
