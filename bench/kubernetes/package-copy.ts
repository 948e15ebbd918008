/** Dormouse as a package holds it, built from this checkout into a folder of its own: what the image runs, and untouched by who works on the sources meanwhile. */
import { cpSync, mkdirSync, symlinkSync } from 'node:fs';
import { join } from 'node:path';
import { runProgram } from '../processes.ts';

const ROOT = join(import.meta.dirname, '../..');
const BUILD_MS = 120_000;

/** Gives the command that runs it, without arguments. */
export async function buildCopy(dir: string): Promise<string[]> {
  mkdirSync(join(dir, 'scripts'), { recursive: true });
  for (const path of ['src', 'package.json', 'tsconfig.json', 'scripts/build.ts'])
    cpSync(join(ROOT, path), join(dir, path), { recursive: true });
  symlinkSync(join(ROOT, 'node_modules'), join(dir, 'node_modules'));
  await runProgram([process.execPath, join(dir, 'scripts/build.ts')], { core: null, cwd: dir }, BUILD_MS);
  return [process.execPath, join(dir, 'dist/commands/main.js')];
}
