/** `dormouse hash-key`: what stands in the configuration for an API key. */
import { randomBytes } from 'node:crypto';
import { hashApiKey } from '../gateway/auth/api-keys.ts';
import { DormouseError } from '../model/errors.ts';
import type { CommandContext, CommandOptions } from './command.ts';
import { readSecret } from './secret-input.ts';

/** A shorter key could be found by trying: its hash is a fast one. */
const LEAST_CHARS = 20;

export async function run(context: CommandContext, _args: readonly string[], options: CommandOptions): Promise<number> {
  const key = options.generate === true ? randomBytes(32).toString('base64url') : await readSecret(context, 'key');
  if (!/^[\x21-\x7e]+$/.test(key) || key.length < LEAST_CHARS) {
    throw new DormouseError(
      'DORMOUSE_SECRET_INPUT',
      `a key is printable ASCII without spaces, ${LEAST_CHARS} characters or more, and random; make one with: dormouse hash-key --generate`,
      { userFault: true },
    );
  }
  const hash = hashApiKey(key);
  const shown = options.generate === true ? { key, hash } : { hash };
  if (options.json === true) context.out(`${JSON.stringify(shown)}\n`);
  else context.out(options.generate === true ? `key:  ${key}\nhash: ${hash}\n` : `${hash}\n`);
  return 0;
}
