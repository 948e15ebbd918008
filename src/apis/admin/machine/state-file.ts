/**
 * What was made over the admin API of one machine, in the state folder: written as a whole to another file, flushed, and put in the place of the former, so that a
 * power cut leaves the one or the other. Mode 0600: specs may have secrets.
 */
import { open, readFile, rename, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { DormouseError } from '../../../model/errors.ts';

export const STATE_FILE = 'admin.json';
const VERSION = 1;
const MOST_BYTES = 64 * 1024 * 1024;

export interface StoredBackend {
  /** Wall clock ms. */
  createdAtMs: number;
  spec: Record<string, unknown>;
  /** SHA-256 of the Idempotency-Key that it was made with, and of the body; null: it had none. */
  idempotency: { key: string; body: string } | null;
}

export interface AdminState {
  backends: Readonly<Record<string, StoredBackend>>;
  /** Wall clock ms, by name. */
  pins: Readonly<Record<string, number>>;
}

export const NO_STATE: AdminState = { backends: {}, pins: {} };

/** Throws DORMOUSE_ADMIN_STATE when it is there and can't be read. */
export async function readState(stateDir: string): Promise<AdminState> {
  const path = join(stateDir, STATE_FILE);
  let text: string;
  try {
    text = await readFile(path, 'utf8');
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException;
    // Who makes the folder says why it can't be made.
    if (code === 'ENOENT' || code === 'ENOTDIR') return NO_STATE;
    throw unusable(path, error);
  }
  try {
    if (text.length > MOST_BYTES) throw new Error('it is too long');
    return stateIn(JSON.parse(text));
  } catch (error) {
    throw unusable(path, error);
  }
}

/** Resolves when it would outlive a power cut. Throws DORMOUSE_ADMIN_STATE, and the former one is in force then. */
export async function writeState(stateDir: string, state: AdminState): Promise<void> {
  const path = join(stateDir, STATE_FILE);
  const next = `${path}.next`;
  try {
    const file = await open(next, 'w', 0o600);
    try {
      await file.writeFile(JSON.stringify({ version: VERSION, ...state }, null, 1));
      await file.sync();
    } finally {
      await file.close();
    }
    await rename(next, path);
    const folder = await open(stateDir, 'r');
    try {
      await folder.sync();
    } finally {
      await folder.close();
    }
  } catch (error) {
    await rm(next, { force: true }).catch(() => {});
    const reason = error instanceof Error ? error.message : String(error);
    throw new DormouseError(
      'DORMOUSE_ADMIN_STATE',
      `what was asked for could not be written to ${path}: ${reason}; check the disk and the rights of the state folder. Nothing was changed`,
      { cause: error },
    );
  }
}

function stateIn(value: unknown): AdminState {
  const { version, backends, pins } = mapping(value, 'the file');
  if (version !== VERSION) throw new Error(`it is of version ${String(version)}, not ${VERSION}`);
  for (const [name, backend] of Object.entries(mapping(backends, 'backends'))) {
    const { createdAtMs, spec, idempotency } = mapping(backend, name);
    mapping(spec, `${name}.spec`);
    if (typeof createdAtMs !== 'number') throw new Error(`${name}.createdAtMs is no number`);
    if (idempotency !== null) mapping(idempotency, `${name}.idempotency`);
  }
  for (const [name, untilMs] of Object.entries(mapping(pins, 'pins')))
    if (typeof untilMs !== 'number') throw new Error(`pins.${name} is no number`);
  return { backends, pins } as AdminState;
}

function mapping(value: unknown, what: string): Record<string, unknown> {
  if (typeof value !== 'object' || value === null || Array.isArray(value)) throw new Error(`${what} is no mapping`);
  return value as Record<string, unknown>;
}

function unusable(path: string, error: unknown): DormouseError {
  const reason = error instanceof Error ? error.message : String(error);
  return new DormouseError(
    'DORMOUSE_ADMIN_STATE',
    `${path} can't be used: ${reason}; put a copy of it back, or move it away (what was made over the admin API is gone then)`,
    { cause: error, userFault: true },
  );
}
