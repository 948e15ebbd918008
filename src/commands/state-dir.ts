/** Where a configuration file keeps its state, without checking the rest of it. */
import { dirname, resolve } from 'node:path';

const DEFAULT_STATE_DIR = '.dormouse';

/** Absolute. `text` is what stands in `file`. */
export async function stateDirIn(
  text: string,
  file: string,
  env: Readonly<Record<string, string | undefined>>,
): Promise<string> {
  const written = text.includes('stateDir') ? await writtenStateDir(text, env) : null;
  return resolve(dirname(file), written ?? DEFAULT_STATE_DIR);
}

async function writtenStateDir(
  text: string,
  env: Readonly<Record<string, string | undefined>>,
): Promise<string | null> {
  const [{ readPlainYaml }, { expand }] = await Promise.all([
    import('../config/plain-yaml.ts'),
    import('../config/expand.ts'),
  ]);
  // The full parser costs a third of the command's time: only for files that the quick reader leaves to it.
  const plain: unknown = readPlainYaml(text) ?? (await fullData(text));
  let value: unknown;
  if (plain !== undefined) value = (plain as { stateDir?: unknown } | null)?.stateDir;
  // A file that is no YAML at present: the line says what it says.
  else value = /^stateDir:[ \t]*["']?([^"'#\n]*?)["']?[ \t]*(?:#.*)?$/m.exec(text)?.[1];
  if (value === undefined || value === null) return null;
  const expanded = (expand({ stateDir: value }, env).data as { stateDir?: unknown }).stateDir;
  return typeof expanded === 'string' || typeof expanded === 'number' ? String(expanded) : null;
}

async function fullData(text: string): Promise<unknown> {
  const { readYaml } = await import('../config/read-yaml.ts');
  const read = readYaml(text);
  return 'data' in read ? read.data : undefined;
}
