/** Keys of a trigger that say who it is for its source: in the file or the environment, in files, or in a Secret. */
import { z } from 'zod';
import { Rejected, scalar, section, text, toggle } from '../config/schema/scalars.ts';
import type { CredentialName, CredentialSources } from '../model/credentials.ts';
import { NamedFile } from '../model/named-file.ts';
import type { TlsOptions } from './tls.ts';

const SECRET_KEY = /^[-._a-zA-Z0-9]+$/;
const SUBDOMAIN = /^[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*$/;

/** Never shown: it may hold a password. */
function secret() {
  return scalar<string>({ type: 'string', maxLength: 4096 }, (value) => {
    const plain = typeof value === 'number' || typeof value === 'boolean' ? String(value) : value;
    if (typeof plain !== 'string' || plain === '') return new Rejected('expected text', 'write it in quotes');
    return plain.length > 4096 ? new Rejected('is longer than 4096 characters') : plain;
  });
}

function file() {
  return scalar<NamedFile>({ type: 'string', minLength: 1, maxLength: 4096 }, (value) =>
    typeof value === 'string' && value !== '' && !value.includes('\0')
      ? new NamedFile(value, 'path')
      : new Rejected('expected the path of a file'),
  );
}

function authentication(names: readonly CredentialName[]) {
  const secretKey = scalar<string>({ type: 'string', pattern: SECRET_KEY.source, maxLength: 253 }, (value) =>
    typeof value === 'string' && value.length <= 253 && SECRET_KEY.test(value)
      ? value
      : new Rejected('expected a key of a Secret', 'use letters, digits, -, _ and . only'),
  );
  return section({
    secret: scalar<string>({ type: 'string', pattern: SUBDOMAIN.source, maxLength: 253 }, (value) =>
      typeof value === 'string' && value.length <= 253 && SUBDOMAIN.test(value)
        ? value
        : new Rejected('expected the name of a Secret', 'use a-z, 0-9, - and . only'),
    ),
    keys: z
      .record(
        z.string().refine((name) => names.some((one) => one === name), {
          error: `has no place here; there are ${names.join(', ')}`,
        }),
        secretKey,
      )
      .prefault({}),
  }).optional();
}

/** `username`, `password`, `passwordFile`. */
export function loginKeys() {
  return {
    username: secret().optional(),
    password: secret().optional(),
    passwordFile: file().optional(),
  };
}

/** `token` and `tokenFile`. */
export function tokenKeys() {
  return { token: secret().optional(), tokenFile: file().optional() };
}

/** What TLS towards the source needs. Names are KEDA's. */
export function tlsKeys() {
  return {
    enableTLS: toggle().prefault('off'),
    unsafeSsl: toggle().prefault('off'),
    serverName: text({ max: 253, what: 'a host name' }).optional(),
    caFile: file().optional(),
    certFile: file().optional(),
    keyFile: file().optional(),
  };
}

export const LOGIN: readonly CredentialName[] = ['username', 'password'];
export const TOKEN: readonly CredentialName[] = ['token'];
export const TLS: readonly CredentialName[] = ['ca', 'cert', 'key'];

export function authenticationKey(...names: readonly (readonly CredentialName[])[]) {
  return { authentication: authentication(names.flat()) };
}

type Given = { readonly [key: string]: unknown };

export function credentialsOf(given: object, ...names: readonly (readonly CredentialName[])[]): CredentialSources {
  const all = given as Given;
  const sources: CredentialSources = { given: {}, files: {}, secret: null };
  for (const name of names.flat()) {
    const value = all[name];
    const path = all[`${name}File`];
    if (typeof value === 'string') sources.given[name] = value;
    if (path !== undefined) sources.files[name] = path as string;
  }
  const named = all['authentication'] as { secret: string; keys: Partial<Record<CredentialName, string>> } | undefined;
  if (named !== undefined) sources.secret = { name: named.secret, keys: { ...named.keys } };
  return sources;
}

/** null: without TLS. */
export function tlsOf(given: {
  enableTLS: boolean;
  unsafeSsl: boolean;
  serverName?: string | undefined;
}): TlsOptions | null {
  return given.enableTLS ? { insecure: given.unsafeSsl, serverName: given.serverName ?? null } : null;
}

/** A credential that stands there in two ways, or half a pair; tells `refuse` of each. */
export function checkCredentials(given: object, refuse: (key: string, message: string, hint: string) => void): void {
  const all = given as Given;
  for (const name of ['password', 'token'])
    if (all[name] !== undefined && all[`${name}File`] !== undefined)
      refuse(`${name}File`, `has no place beside ${name}`, 'keep one of them');
  if ((all['certFile'] === undefined) !== (all['keyFile'] === undefined)) {
    const [there, missing] = all['certFile'] === undefined ? ['keyFile', 'certFile'] : ['certFile', 'keyFile'];
    refuse(there!, `stands without ${missing}`, `add ${missing}`);
  }
  const tls = ['unsafeSsl', 'serverName', 'caFile', 'certFile'].find(
    (key) => all[key] !== undefined && all[key] !== false,
  );
  if (all['enableTLS'] === false && tls !== undefined) refuse(tls, 'has no effect without TLS', 'add enableTLS: on');
}

/** Adds an issue to a transformation. */
export function refusing(context: { issues: unknown[] }): (key: string, message: string, hint?: string) => void {
  return (key, message, hint) =>
    void context.issues.push({
      code: 'custom',
      message,
      path: key === '' ? [] : key.split('.'),
      input: undefined,
      params: { hint },
    });
}
