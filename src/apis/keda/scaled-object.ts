/** Which backend a ScaledObject asks for. */
import { DormouseError } from '../../model/errors.ts';
import type { ScaledObjectRef } from '../../protobuf/external-scaler.ts';

const NAME = /^[a-z0-9]([-a-z0-9.]{0,251}[a-z0-9])?$/;
/** What a trigger of type external-push may have in its metadata; the first three are KEDA's. */
const KEYS: ReadonlySet<string> = new Set([
  'scalerAddress',
  'enableTLS',
  'unsafeSsl',
  'backend',
  'metrics',
  'credentials',
]);

/** `NAMESPACE/NAME`: as metadata.backend says, or else as the ScaledObject is called. Throws DORMOUSE_SCALER_METADATA with what to write. */
export function backendOf({ name, namespace, scalerMetadata }: ScaledObjectRef): string {
  for (const key of Object.keys(scalerMetadata)) {
    if (!KEYS.has(key) && !key.endsWith('FromEnv'))
      throw wrong(`${quoted(key)} is not a key of it; write backend: NAME`);
  }
  const said = scalerMetadata['backend'] ?? name;
  const parts = said.split('/');
  const [first = '', second] = parts;
  const backend = second ?? first;
  if (parts.length > 2 || !NAME.test(backend))
    throw wrong(`backend is ${quoted(said)}, which is not the name of a Backend; write backend: NAME`);
  if (!NAME.test(namespace)) throw wrong(`${quoted(namespace)} is not a namespace`);
  if (second !== undefined && first !== namespace) {
    throw new DormouseError(
      'DORMOUSE_SCALER_FORBIDDEN',
      `a ScaledObject of namespace ${namespace} may not ask for Backend ${quoted(said)}: it has to be one of its own namespace; write backend: ${backend}`,
      { userFault: true },
    );
  }
  return `${namespace}/${backend}`;
}

function wrong(reason: string): DormouseError {
  return new DormouseError('DORMOUSE_SCALER_METADATA', `metadata of the trigger external-push: ${reason}`, {
    userFault: true,
  });
}

function quoted(text: string): string {
  return JSON.stringify(text.length > 100 ? `${text.slice(0, 99)}…` : text);
}
