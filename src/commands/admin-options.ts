/** Flags of `dormouse admin`, checked. */
import { DormouseError } from '../model/errors.ts';
import type { HostPort } from '../model/config.ts';
import type { CommandOptions } from './command.ts';
import { address } from './operator-options.ts';

export interface AdminFlags {
  /** Path of the file with `admin:`. */
  settings: string;
  /** Where backends may be made; at least one. */
  namespaces: string[];
  gateway: { namespace: string; name: string; sectionName: string | null } | null;
  scaleBy: 'dormouse' | 'hpa' | 'keda';
  observe: HostPort | null;
  kubeconfig: string | null;
  context: string | null;
  logLevel: 'debug' | 'info' | 'warn' | 'error';
}

const NAME = /^[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?$/;

/** Throws DORMOUSE_USAGE with the flag's name. */
export function readAdminFlags(options: CommandOptions): AdminFlags {
  const text = (name: string): string | null => (typeof options[name] === 'string' ? options[name] : null);
  const settings = text('settings');
  if (settings === null) throw fault('--settings', 'is missing: the file with admin: { address, tokens, tls }');
  const namespaces = [...new Set((text('namespaces') ?? '').split(',').filter((part) => part !== ''))];
  if (namespaces.length === 0) throw fault('--namespaces', 'is missing: where backends may be made, as shops,tools');
  for (const namespace of namespaces)
    if (!NAME.test(namespace)) throw fault('--namespaces', `${JSON.stringify(namespace)} is not a name`);
  const observe = text('observe') ?? '127.0.0.1:8082';
  return {
    settings,
    namespaces,
    gateway: gatewayIn(text('gateway')),
    scaleBy: oneOf('--scale-by', text('scaleBy') ?? 'dormouse', ['dormouse', 'hpa', 'keda']),
    observe: observe === 'off' ? null : address('--observe', observe),
    kubeconfig: text('kubeconfig'),
    context: text('context'),
    logLevel: oneOf('--log-level', text('logLevel') ?? 'info', ['debug', 'info', 'warn', 'error']),
  };
}

function gatewayIn(value: string | null): AdminFlags['gateway'] {
  if (value === null) return null;
  const [namespace = '', name = '', sectionName = null, ...more] = value.split('/');
  if (!NAME.test(namespace) || !NAME.test(name) || more.length > 0)
    throw fault(
      '--gateway',
      `${JSON.stringify(value)} names no Gateway; write NAMESPACE/NAME or NAMESPACE/NAME/LISTENER`,
    );
  return { namespace, name, sectionName };
}

function oneOf<const V extends readonly string[]>(flag: string, value: string, values: V): V[number] {
  if (!values.includes(value)) throw fault(flag, `${value} is none of ${values.join(', ')}`);
  return value;
}

function fault(flag: string, message: string): DormouseError {
  return new DormouseError('DORMOUSE_USAGE', `${flag}: ${message}`, { userFault: true });
}
