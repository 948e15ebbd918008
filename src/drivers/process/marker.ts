/** The marker in the environment of everything that is started for one state folder: how a next start knows its own orphans. */
import { randomBytes } from 'node:crypto';
import { mkdir, open, readFile, rename } from 'node:fs/promises';
import { join } from 'node:path';
import { DormouseError } from '../../model/errors.ts';

export const MARKER_VARIABLE = 'DORMOUSE_MARKER';
/** The instance that a process belongs to, since an application may set INSTANCE to something else. */
export const INSTANCE_VARIABLE = 'DORMOUSE_INSTANCE';

const FORM = /^[0-9a-f]{32}$/;

/**
 * Reads `<stateDir>/marker`, making the folder (0700) and the file (0600, 32 hex digits) when they are not there. A file with anything else in it is replaced.
 * Throws DORMOUSE_STATE_DIR.
 */
export async function stateMarker(stateDir: string): Promise<string> {
  const file = join(stateDir, 'marker');
  try {
    await mkdir(stateDir, { recursive: true, mode: 0o700 });
    const found = await readFile(file, 'latin1').catch((error: NodeJS.ErrnoException) => {
      if (error.code === 'ENOENT') return '';
      throw error;
    });
    if (FORM.test(found.trim())) return found.trim();
    const marker = randomBytes(16).toString('hex');
    await writeSecret(file, `${marker}\n`);
    return marker;
  } catch (error) {
    const { message } = error as Error;
    throw new DormouseError(
      'DORMOUSE_STATE_DIR',
      `can't use the state folder ${stateDir}: ${message}; make it writable for this user or set stateDir to another folder`,
      {
        cause: error,
        userFault: true,
      },
    );
  }
}

/** Writes a file with mode 0600 so that a reader sees all of it or nothing. Rejects with the errno. */
export async function writeSecret(file: string, text: string): Promise<void> {
  const temporary = `${file}.${randomBytes(4).toString('hex')}.tmp`;
  const handle = await open(temporary, 'wx', 0o600);
  try {
    await handle.writeFile(text);
  } finally {
    await handle.close();
  }
  await rename(temporary, file);
}
