/** Keys that both Redis triggers have, named as KEDA names them. */
import { Rejected, duration, number, readAddress, scalar, text } from '../config/schema/scalars.ts';
import {
  LOGIN,
  TLS,
  authenticationKey,
  checkCredentials,
  credentialsOf,
  loginKeys,
  tlsKeys,
  tlsOf,
} from './credentials.schema.ts';
import type { RedisServerOptions } from './redis-client.ts';

/** Above this nobody has a number that means something. */
export const MOST = 1e12;

export function pollingInterval(standard: string) {
  return duration({ minMs: 100, maxMs: 3_600_000 }).prefault(standard);
}

export function redisKeys() {
  return {
    address: redisAddress().optional(),
    host: text({ max: 253, what: 'a host' }).optional(),
    port: number({ min: 1, max: 65_535 }).optional(),
    databaseIndex: number({ min: 0, max: 65_535 }).prefault(0),
    ...loginKeys(),
    ...tlsKeys(),
    ...authenticationKey(LOGIN, TLS),
    pollingInterval: pollingInterval('2s'),
  };
}

/** A name in Redis is bytes; one that is longer than this is a mistake. */
export function redisName(what: string) {
  return text({ max: 1024, what, lines: true });
}

interface Given {
  address?: { host: string; port: number } | undefined;
  host?: string | undefined;
  port?: number | undefined;
  databaseIndex: number;
  enableTLS: boolean;
  unsafeSsl: boolean;
  serverName?: string | undefined;
  pollingInterval: number;
}

/** Tells `refuse` of what does not fit together; the result counts only when there was nothing. */
export function redisServer(
  given: Given,
  refuse: (key: string, message: string, hint?: string) => void,
): RedisServerOptions {
  if (given.address === undefined && given.host === undefined) refuse('', 'has no address', 'add address: host:6379');
  else if (given.address !== undefined && given.host !== undefined)
    refuse('host', 'has no place beside address', 'keep one of them');
  else if (given.address !== undefined && given.port !== undefined)
    refuse('port', 'has no place beside address', 'write it into address');
  checkCredentials(given, refuse);
  return {
    host: given.address?.host ?? given.host ?? '',
    port: given.address?.port ?? given.port ?? 6379,
    database: given.databaseIndex,
    tls: tlsOf(given),
    credentials: credentialsOf(given, LOGIN, TLS),
  };
}

function redisAddress() {
  return scalar<{ host: string; port: number }>({ type: 'string', maxLength: 300 }, (value) => {
    const hint = 'write host:6379';
    if (typeof value === 'string' && /^rediss?:\/\//.test(value))
      return new Rejected('is a URL', `${hint}; password, databaseIndex and enableTLS are keys of their own`);
    const address = readAddress(value);
    if (address instanceof Rejected) return new Rejected(address.message, hint);
    if (address.port === 0) return new Rejected('a server has no port 0', hint);
    return address.host === '::' && typeof value === 'string' && !value.startsWith('[')
      ? new Rejected('names no host', hint)
      : address;
  });
}
