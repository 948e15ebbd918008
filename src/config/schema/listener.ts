import type { z } from 'zod';
import { address, duration, name, number, oneOf, section, size } from './scalars.ts';

/** An entry of `listeners:`. */
export function listenerSchema() {
  return section({
    name: name().optional(),
    address: address(),
    protocol: oneOf(['http']).prefault('http'),
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
  });
}

export type ListenerEntry = z.output<ReturnType<typeof listenerSchema>>;
