/** What gateways of a cluster get besides what objects say: defaults of every key, and the operator's settings, a part of the configuration file that is the same on one machine. */
import { readFile } from 'node:fs/promises';
import { resolve } from 'node:path';
import { parseConfig, type Part } from '../config/index.ts';
import type { Config } from '../model/config.ts';
import { DormouseError } from '../model/errors.ts';
import type { CommandContext } from './command.ts';
import { defaultRegistry } from './registry.ts';

/** Bytes. */
const MOST = 1024 * 1024;

/** Keys that are the cluster's, not an object's. The address of Prometheus and the like are objects' own. */
const SETTINGS: Part = {
  keys: ['security', 'events', 'telemetry.accessLog', 'telemetry.traces', 'telemetry.serverTiming'],
  given: {
    workers: 1,
    observe: 'off',
    admin: 'off',
    listeners: [{ name: 'in-place', address: '0.0.0.0:1' }],
    backends: { nobody: { servers: ['http://127.0.0.1:1'] } },
    routes: [{ name: 'in-place', backend: 'nobody' }],
  },
};

/** `path`: null for the defaults. Throws ConfigError with the places, or DORMOUSE_USAGE for a file that can't be read or is larger than 1 MiB. */
export async function readSettings(
  path: string | null,
  { cwd, env }: Pick<CommandContext, 'cwd' | 'env'>,
): Promise<Config> {
  const file = path === null ? 'settings' : resolve(cwd, path);
  const text = path === null ? '' : await read(file);
  return parseConfig(text, { file, env, registry: defaultRegistry(), part: SETTINGS });
}

async function read(file: string): Promise<string> {
  try {
    const content = await readFile(file);
    if (content.length <= MOST) return content.toString('utf8');
  } catch (error) {
    const reason = error instanceof Error ? error.message : String(error);
    throw new DormouseError('DORMOUSE_USAGE', `--settings: ${file} can't be read: ${reason}`, { userFault: true });
  }
  throw new DormouseError('DORMOUSE_USAGE', `--settings: ${file} is larger than 1 MiB`, { userFault: true });
}
