/**
 * Where the control socket is. Normally `control.sock` in the state folder. The kernel takes at most 107 bytes for the path of a unix socket
 * (103 on macOS): for a longer one the socket is in a folder of its own under the temporary folder, and `control.path` in the state folder says where.
 */
import { createHash } from 'node:crypto';
import { chmod, lstat, mkdir, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { DormouseError } from '../../model/errors.ts';

const SOCKET_FILE = 'control.sock';
const POINTER_FILE = 'control.path';
/** The smaller of the two limits, so that a state folder behaves alike everywhere. */
export const LONGEST_SOCKET_PATH_BYTES = 103;

/** The path for a server to listen on; makes the folders (0700) and the pointer file. Throws DORMOUSE_CONTROL_SOCKET. */
export async function prepareSocketPath(stateDir: string, temporaryDir: string = tmpdir()): Promise<string> {
  await mkdir(stateDir, { recursive: true, mode: 0o700 });
  const direct = join(resolve(stateDir), SOCKET_FILE);
  if (Buffer.byteLength(direct) <= LONGEST_SOCKET_PATH_BYTES) {
    await rm(join(stateDir, POINTER_FILE), { force: true });
    return direct;
  }
  const hash = createHash('sha256').update(resolve(stateDir)).digest('hex').slice(0, 16);
  const folder = join(temporaryDir, `dormouse-${hash}`);
  const path = join(folder, SOCKET_FILE);
  if (Buffer.byteLength(path) > LONGEST_SOCKET_PATH_BYTES) {
    throw new DormouseError(
      'DORMOUSE_CONTROL_SOCKET',
      `${direct} is too long for a unix socket (${LONGEST_SOCKET_PATH_BYTES} bytes), and so is ${path}; set stateDir to a shorter path`,
      { userFault: true },
    );
  }
  await makePrivateFolder(folder);
  await writeFile(join(stateDir, POINTER_FILE), `${path}\n`, { mode: 0o600 });
  return path;
}

/** The path for a client to connect to. Never fails: without a pointer file it is the path in the state folder. */
export async function findSocketPath(stateDir: string): Promise<string> {
  try {
    const pointed = (await readFile(join(stateDir, POINTER_FILE), 'utf8')).trim();
    if (pointed !== '') return pointed;
  } catch {
    // No pointer: the usual case.
  }
  return join(resolve(stateDir), SOCKET_FILE);
}

/** Removes what prepareSocketPath left, except the socket's own folder's parent. */
export async function removeSocketPath(stateDir: string, path: string): Promise<void> {
  await rm(path, { force: true });
  if (path === join(resolve(stateDir), SOCKET_FILE)) return;
  await rm(join(stateDir, POINTER_FILE), { force: true });
  await rm(join(path, '..'), { force: true, recursive: true });
}

/** The temporary folder is everybody's: a folder that somebody else put there in advance must not be used. */
async function makePrivateFolder(folder: string): Promise<void> {
  await mkdir(folder, { recursive: true, mode: 0o700 });
  const found = await lstat(folder);
  const uid = process.getuid?.() ?? found.uid;
  if (!found.isDirectory() || found.uid !== uid) {
    throw new DormouseError(
      'DORMOUSE_CONTROL_SOCKET',
      `${folder} belongs to someone else; remove it, or set stateDir to a path shorter than ${LONGEST_SOCKET_PATH_BYTES - SOCKET_FILE.length} bytes`,
      { userFault: true },
    );
  }
  await chmod(folder, 0o700);
}
