/** What flags and files say of a backend. */
import { readFile } from 'node:fs/promises';
import { resolve } from 'node:path';
import type { CommandContext, CommandOptions } from '../command.ts';
import { text, usage } from '../admin-connection.ts';

const MOST_BYTES = 1_000_000;

type Json = Record<string, unknown>;

/** `-f FILE`, `-f -` for standard input: JSON or YAML. {} without it. Throws DORMOUSE_USAGE. */
export async function specOfFile(context: CommandContext, options: CommandOptions): Promise<Json> {
  const file = text(options.file);
  if (file === undefined) return {};
  const content = file === '-' ? await standardInput(context) : await fileContent(resolve(context.cwd, file));
  if (content.length > MOST_BYTES) throw usage(`--file: ${file} is longer than 1 MB`);
  const value = await parsed(content, file);
  if (typeof value !== 'object' || value === null || Array.isArray(value))
    throw usage(`--file: ${file} is no mapping; write keys as in an entry of backends: in dormouse.yaml`);
  return value as Json;
}

/** `--image`, `--port`, `--host`, `--path`, `--env`, `--set`, over what stands in `spec`. Throws DORMOUSE_USAGE. */
export function withFlags(spec: Json, options: CommandOptions): Json {
  const result = structuredClone(spec);
  const image = text(options.image);
  if (image !== undefined) result['image'] = image;
  const server = list(options.server);
  if (server.length > 0) result['servers'] = server;
  const host = list(options.host);
  if (host.length > 0) result['hosts'] = host;
  const path = text(options.path);
  if (path !== undefined) result['path'] = path;
  if (text(options.port) !== undefined) setAt(result, portPlace(result), portNumber(options.port));
  const env = environment(list(options.env));
  for (const [name, value] of Object.entries(env)) {
    if (result['process'] === undefined) setAt(result, ['env', name], value);
    else setAt(result, ['process', 'env', name], literally(value));
  }
  if (text(options.idleAfter) !== undefined) setAt(result, ['scale', 'idleAfter'], text(options.idleAfter));
  if (text(options.max) !== undefined) setAt(result, ['scale', 'max'], wholeNumber('--max', text(options.max)!));
  for (const assignment of list(options.set)) {
    const [, key, value] = /^([A-Za-z][\w.-]*)=(.*)$/s.exec(assignment) ?? [];
    if (key === undefined) throw usage(`--set ${JSON.stringify(assignment)}: write KEY=VALUE, such as scale.max=3`);
    setAt(result, key.split('.'), valueOf(value!));
  }
  return result;
}

/** In a configuration `$$` stands for a dollar; `${PORT}` and `${INSTANCE}` are the instance's. */
export function literally(word: string): string {
  return word.replaceAll(/\$(?=\$|\{(?!(?:PORT|INSTANCE)\}))/g, '$$$$');
}

function portPlace(spec: Json): string[] {
  return spec['process'] === undefined ? ['port'] : ['process', 'port'];
}

export function portNumber(value: unknown): number {
  const port = wholeNumber('--port', String(value));
  if (port < 1 || port > 65_535) throw usage(`--port ${port}: ports go from 1 to 65535`);
  return port;
}

function wholeNumber(flag: string, value: string): number {
  if (!/^\d{1,9}$/.test(value)) throw usage(`${flag} ${JSON.stringify(value)} is not a whole number`);
  return Number(value);
}

export function environment(assignments: readonly string[]): Record<string, string> {
  return Object.fromEntries(
    assignments.map((assignment) => {
      const mark = assignment.indexOf('=');
      if (mark < 1) throw usage(`--env ${JSON.stringify(assignment)}: write NAME=VALUE`);
      return [assignment.slice(0, mark), assignment.slice(mark + 1)];
    }),
  );
}

export function list(value: unknown): string[] {
  return Array.isArray(value) ? value.map(String) : typeof value === 'string' ? [value] : [];
}

/** JSON where it is some (numbers, true, null, lists), text otherwise. */
function valueOf(written: string): unknown {
  try {
    return JSON.parse(written);
  } catch {
    return written;
  }
}

function setAt(target: Json, path: readonly string[], value: unknown): void {
  let at = target;
  for (const part of path.slice(0, -1)) {
    const inner = Object.hasOwn(at, part) ? at[part] : undefined;
    const next: Json = typeof inner === 'object' && inner !== null && !Array.isArray(inner) ? (inner as Json) : {};
    define(at, part, next);
    at = next;
  }
  define(at, path.at(-1)!, value);
}

function define(target: Json, key: string, value: unknown): void {
  Object.defineProperty(target, key, { value, enumerable: true, configurable: true, writable: true });
}

async function parsed(content: string, file: string): Promise<unknown> {
  if (/^\s*\{/.test(content)) {
    try {
      return JSON.parse(content);
    } catch {
      // It may be YAML in flow style.
    }
  }
  const { readYaml } = await import('../../config/read-yaml.ts');
  const { expand } = await import('../../config/expand.ts');
  const read = readYaml(content);
  if ('problems' in read) throw usage(`--file: ${file} is neither JSON nor YAML: ${read.problems[0]?.message ?? ''}`);
  // Numbers and booleans as such. Variables are the API's to refuse: they are left as they are written.
  return expand(escaped(read.data), {}).data;
}

function escaped(value: unknown): unknown {
  if (typeof value === 'string') return value.replaceAll('$', '$$$$');
  if (Array.isArray(value)) return value.map(escaped);
  if (typeof value === 'object' && value !== null && Object.getPrototypeOf(value) === Object.prototype)
    return Object.fromEntries(Object.entries(value).map(([key, inner]) => [key, escaped(inner)]));
  return value;
}

async function fileContent(path: string): Promise<string> {
  try {
    return await readFile(path, 'utf8');
  } catch (error) {
    throw usage(`--file: ${path} can't be read: ${(error as NodeJS.ErrnoException).code}`);
  }
}

async function standardInput(context: CommandContext): Promise<string> {
  const input = context.input();
  if (input === null) throw usage('--file -: standard input is a terminal; send the spec through a pipe');
  const parts: Uint8Array[] = [];
  let bytes = 0;
  for await (const part of input) {
    bytes += part.length;
    if (bytes > MOST_BYTES) throw usage('--file -: standard input is longer than 1 MB');
    parts.push(part);
  }
  return Buffer.concat(parts).toString('utf8');
}
