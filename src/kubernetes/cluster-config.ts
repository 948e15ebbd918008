/** Which API server to talk to, and as whom. Made by in-cluster.ts (a pod's service account) or kubeconfig.ts (a file as kubectl's). */
import type { Clock } from '../model/ports.ts';
import { loadInCluster } from './in-cluster.ts';
import { loadKubeconfig } from './kubeconfig.ts';

export interface ClusterConfig {
  /** `https://HOST:PORT` with the path that a proxy in front may want; no slash at its end. */
  readonly server: string;
  /** Where this comes from, for messages: `the pod's service account`, `context "dev" of /home/me/.kube/config`. */
  readonly source: string;
  /** The namespace that is meant when none is named. */
  readonly namespace: string;
  /** Asks as somebody else (RBAC verb `impersonate`). */
  readonly impersonate?: { user: string; groups: readonly string[] };
  /**
   * What to show the server now. Files are read again after a minute at most, so that rotated tokens and certificates are taken up; `fresh` reads them at
   * once (the server has just refused them). Rejects with DORMOUSE_KUBECONFIG or DORMOUSE_IN_CLUSTER when a file can't be used and no earlier
   * content of it is known.
   */
  credentials(fresh?: boolean): Promise<Credentials>;
}

export interface Credentials {
  /** Bearer token. Never logged. */
  token: string | null;
  tls: TlsSettings;
  /** Another number whenever `tls` is different from before: connections are made anew then. */
  tlsRevision: number;
}

export interface TlsSettings {
  /** PEM; null: the authorities that this machine's Node trusts. */
  ca: Buffer | null;
  /** PEM, both or neither. */
  cert: Buffer | null;
  key: Buffer | null;
  /** The name to expect in the server's certificate instead of the URL's host. */
  serverName: string | null;
  /** Whether the server's certificate isn't looked at. */
  insecure: boolean;
}

export interface ClusterConfigOptions {
  /** KUBECONFIG, KUBERNETES_SERVICE_HOST and KUBERNETES_SERVICE_PORT are looked at. */
  env: Readonly<Record<string, string | undefined>>;
  /** The user's home folder. */
  home: string;
  clock: Clock;
  /** A file that was named on the command line; it alone is read then. */
  kubeconfig?: string;
  /** Instead of the current context. */
  context?: string;
}

/**
 * The order of client-go: a file or context that was named, KUBECONFIG, the pod's own service account, `~/.kube/config`. Rejects with
 * DORMOUSE_KUBECONFIG or DORMOUSE_IN_CLUSTER, which say what to correct.
 */
export async function loadClusterConfig(options: ClusterConfigOptions): Promise<ClusterConfig> {
  const named =
    options.kubeconfig !== undefined || options.context !== undefined || (options.env['KUBECONFIG'] ?? '') !== '';
  if (!named && (options.env['KUBERNETES_SERVICE_HOST'] ?? '') !== '') {
    return await loadInCluster({ env: options.env, clock: options.clock });
  }
  return await loadKubeconfig(options);
}
