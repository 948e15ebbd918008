import { DormouseError } from '../model/errors.ts';
import type { CommandContext } from './command.ts';

/** A secret is no longer than this, bytes. */
const MAX_BYTES = 4096;

/**
 * Reads a secret from standard input, without the line end after it; at a terminal it asks, twice, and shows nothing of what is typed. Never from arguments, which
 * every user of the machine can read. Throws DORMOUSE_SECRET_INPUT when there is none, it is too long, no UTF-8, has control characters, or the two differ.
 */
export async function readSecret(context: CommandContext, what: string): Promise<string> {
  const input = context.input();
  if (input !== null) return checked(await readAll(input, what), what);
  const first = checked(await typed(context, `${what}: `), what);
  if ((await typed(context, `${what} again: `)) !== first)
    throw refused(`the two are different; nothing was made of either`);
  return first;
}

async function readAll(input: AsyncIterable<Uint8Array>, what: string): Promise<string> {
  const parts: Uint8Array[] = [];
  let size = 0;
  for await (const part of input) {
    size += part.length;
    if (size > MAX_BYTES) throw refused(`the ${what} is longer than ${MAX_BYTES} bytes`);
    parts.push(part);
  }
  try {
    return new TextDecoder('utf-8', { fatal: true, ignoreBOM: true })
      .decode(Buffer.concat(parts))
      .replace(/\r?\n$/, '');
  } catch {
    throw refused(`the ${what} is not UTF-8 text`);
  }
}

function checked(secret: string, what: string): string {
  if (secret === '') throw refused(`there is no ${what} on standard input`);
  // oxlint-disable-next-line no-control-regex
  if (/[\x00-\x1f\x7f]/.test(secret)) throw refused(`the ${what} is more than one line or has control characters`);
  return secret;
}

/** One line that is typed, without being shown. Rejects when it is interrupted. */
function typed({ terminal, err }: CommandContext, question: string): Promise<string> {
  err(question);
  return new Promise((resolve, reject) => {
    let text = '';
    const stop = terminal.onKey((keys) => {
      for (const key of keys) {
        if (key === '\x03' || key === '\x04') {
          finish(() => reject(refused('given up')));
          return;
        }
        if (key === '\r' || key === '\n') {
          finish(() => resolve(text));
          return;
        }
        if (key === '\x7f' || key === '\b') text = [...text].slice(0, -1).join('');
        else if (text.length < MAX_BYTES) text += key;
      }
    });
    const finish = (settle: () => void): void => {
      stop();
      err('\n');
      settle();
    };
  });
}

function refused(message: string): DormouseError {
  return new DormouseError('DORMOUSE_SECRET_INPUT', message, { userFault: true });
}
