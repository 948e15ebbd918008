import { existsSync, mkdirSync, statSync } from 'node:fs';
import { dirname } from 'node:path';

/**
 * Makes a folder and its missing parents, the folder itself with this mode. Throws the error of mkdir(2) or stat(2). One level after the other, because
 * mkdirSync's `recursive` never ends where mkdir(2) says ENOENT although the parent exists (below /proc).
 */
export function makeFolder(path: string, mode: number): void {
  const missing: string[] = [];
  for (let at = path; !existsSync(at); at = dirname(at)) missing.push(at);
  for (const folder of missing.toReversed()) mkdirSync(folder, folder === path ? mode : 0o755);
  if (!statSync(path).isDirectory()) throw Object.assign(new Error(`${path} is not a folder`), { code: 'ENOTDIR' });
}
