/** Flags of `dormouse operator`, checked. */
import { DormouseError } from '../model/errors.ts';
import type { HostPort } from '../model/config.ts';
import type { CommandOptions } from './command.ts';

export interface OperatorFlags {
  /** null: the pod's own, or the context's. */
  namespace: string | null;
  link: HostPort;
  /** Where KEDA asks. */
  scaler: HostPort;
  /** Where KEDA runs, and looks for its certificate; null: it is not set up. */
  kedaNamespace: string | null;
  /** Where the API server asks for external metrics; null: they are not served. */
  externalMetrics: HostPort | null;
  observe: HostPort | null;
  gatewayPorts: { from: number; to: number };
  gatewaySelector: string;
  /** The Service in front of gateways, whose addresses Gateways show. */
  gatewayService: string;
  /** `group/version/Kind` that may be scaled; null: any. */
  kinds: string[] | null;
  /** Where Secrets of listeners may be read. */
  secretNamespaces: string[];
  /** Name of the Lease; null: none. */
  lease: string | null;
  /** Names that gateways may know this operator's Service by. */
  service: string;
  /** Path of the file with what all gateways share; null: the defaults. */
  settings: string | null;
  kubeconfig: string | null;
  context: string | null;
  logLevel: 'debug' | 'info' | 'warn' | 'error';
}

const NAME = /^[a-z0-9]([-a-z0-9.]{0,251}[a-z0-9])?$/;

/** Throws DORMOUSE_USAGE with the flag's name. */
export function readOperatorFlags(options: CommandOptions): OperatorFlags {
  const text = (name: string): string | null => (typeof options[name] === 'string' ? options[name] : null);
  const [from, to] = portRange(text('gatewayPorts') ?? '20000-24999');
  const level = text('logLevel') ?? 'info';
  if (level !== 'debug' && level !== 'info' && level !== 'warn' && level !== 'error')
    throw fault('--log-level', `${level} is none of debug, info, warn, error`);
  const external = text('externalMetrics') ?? 'off';
  const observe = text('observe') ?? '127.0.0.1:8082';
  return {
    namespace: named('--namespace', text('namespace')),
    link: address('--link', text('link') ?? '0.0.0.0:8443'),
    scaler: address('--scaler', text('scaler') ?? '0.0.0.0:8444'),
    kedaNamespace: named('--keda-namespace', text('kedaNamespace')),
    externalMetrics: external === 'off' ? null : address('--external-metrics', external),
    observe: observe === 'off' ? null : address('--observe', observe),
    gatewayPorts: { from, to },
    gatewaySelector: text('gatewaySelector') ?? 'app.kubernetes.io/name=dormouse,app.kubernetes.io/component=gateway',
    gatewayService: named('--gateway-service', text('gatewayService')) ?? 'dormouse-gateway',
    kinds: kinds(text('kinds')),
    secretNamespaces: listed(text('secretNamespaces')).map((name) => named('--secret-namespaces', name)!),
    lease: options['lease'] === false ? null : (named('--lease', text('lease')) ?? 'dormouse-operator'),
    service: named('--service', text('service')) ?? 'dormouse-operator',
    settings: text('settings'),
    kubeconfig: text('kubeconfig'),
    context: text('context'),
    logLevel: level,
  };
}

function named(flag: string, value: string | null): string | null {
  if (value !== null && !NAME.test(value)) throw fault(flag, `${JSON.stringify(value)} is not a name`);
  return value;
}

function listed(value: string | null): string[] {
  return (value ?? '').split(',').filter((part) => part !== '');
}

function kinds(value: string | null): string[] | null {
  if (value === null) return null;
  const all = listed(value);
  const wrong = all.find((kind) => !/^([a-z0-9.-]+\/)?v[a-z0-9]+\/[A-Z][A-Za-z0-9]*$/.test(kind));
  if (wrong !== undefined)
    throw fault(
      '--kinds',
      `${JSON.stringify(wrong)} is not a kind; write group/version/Kind, such as apps/v1/Deployment`,
    );
  return all;
}

function portRange(value: string): [from: number, to: number] {
  const match = /^(\d{1,5})-(\d{1,5})$/.exec(value);
  const from = Number(match?.[1] ?? 0);
  const to = Number(match?.[2] ?? 0);
  if (from < 1024 || to < from || to > 65_535) {
    throw fault('--gateway-ports', `${JSON.stringify(value)} is not a range of ports above 1023, such as 20000-24999`);
  }
  return [from, to];
}

export function address(flag: string, value: string): HostPort {
  const match = /^(?:\[([0-9a-fA-F:.]+)\]|([^:[\]]+)):(\d{1,5})$/.exec(value);
  const port = Number(match?.[3] ?? -1);
  const host = match?.[1] ?? match?.[2];
  if (host === undefined || port < 0 || port > 65_535) {
    throw fault(flag, `${JSON.stringify(value)} is not an address; write HOST:PORT, such as 0.0.0.0:8443`);
  }
  return { host, port };
}

function fault(flag: string, message: string): DormouseError {
  return new DormouseError('DORMOUSE_USAGE', `${flag}: ${message}`, { userFault: true });
}
