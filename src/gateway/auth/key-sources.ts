import { readFileSync } from 'node:fs';
import { readFile, stat } from 'node:fs/promises';
import { DormouseError } from '../../model/errors.ts';
import type { FilterServices } from '../filters/filter.ts';
import { LOOK_INTERVAL_MS } from './file-content.ts';
import { KeySet } from './key-set.ts';
import { MAX_KEY_SET_BYTES, parseKeySet, type KeySetContent } from './signing-keys.ts';
import { WebClient } from './web-client.ts';

/** Where a key set comes from. */
export type KeySourceOptions = ({ url: string } | { file: string } | { backend: string; path: string }) & {
  refreshMs: number;
  timeoutMs: number;
};

/** Shown to nobody: side calls of the gateway come from itself. */
const OWN_ADDRESS = '127.0.0.1';

/**
 * The key set of a source. A file is read at once: throws DORMOUSE_AUTH_FILE when it has no usable key, so that such a configuration does not come into force.
 * The others are asked when the first token comes: a backend would be woken for nothing.
 */
export function openKeySet(source: KeySourceOptions, allowSymmetric: boolean, services: FilterServices): KeySet {
  const { clock, logger } = services;
  const common = { refreshMs: source.refreshMs, timeoutMs: source.timeoutMs, allowSymmetric, clock, logger };
  if ('file' in source) {
    const { file } = source;
    const initial = readNow(file, allowSymmetric);
    // Nobody is burdened by a look into a file.
    const refreshMs = Math.min(common.refreshMs, LOOK_INTERVAL_MS);
    return new KeySet({ ...common, refreshMs, name: file, initial, load: () => readBounded(file) });
  }
  const accept = 'Accept: application/jwk-set+json, application/json\r\n';
  if ('backend' in source) {
    const { backend, path } = source;
    const load = async (signal: AbortSignal): Promise<string> => {
      const request = { method: 'GET', target: path, host: backend, headers: accept, body: null, client: OWN_ADDRESS };
      const { status, body } = await services.call(backend, request, signal);
      if (status !== 200) throw new Error(`the answer has status ${status}`);
      if (body.length > MAX_KEY_SET_BYTES) throw new Error(`the answer is larger than ${MAX_KEY_SET_BYTES} bytes`);
      return body.toString('utf8');
    };
    return new KeySet({ ...common, name: `${backend}${path}`, initial: null, load });
  }
  const { url } = source;
  const load = async (signal: AbortSignal): Promise<string> => {
    // A connection is not worth keeping for a request in ten minutes.
    const client = new WebClient();
    try {
      const headers = [['Accept', 'application/jwk-set+json, application/json']] as const;
      const { status, body } = await client.get({ url, headers, maxBytes: MAX_KEY_SET_BYTES, signal });
      if (status !== 200) throw new Error(`the answer has status ${status}`);
      return body.toString('utf8');
    } finally {
      client.close();
    }
  };
  return new KeySet({ ...common, name: withoutSecrets(url), initial: null, load });
}

function readNow(file: string, allowSymmetric: boolean): KeySetContent {
  try {
    return parseKeySet(readFileSync(file, 'utf8'), allowSymmetric);
  } catch (error) {
    const reason = error instanceof Error ? error.message : String(error);
    throw new DormouseError('DORMOUSE_AUTH_FILE', `${file}: ${reason}`, { cause: error, userFault: true });
  }
}

async function readBounded(file: string): Promise<string> {
  const found = await stat(file);
  if (!found.isFile() || found.size > MAX_KEY_SET_BYTES)
    throw new Error(`is no file of at most ${MAX_KEY_SET_BYTES} bytes`);
  return readFile(file, 'utf8');
}

/** For the log. */
function withoutSecrets(url: string): string {
  const { origin, pathname } = new URL(url);
  return `${origin}${pathname}`;
}
