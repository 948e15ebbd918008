/** Secrets that triggers of Backend objects name, read in the namespace of the object and nowhere else. */
import { isReason } from '../kubernetes/api-error.ts';
import type { KubernetesClient, KubernetesObject } from '../kubernetes/client.ts';
import { SECRETS } from '../kubernetes/resources.ts';

interface Secret extends KubernetesObject {
  data?: Record<string, string>;
}

/** `backend`: NAMESPACE/NAME. Rejects with a sentence that says what to do. */
export function readTriggerSecret(client: KubernetesClient) {
  return async (backend: string, name: string, signal: AbortSignal): Promise<Readonly<Record<string, string>>> => {
    const [namespace = ''] = backend.split('/', 1);
    let secret: Secret | null;
    try {
      secret = await client.get<Secret>(SECRETS, { namespace, name }, { signal });
    } catch (error) {
      if (!isReason(error, 'Forbidden')) throw error;
      throw new Error(
        `the operator may not read the Secret ${namespace}/${name}: add { namespace: ${namespace}, names: [${name}] } to the chart's value triggerSecrets`,
        { cause: error },
      );
    }
    if (secret === null)
      throw new Error(`there is no Secret ${namespace}/${name}: create it, or correct authentication.secret`);
    return Object.fromEntries(
      Object.entries(secret.data ?? {}).map(([key, value]) => [key, Buffer.from(value, 'base64').toString()]),
    );
  };
}
