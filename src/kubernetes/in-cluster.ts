/** The service account of the pod that this runs in: the kubelet puts token, CA and namespace into a folder and keeps the token fresh. */
import { join } from 'node:path';
import { DormouseError } from '../model/errors.ts';
import type { Clock } from '../model/ports.ts';
import type { ClusterConfig, Credentials } from './cluster-config.ts';
import { TlsRevision } from './credential-files.ts';
import { RotatingFile } from './rotating-file.ts';

const FOLDER = '/var/run/secrets/kubernetes.io/serviceaccount';

export interface InClusterOptions {
  env: Readonly<Record<string, string | undefined>>;
  clock: Clock;
  /** Where token, ca.crt and namespace lie. */
  folder?: string;
}

/** Rejects with DORMOUSE_IN_CLUSTER when this is no pod or has no service account. */
export async function loadInCluster(options: InClusterOptions): Promise<ClusterConfig> {
  const { env, clock, folder = FOLDER } = options;
  const host = env['KUBERNETES_SERVICE_HOST'] ?? '';
  const port = env['KUBERNETES_SERVICE_PORT'] ?? '443';
  if (host === '') {
    throw failure('KUBERNETES_SERVICE_HOST is not set: this is no pod. Outside of a cluster name a kubeconfig file');
  }
  if (!/^[0-9A-Za-z.:-]+$/.test(host) || !/^\d{1,5}$/.test(port)) {
    throw failure(`KUBERNETES_SERVICE_HOST and KUBERNETES_SERVICE_PORT are no address: "${host}" and "${port}"`);
  }
  const token = new RotatingFile(join(folder, 'token'), clock);
  const ca = new RotatingFile(join(folder, 'ca.crt'), clock);
  const revision = new TlsRevision();

  const read = async (file: RotatingFile, fresh?: boolean): Promise<Buffer> => {
    try {
      return await file.read(fresh);
    } catch (error) {
      throw failure(
        `${file.path} can't be read (${(error as Error).message}): give the pod a service account (automountServiceAccountToken: true)`,
        error,
      );
    }
  };
  const credentials = async (fresh?: boolean): Promise<Credentials> => {
    const [tokenText, authorities] = await Promise.all([read(token, fresh), read(ca, fresh)]);
    const tls = { ca: authorities, cert: null, key: null, serverName: null, insecure: false };
    return { token: tokenText.toString('latin1').trim(), tls, tlsRevision: revision.of(tls) };
  };
  await credentials();
  // Only some pods have it (projected volumes of one's own): nothing depends on it.
  const namespace = await new RotatingFile(join(folder, 'namespace'), clock).read().catch(() => Buffer.from('default'));
  return {
    server: `https://${host.includes(':') ? `[${host}]` : host}:${port}`,
    source: "the pod's service account",
    namespace: namespace.toString('latin1').trim(),
    credentials,
  };
}

function failure(message: string, cause?: unknown): DormouseError {
  return new DormouseError('DORMOUSE_IN_CLUSTER', message, { cause, userFault: true });
}
