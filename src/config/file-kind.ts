import type { Stats } from 'node:fs';
import { resolve } from 'node:path';

/**
 * Whether reading it comes to an end as far as can be told beforehand. A folder passes, since opening it says so at once; a named pipe does
 * not, but /dev/stdin and a shell's `<(…)`, which is /dev/fd/63, do: their writer is there already.
 */
export function isFileOrStream(file: string, stats: Pick<Stats, 'isFile' | 'isDirectory'>): boolean {
  return stats.isFile() || stats.isDirectory() || /^\/(?:dev|proc)\//.test(resolve(file));
}
