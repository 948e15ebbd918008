/** `kubernetes:` of a backend: a workload of a cluster. */
import { shown } from '../config-error.ts';
import { Rejected, number, oneOf, scalar, section } from './scalars.ts';

const LABEL = /^[a-z0-9]([-a-z0-9]*[a-z0-9])?$/;
const SUBDOMAIN = /^[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*$/;
const API_VERSION = /^([a-z0-9]([-a-z0-9.]*[a-z0-9])?\/)?v[0-9][a-z0-9]*$/;
const KIND = /^[A-Z][A-Za-z0-9]*$/;

/** Everything of it that a Backend object has too: its namespace is the object's own. */
export function kubernetesKeys() {
  return {
    target: section({ apiVersion: apiVersion(), kind: kind(), name: objectName() }),
    service: label('a Service').optional(),
    port: number({ min: 1, max: 65_535 }).optional(),
    autoscaler: section({ kind: oneOf(['ScaledObject']), name: objectName() }).optional(),
    ready: oneOf(['probe', 'pod']).prefault('probe'),
  };
}

export function kubernetesSection() {
  return section({ namespace: label('a namespace').prefault('default'), ...kubernetesKeys() });
}

/** A DNS label (RFC 1123), which Services and namespaces are named with. */
function label(what: string) {
  return scalar<string>({ type: 'string', pattern: LABEL.source, maxLength: 63 }, (value) => {
    const plain = typeof value === 'number' ? String(value) : value;
    if (typeof plain !== 'string') return new Rejected(`expected the name of ${what}, got ${shown(value)}`);
    if (plain.length > 63) return new Rejected(`the name of ${what} has at most 63 characters`);
    return LABEL.test(plain)
      ? plain
      : new Rejected(`${shown(value)} is not the name of ${what}`, 'use a-z, 0-9 and - only');
  });
}

/** A DNS subdomain (RFC 1123). */
export function objectName() {
  return scalar<string>({ type: 'string', pattern: SUBDOMAIN.source, maxLength: 253 }, (value) => {
    const plain = typeof value === 'number' ? String(value) : value;
    if (typeof plain !== 'string') return new Rejected(`expected a name, got ${shown(value)}`);
    if (plain.length > 253) return new Rejected('a name has at most 253 characters');
    return SUBDOMAIN.test(plain)
      ? plain
      : new Rejected(`${shown(value)} is not the name of an object`, 'use a-z, 0-9, - and . only');
  });
}

function apiVersion() {
  return scalar<string>({ type: 'string', pattern: API_VERSION.source, maxLength: 253 }, (value) =>
    typeof value === 'string' && value.length <= 253 && API_VERSION.test(value)
      ? value
      : new Rejected(`${shown(value)} is not an API version`, 'write apps/v1, or GROUP/VERSION of another kind'),
  );
}

function kind() {
  return scalar<string>({ type: 'string', pattern: KIND.source, maxLength: 63 }, (value) => {
    if (typeof value === 'string' && value.length <= 63 && KIND.test(value)) return value;
    const upper = typeof value === 'string' && value !== '' ? value[0]!.toUpperCase() + value.slice(1) : '';
    return new Rejected(
      `${shown(value)} is not a kind`,
      KIND.test(upper)
        ? `write ${upper}`
        : 'write Deployment, StatefulSet or another kind that has a scale subresource',
    );
  });
}
