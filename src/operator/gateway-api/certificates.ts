/** Certificates of HTTPS listeners: from Secrets, across namespaces where a ReferenceGrant allows it. */
import type { EvaluatedListener } from './listener.ts';
import { GATEWAY_GROUP, type ObjectReference, type Secret } from './objects.ts';
import type { Problem } from './gateways.ts';
import type { ReferenceGrants } from './reference-grants.ts';
import type { TranslationSettings } from './translation.ts';

/** Finds the certificates of a listener; what is missing is told as `unresolved`, and those that are there are shown. */
export function findCertificates(
  listener: EvaluatedListener,
  secrets: ReadonlyMap<string, Secret>,
  grants: ReferenceGrants,
  settings: TranslationSettings,
): void {
  const references = listener.spec.tls?.certificateRefs ?? [];
  if (references.length === 0) {
    const message = 'tls.certificateRefs: name a Secret of type kubernetes.io/tls';
    listener.unresolved ??= { reason: 'InvalidCertificateRef', message };
  }
  for (const reference of references) {
    const found = lookUp(listener, reference, secrets, grants, settings);
    if ('problem' in found) {
      listener.unresolved ??= found.problem;
      continue;
    }
    const { namespace, name } = found;
    if (listener.secrets.some((one) => one.namespace === namespace && one.secret === name)) continue;
    const hosts = listener.hostname === '' ? [] : [listener.hostname];
    listener.certificates.push({ name: `Secret ${namespace}/${name}`, ...found.pem, hosts });
    listener.secrets.push({ namespace, secret: name });
  }
}

type Found = { problem: Problem } | { namespace: string; name: string; pem: { cert: string; key: string } };

function lookUp(
  { gateway }: EvaluatedListener,
  { group = '', kind = 'Secret', namespace = gateway.metadata.namespace ?? '', name }: ObjectReference,
  secrets: ReadonlyMap<string, Secret>,
  grants: ReferenceGrants,
  settings: TranslationSettings,
): Found {
  const invalid = (message: string): Found => ({
    problem: { reason: 'InvalidCertificateRef', message: `tls.certificateRefs: ${message}` },
  });
  if (group !== '' || kind !== 'Secret') {
    return invalid(
      `${group === '' ? '' : `${group}/`}${kind} ${name} is no Secret, which is what certificates are taken from`,
    );
  }
  const from = { group: GATEWAY_GROUP, kind: 'Gateway', namespace: gateway.metadata.namespace ?? '' };
  if (!grants.allows(from, { group, kind, namespace, name })) {
    const message = `tls.certificateRefs: Secret ${name} is in namespace ${namespace}, where no ReferenceGrant lets Gateways of namespace ${from.namespace} refer to it`;
    return { problem: { reason: 'RefNotPermitted', message } };
  }
  const secret = secrets.get(`${namespace}/${name}`);
  if (secret === undefined) return invalid(`there is no Secret ${namespace}/${name} of type kubernetes.io/tls`);
  const cert = decoded(secret, 'tls.crt');
  const key = decoded(secret, 'tls.key');
  if (cert === null || key === null) {
    return invalid(`Secret ${namespace}/${name} has no ${cert === null ? 'tls.crt' : 'tls.key'}`);
  }
  const problem = settings.checkCertificate(secret, { cert, key });
  if (problem !== null) return invalid(`Secret ${namespace}/${name}: ${problem}`);
  return { namespace, name, pem: { cert, key } };
}

function decoded({ data }: Secret, key: string): string | null {
  const value = data !== undefined && Object.hasOwn(data, key) ? data[key]! : '';
  return value === '' ? null : Buffer.from(value, 'base64').toString('latin1');
}
