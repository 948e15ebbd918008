/** What `dormouse gateway` is told on its command line. Read without zod: a gateway is small. */
import { isIP } from 'node:net';
import { resolve } from 'node:path';
import { DormouseError } from '../model/errors.ts';
import type { CommandContext, CommandOptions } from './command.ts';

const LEVELS = ['debug', 'info', 'warn', 'error'] as const;
const FORMATS = ['json', 'pretty'] as const;
const UNITS_MS: Readonly<Record<string, number>> = { ms: 1, s: 1000, m: 60_000, h: 3_600_000 };
const NAME = /^[A-Za-z0-9][A-Za-z0-9._-]{0,252}$/;
const HOST_NAME =
  /^(?=.{1,253}$)[A-Za-z0-9]([A-Za-z0-9-]{0,61}[A-Za-z0-9])?(\.[A-Za-z0-9]([A-Za-z0-9-]{0,61}[A-Za-z0-9])?)*\.?$/;

export interface HostPort {
  host: string;
  port: number;
}

export interface GatewayFlags {
  operator: HostPort;
  /** Absolute path. */
  certificates: string;
  name: string;
  observe: HostPort;
  delayMs: number;
  drainMs: number;
  /** Watches EndpointSlices itself while no operator leads. */
  watchSlices: boolean;
  level: (typeof LEVELS)[number];
  format: (typeof FORMATS)[number];
}

/** Throws DORMOUSE_USAGE. */
export function readGatewayFlags(options: CommandOptions, context: Pick<CommandContext, 'env' | 'cwd'>): GatewayFlags {
  const operator = address(options.operator, '--operator', 'dormouse-operator.dormouse-system.svc:8443');
  if (operator.port === 0) throw usage("--operator: the port of the link can't be 0");
  const { certificates } = options;
  if (typeof certificates !== 'string' || certificates === '')
    throw usage(
      '--certificates is missing: the folder with ca.crt, tls.crt and tls.key, such as /var/run/dormouse/link',
    );
  const name = options.name ?? context.env.HOSTNAME ?? '';
  if (typeof name !== 'string' || !NAME.test(name)) {
    const from = options.name === undefined ? 'HOSTNAME' : '--name';
    throw usage(
      `${from}: a gateway's name is 1 to 253 of A-Z a-z 0-9 . _ -, not "${String(name)}"; give it with --name`,
    );
  }
  return {
    operator,
    certificates: resolve(context.cwd, certificates),
    name,
    observe: address(options.observe ?? '127.0.0.1:8082', '--observe', '0.0.0.0:8082'),
    delayMs: duration(options.delay ?? '5s', '--delay', { most: 10 * 60_000, text: '10m' }),
    drainMs: duration(options.drain ?? '30s', '--drain', { most: 24 * 3_600_000, text: '24h' }),
    watchSlices: options.watchEndpointSlices === true,
    level: oneOf(options.logLevel ?? 'info', '--log-level', LEVELS),
    format: oneOf(options.logFormat ?? 'json', '--log-format', FORMATS),
  };
}

function address(value: unknown, flag: string, example: string): HostPort {
  if (value === undefined) throw usage(`${flag} is missing: an address such as ${example}`);
  const found = typeof value === 'string' ? /^(?:\[([^\]]+)\]|([^:[\]]+)):(\d{1,5})$/.exec(value) : null;
  const host = found?.[1] ?? found?.[2] ?? '';
  const port = Number(found?.[3] ?? -1);
  const isHost = found?.[1] === undefined ? isIP(host) === 4 || HOST_NAME.test(host) : isIP(host) === 6;
  if (!isHost || port < 0 || port > 65_535)
    throw usage(`${flag}: "${String(value)}" is no address with a port, such as ${example}`);
  return { host, port };
}

function duration(value: unknown, flag: string, { most, text }: { most: number; text: string }): number {
  const found = typeof value === 'string' ? /^(\d{1,9}(?:\.\d{1,3})?)(ms|s|m|h)$/.exec(value) : null;
  const ms = found === null ? Number.NaN : Number(found[1]) * UNITS_MS[found[2]!]!;
  if (!(ms >= 0 && ms <= most))
    throw usage(`${flag} takes a duration from 0s to ${text}, such as 5s, not "${String(value)}"`);
  return ms;
}

function oneOf<const V extends readonly string[]>(value: unknown, flag: string, values: V): V[number] {
  const found = values.find((one) => one === value);
  if (found === undefined) throw usage(`${flag} takes ${values.join(', ')}, not "${String(value)}"`);
  return found;
}

function usage(message: string): DormouseError {
  return new DormouseError('DORMOUSE_USAGE', message, { userFault: true });
}
