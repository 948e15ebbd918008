import { readFile } from 'node:fs/promises';
import type { EventBusConfig } from '../model/config.ts';
import { BusFault } from './transport.ts';

export type RemoteBus = Exclude<EventBusConfig, { kind: 'memory' }>;

/** For logs: no user and no password. */
export function addressOf(url: string): string {
  const { protocol, host, pathname } = new URL(url);
  return `${protocol}//${host}${pathname === '/' ? '' : pathname}`;
}

export interface BusSecrets {
  /** null: as the URL has it. */
  password: string | null;
  credentials: Buffer | null;
  tls: { ca?: Buffer; cert?: Buffer; key?: Buffer; servername?: string } | null;
}

/** Reads the files that the bus names, as they are now: they may be changed at any time. Rejects with a BusFault that names the file. */
export async function readSecrets({ passwordFile, credentialsFile, tls }: RemoteBus): Promise<BusSecrets> {
  const password = passwordFile === null ? null : (await read(passwordFile)).toString('utf8').trim();
  const credentials = credentialsFile === null ? null : await read(credentialsFile);
  if (tls === null) return { password, credentials, tls: null };
  const { caFile, certFile, keyFile, serverName } = tls;
  return {
    password,
    credentials,
    tls: {
      ...(caFile === null ? {} : { ca: await read(caFile) }),
      ...(certFile === null ? {} : { cert: await read(certFile) }),
      ...(keyFile === null ? {} : { key: await read(keyFile) }),
      ...(serverName === null ? {} : { servername: serverName }),
    },
  };
}

async function read(file: string): Promise<Buffer> {
  try {
    return await readFile(file);
  } catch (error) {
    throw new BusFault(
      `${file} can't be read: ${(error as Error).message}`,
      'correct the file; it is read again at the next try',
    );
  }
}
