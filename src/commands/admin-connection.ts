/** Which admin API a command is meant for: the control socket of the dormouse on this machine, or an address over TCP. */
import { readFile } from 'node:fs/promises';
import { resolve } from 'node:path';
import { AdminClient, apiUrl } from '../apis/admin/admin-client.ts';
import { DormouseError } from '../model/errors.ts';
import type { CommandContext, CommandOptions } from './command.ts';
import { configFile, stateDirOf } from './running-dormouse.ts';

const MOST_FILE_BYTES = 1024 * 1024;

/**
 * `--api`, or DORMOUSE_API where neither -c nor --state-dir is given: over TCP, with the token in the file of `--token-file` or DORMOUSE_TOKEN_FILE, or in
 * DORMOUSE_TOKEN. Otherwise the control socket, found as the other commands find it. Throws DORMOUSE_USAGE, DORMOUSE_CONFIG_UNREADABLE.
 */
export async function adminClient(
  context: CommandContext,
  options: CommandOptions,
  timeoutMs?: number,
): Promise<AdminClient> {
  const local = text(options.config) ?? text(options.stateDir);
  const api = text(options.api) ?? (local === undefined ? text(context.env.DORMOUSE_API) : undefined);
  if (api === undefined) return new AdminClient(await socketPlace(context, options), timeoutMs);
  const url = apiUrl(api);
  const file = (name: string, value: unknown): Promise<Buffer | null> => {
    const path = text(value);
    return path === undefined ? Promise.resolve(null) : read(context, name, path);
  };
  const place = {
    kind: 'tcp' as const,
    url,
    token: await tokenOf(context, options),
    ca: await file('--cacert', options.cacert),
    cert: await file('--cert', options.cert),
    key: await file('--key', options.key),
  };
  return new AdminClient(place, timeoutMs);
}

async function socketPlace(context: CommandContext, options: CommandOptions) {
  const given = text(options.stateDir);
  const file = configFile(context, options);
  const stateDir = given === undefined ? await stateDirOf(file, context.env) : resolve(context.cwd, given);
  const of = given === undefined ? `for ${file}` : `with the state folder ${stateDir}`;
  const next = 'start it with dormouse up, or name an admin API with --api';
  return {
    kind: 'socket' as const,
    stateDir,
    notRunning: `dormouse is not running ${of} (no control socket); ${next}`,
  };
}

async function tokenOf(context: CommandContext, options: CommandOptions): Promise<string> {
  const path = text(options.tokenFile) ?? text(context.env.DORMOUSE_TOKEN_FILE);
  const token = (
    path === undefined
      ? (context.env.DORMOUSE_TOKEN ?? '')
      : (await read(context, '--token-file', path)).toString('utf8')
  ).trim();
  if (/^[\x21-\x7e]+$/.test(token)) return token;
  const what = path === undefined ? 'there is no token' : `${path} has no token`;
  throw usage(`${what} for the admin API; name a file that has one with --token-file, or in DORMOUSE_TOKEN_FILE`);
}

async function read(context: CommandContext, flag: string, path: string): Promise<Buffer> {
  try {
    const content = await readFile(resolve(context.cwd, path));
    if (content.length <= MOST_FILE_BYTES) return content;
  } catch (error) {
    throw usage(`${flag}: ${path} can't be read: ${(error as NodeJS.ErrnoException).code ?? (error as Error).message}`);
  }
  throw usage(`${flag}: ${path} is larger than 1 MiB`);
}

export function usage(message: string): DormouseError {
  return new DormouseError('DORMOUSE_USAGE', message, { userFault: true });
}

export function text(value: unknown): string | undefined {
  return typeof value === 'string' && value !== '' ? value : undefined;
}

/** `--namespace`; '' for the first that the API may use. */
export function namespaceOf(options: CommandOptions): string {
  return text(options.namespace) ?? '';
}
