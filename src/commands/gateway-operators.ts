/** Where operators are, and with which certificates they are asked. Both are looked at anew for every attempt: they change while a gateway runs. */
import { lookup } from 'node:dns/promises';
import { readFile } from 'node:fs/promises';
import { isIP } from 'node:net';
import { join } from 'node:path';
import type { LinkCredentials } from '../link/grpc-link.ts';
import type { OperatorAddress } from '../link/reconnecting.ts';
import { DormouseError } from '../model/errors.ts';
import type { Clock } from '../model/ports.ts';
import { checkPair, readCertificates, validityWarning } from '../tls/certificate-pair.ts';

/** More in one of these files is a mistake, bytes. */
const MAX_FILE_BYTES = 1024 * 1024;

/** All addresses of the name, each once. Rejects with the resolver's reason, or when `signal` aborts. */
export async function operatorAddresses(
  { host, port }: { host: string; port: number },
  signal: AbortSignal,
): Promise<OperatorAddress[]> {
  if (isIP(host) !== 0) return [{ host, port }];
  const { promise: given, reject } = Promise.withResolvers<never>();
  const aborted = (): void => reject(new Error(`${host} was not resolved in time`));
  signal.addEventListener('abort', aborted, { once: true });
  try {
    // As every program in a pod does it: search domains and all. It can't be aborted; the system's resolver has bounds of its own.
    const found = await Promise.race([lookup(host, { all: true, order: 'verbatim' }), given]);
    return [...new Set(found.map(({ address }) => address))].map((address) => ({ host: address, port }));
  } finally {
    signal.removeEventListener('abort', aborted);
  }
}

/** Throws DORMOUSE_LINK_CREDENTIALS when a file is missing or wrong: the Secret may not be there yet, or be changed at this moment. */
export async function linkCredentials(folder: string, clock: Clock): Promise<LinkCredentials> {
  // One after the other: the same fault is told in the same words each time.
  const ca = await readPart(join(folder, 'ca.crt'));
  const cert = await readPart(join(folder, 'tls.crt'));
  const key = await readPart(join(folder, 'tls.key'));
  const authorities = readCertificates(ca);
  if (typeof authorities === 'string') throw unusable(join(folder, 'ca.crt'), authorities);
  const pair = checkPair(cert, key);
  if (!pair.ok) throw unusable(join(folder, pair.which === 'cert' ? 'tls.crt' : 'tls.key'), pair.reason);
  const warning = validityWarning(pair.pair, clock.wallMs());
  if (warning !== null) throw unusable(join(folder, 'tls.crt'), warning);
  return { ca, cert, key };
}

async function readPart(path: string): Promise<Buffer> {
  let content: Buffer;
  try {
    content = await readFile(path);
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException;
    throw unusable(path, code === 'ENOENT' ? 'it is not there' : `it can't be read (${code})`);
  }
  if (content.length > MAX_FILE_BYTES) throw unusable(path, 'it is larger than 1 MiB');
  return content;
}

function unusable(path: string, reason: string): DormouseError {
  return new DormouseError(
    'DORMOUSE_LINK_CREDENTIALS',
    `${path}: ${reason}. The operator makes it, in the Secret that is mounted there; look whether an operator runs`,
    { userFault: true },
  );
}
