import { z } from 'zod';
import { clientsSection, networks } from './clients.ts';
import { Rejected, address, duration, name, number, oneOf, scalar, section, size, text, toggle } from './scalars.ts';
import { shown } from '../config-error.ts';

/** An entry of `listeners:`. */
export function listenerSchema() {
  return section({
    name: name().optional(),
    address: address(),
    protocol: oneOf(['http', 'https', 'tls', 'tcp']).prefault('http'),
    backend: name().optional(),
    tls: tlsSection().optional(),
    proxyProtocol: section({ acceptFrom: networks() }).prefault({}),
    clients: clientsSection(),
    limits: section({
      connections: number({ min: 0, max: 1_000_000 }).prefault(10_000),
      headerBytes: size({ min: 256, max: 2 ** 20 }).prefault('32kB'),
      headers: number({ min: 1, max: 10_000 }).prefault(100),
      uriBytes: size({ min: 16, max: 2 ** 20 }).prefault('8kB'),
      bodyBytes: size({ min: 1, max: 2 ** 40, zero: true }).prefault(0),
    }).prefault({}),
    timeouts: section({
      header: duration({ minMs: 1 }).prefault('10s'),
      body: duration({ minMs: 1 }).prefault('60s'),
      idle: duration({ minMs: 1 }).prefault('75s'),
    }).prefault({}),
    http2: section({
      maxStreams: number({ min: 1, max: 10_000 }).prefault(128),
      maxResetsPerSecond: number({ min: 1, max: 1_000_000 }).prefault(200),
      // SETTINGS_INITIAL_WINDOW_SIZE goes to 2^31 - 1 (RFC 9113, 6.9.2); a window is memory that a client may fill per stream.
      window: size({ min: 65_535, max: 2 ** 26 }).prefault('1MiB'),
    }).prefault({}),
  });
}

export type ListenerEntry = z.output<ReturnType<typeof listenerSchema>>;

function tlsSection() {
  return section({
    certificates: z
      .array(section({ cert: text(), key: text() }))
      .min(1)
      .max(1000),
    minVersion: tlsVersion().prefault('1.2'),
    clientAuth: section({
      ca: text().optional(),
      mode: oneOf(['none', 'optional', 'require']).prefault('none'),
    }).prefault({}),
    hsts: section({
      maxAge: duration().prefault('180d'),
      includeSubdomains: toggle().prefault('off'),
      preload: toggle().prefault('off'),
    }).optional(),
  });
}

/** YAML reads an unquoted 1.2 as a number. */
function tlsVersion() {
  return scalar<'1.2' | '1.3'>({ enum: ['1.2', '1.3', 1.2, 1.3] }, (value) => {
    const written = typeof value === 'number' ? String(value) : value;
    if (written === '1.2' || written === '1.3') return written;
    const old = written === '1.0' || written === '1.1' || written === '1';
    return new Rejected(`expected 1.2 or 1.3, got ${shown(value)}`, old ? '1.2 is the floor' : undefined);
  });
}
