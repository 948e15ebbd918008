/** Reads what a source asks for from where the configuration says that it is. */
import { readFile } from 'node:fs/promises';
import type { CredentialName, Credentials, CredentialSources } from '../model/credentials.ts';
import type { TriggerContext } from './trigger.ts';

const MAX_BYTES = 64 * 1024;
const NAMES: readonly CredentialName[] = ['username', 'password', 'token', 'ca', 'cert', 'key'];
/** What a file or a Secret holds of these ends where its line ends. */
const ONE_LINE: readonly CredentialName[] = ['username', 'password', 'token'];

/** Rejects with an Error that names the file or the Secret and never its content. */
export async function readCredentials(
  { given, files, secret }: CredentialSources,
  context: Pick<TriggerContext, 'readSecret'>,
  signal: AbortSignal,
): Promise<Credentials> {
  const read: Credentials = { ...given };
  for (const [name, path] of Object.entries(files) as [CredentialName, string][]) {
    let text: Buffer;
    try {
      text = await readFile(path, { signal });
    } catch (error) {
      const code = (error as NodeJS.ErrnoException).code ?? (error as Error).message;
      throw new Error(`${name}File ${path} can't be read (${code}): see that it is there and may be read`, {
        cause: error,
      });
    }
    read[name] = cleaned(name, text.subarray(0, MAX_BYTES).toString());
  }
  if (secret === null) return read;
  const data = await context.readSecret(secret.name, signal);
  for (const name of NAMES) {
    const renamed = secret.keys[name];
    const value = data[renamed ?? name];
    if (value !== undefined && read[name] === undefined) read[name] = cleaned(name, value);
    else if (renamed !== undefined && value === undefined)
      throw new Error(
        `the Secret ${secret.name} has no key ${renamed}: add it, or correct authentication.keys.${name}`,
      );
  }
  return read;
}

function cleaned(name: CredentialName, text: string): string {
  return ONE_LINE.includes(name) ? text.replace(/\r?\n$/, '') : text;
}
