import { z } from 'zod';
import { ADMIN_SCOPES, type HostPort } from '../../model/config.ts';
import { shown } from '../config-error.ts';
import { Rejected, address, oneOf, scalar, section, text } from './scalars.ts';

export interface AdminEntry {
  address: HostPort;
  tokens?: { name: string; hash: string; scope: (typeof ADMIN_SCOPES)[number] }[] | undefined;
  tls?: { cert: string; key: string; clientCa?: string | undefined } | undefined;
  commands: 'loopback' | 'off';
  hosts: string[];
}

/** `admin:`, or off (null, false). */
export function adminSection() {
  const off = scalar<null>({ enum: ['off', null, false] }, (value) =>
    value === 'off' || value === null || value === false ? null : new Rejected('expected a mapping or off'),
  );
  const on = section({
    address: address().prefault('127.0.0.1:8081'),
    tokens: z
      .array(section({ name: tokenName(), hash: tokenHash(), scope: oneOf(ADMIN_SCOPES) }))
      .min(1)
      .max(1000)
      .optional(),
    tls: section({ cert: text(), key: text(), clientCa: text().optional() }).optional(),
    commands: oneOf(['loopback', 'off']).prefault('loopback'),
    hosts: z.array(hostName()).max(100).prefault([]),
  });
  return z.union([on as z.ZodType<AdminEntry>, off]);
}

function tokenName() {
  return scalar<string>({ type: 'string', pattern: '^[A-Za-z0-9][A-Za-z0-9_.@-]{0,63}$' }, (value) =>
    typeof value === 'string' && /^[A-Za-z0-9][\w.@-]{0,63}$/.test(value)
      ? value
      : new Rejected(
          `${shown(value)} is not a name of a token`,
          'use letters, digits, and . _ @ - inside; at most 64 characters',
        ),
  );
}

/** Never shown: whoever writes the token itself here by mistake must not find it in a log. */
function tokenHash() {
  return scalar<string>({ type: 'string', pattern: '^sha256:[0-9a-fA-F]{64}$' }, (value) =>
    typeof value === 'string' && /^sha256:[0-9a-f]{64}$/i.test(value)
      ? value.toLowerCase()
      : new Rejected('is not of the form sha256:64 hex digits', 'make one with: dormouse hash-key --generate'),
  );
}

function hostName() {
  return scalar<string>({ type: 'string', maxLength: 253 }, (value) =>
    typeof value === 'string' && /^[A-Za-z0-9]([A-Za-z0-9.-]{0,251}[A-Za-z0-9])?$/.test(value)
      ? value.toLowerCase()
      : new Rejected(`${shown(value)} is not a host name`, 'write the name alone, without a scheme and a port'),
  );
}
