/** `dormouse hash-password`: what stands in the configuration for a password. */
import { hashPassword, MAX_PASSWORD_BYTES } from '../gateway/auth/password-hash.ts';
import { DormouseError } from '../model/errors.ts';
import type { CommandContext } from './command.ts';
import { readSecret } from './secret-input.ts';

export async function run(context: CommandContext): Promise<number> {
  const password = (await readSecret(context, 'password')).normalize('NFC');
  if (Buffer.byteLength(password) > MAX_PASSWORD_BYTES) {
    throw new DormouseError('DORMOUSE_SECRET_INPUT', `a password has at most ${MAX_PASSWORD_BYTES} bytes`, {
      userFault: true,
    });
  }
  context.out(`${await hashPassword(password)}\n`);
  return 0;
}
