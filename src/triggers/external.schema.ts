import { z } from 'zod';
import { Rejected, duration, isHostName, scalar, text } from '../config/schema/scalars.ts';
import {
  TLS,
  authenticationKey,
  checkCredentials,
  credentialsOf,
  refusing,
  tlsKeys,
  tlsOf,
} from './credentials.schema.ts';
import type { ExternalOptions } from './external.ts';
import { pollingInterval } from './redis.schema.ts';

const scalerAddress = scalar<string>({ type: 'string', minLength: 1, maxLength: 300 }, (value) => {
  const hint = 'write host:port of a KEDA external scaler';
  const match = typeof value === 'string' ? /^(\[[0-9a-fA-F:.]+\]|[^:[\]/]+):(\d{1,5})$/.exec(value) : null;
  const host = match?.[1] ?? '';
  const port = Number(match?.[2] ?? 0);
  const isHost = host.startsWith('[') || /^[\d.]+$/.test(host) || isHostName(host);
  return match !== null && isHost && port > 0 && port < 65_536 ? match[0] : new Rejected('is not host:port', hint);
});

/** A scaler's own keys are texts, as in KEDA's metadata. */
const metadata = z.record(
  z.string().min(1).max(253),
  scalar<string>({ type: ['string', 'number', 'boolean'] }, (value) =>
    typeof value === 'string' || typeof value === 'number' || typeof value === 'boolean'
      ? String(value).slice(0, 8192)
      : new Rejected('expected text'),
  ),
);

export const externalSchema = z
  .strictObject({
    scalerAddress,
    metadata: metadata.prefault({}),
    namespace: text({ max: 253, what: 'a namespace' }).prefault('default'),
    scaledObject: text({ max: 253, what: 'a name' }).optional(),
    timeout: duration({ minMs: 100, maxMs: 60_000 }).prefault('3s'),
    ...tlsKeys(),
    ...authenticationKey(TLS),
    pollingInterval: pollingInterval('5s'),
  })
  .transform((given, context): ExternalOptions => {
    checkCredentials(given, refusing(context));
    return {
      address: given.scalerAddress,
      metadata: given.metadata,
      namespace: given.namespace,
      name: given.scaledObject ?? null,
      timeoutMs: given.timeout,
      tls: tlsOf(given),
      credentials: credentialsOf(given, TLS),
      pollingMs: given.pollingInterval,
    };
  });
