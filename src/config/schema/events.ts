import { isIP } from 'node:net';
import { Rejected, isHostName, number, scalar, section, text, toggle } from './scalars.ts';

const SCHEMES: Readonly<Record<string, 'redis' | 'nats'>> = {
  'redis:': 'redis',
  'rediss:': 'redis',
  'nats:': 'nats',
  'tls:': 'nats',
};
const HINT =
  'write memory, redis://host:6379, rediss://… or nats://host:4222, tls://… ; keep a password in a variable: ${EVENTS_URL}';

export type BusAddress = { kind: 'memory' } | { kind: 'redis' | 'nats'; url: string };

/** `memory`, or the URL of a Redis or NATS. The message never shows it: it may carry a password. */
function busAddress() {
  return scalar<BusAddress>({ type: 'string', maxLength: 2048 }, (value) => {
    if (value === 'memory') return { kind: 'memory' };
    if (typeof value !== 'string' || value.length > 2048 || !URL.canParse(value))
      return new Rejected('is neither memory nor the address of a bus', HINT);
    const { protocol, hostname, pathname, search, hash } = new URL(value);
    const kind = SCHEMES[protocol];
    if (kind === undefined) return new Rejected(`has a scheme that is no bus's, ${protocol.slice(0, 20)}`, HINT);
    if (hostname === '') return new Rejected('names no host', HINT);
    if (search !== '' || hash !== '') return new Rejected('has a query or a fragment, which mean nothing here', HINT);
    const path = kind === 'redis' ? /^(?:\/\d{0,5})?$/ : /^\/?$/;
    if (!path.test(pathname))
      return new Rejected(
        kind === 'redis' ? 'its path is not the number of a database' : 'has a path, which means nothing to NATS',
        HINT,
      );
    return { kind, url: value };
  });
}

/** Both a Redis key's start and a NATS subject's: tokens with dots between; braces are the hash tag of a Redis Cluster. */
function streamName() {
  const pattern = /^[A-Za-z0-9_{}-]+(?:\.[A-Za-z0-9_{}-]+)*$/;
  return scalar<string>({ type: 'string', pattern: pattern.source, maxLength: 128 }, (value) =>
    typeof value === 'string' && value.length <= 128 && pattern.test(value)
      ? value
      : new Rejected(
          'is not a name of a stream',
          'letters, digits, - and _, in parts with dots between, at most 128 characters; { } around a hash tag',
        ),
  );
}

/** A server's name in its certificate. */
function certificateName() {
  return scalar<string>({ type: 'string', maxLength: 253 }, (value) =>
    typeof value === 'string' && (isHostName(value) || isIP(value) !== 0) ? value : new Rejected('is not a host name'),
  );
}

export function eventsSection() {
  return section({
    bus: busAddress().prefault('memory'),
    each: toggle().prefault('off'),
    stream: streamName().prefault('dormouse.traffic'),
    maxLength: number({ min: 1, max: 100_000_000 }).prefault(100_000),
    buffer: number({ min: 100, max: 1_000_000 }).prefault(10_000),
    passwordFile: text().optional(),
    credentialsFile: text().optional(),
    tls: section({
      ca: text().optional(),
      cert: text().optional(),
      key: text().optional(),
      serverName: certificateName().optional(),
    }).optional(),
  }).prefault({});
}
