/** Where the cluster lives on this machine, and the addresses and ports that it takes. */
import { homedir } from 'node:os';
import { join } from 'node:path';

export const REPOSITORY = join(import.meta.dirname, '../../..');

/** Everything that a running cluster writes: certificates, etcd's data, logs, containerd's root. Gone after `down`. */
export const RUN_FOLDER = process.env['DORMOUSE_CLUSTER_DIR'] ?? '/var/lib/dormouse-cluster';

/** Built programs and images, kept from run to run. A folder's name has the hash of what it was built from. */
export const CACHE_FOLDER = join(process.env['XDG_CACHE_HOME'] ?? join(homedir(), '.cache'), 'dormouse/cluster');

export const LOGS = join(RUN_FOLDER, 'logs');
export const CERTIFICATES = join(RUN_FOLDER, 'certificates');
export const KUBECONFIGS = join(RUN_FOLDER, 'kubeconfigs');
export const ADMIN_KUBECONFIG = join(KUBECONFIGS, 'admin');

/** A bridge of our own carries the nodes' addresses, so that nothing depends on the machine's own network. */
export const NODE_BRIDGE = 'dormouse0';
export const NODE_NETWORK = '10.240.0.0/24';
export const CONTROL_PLANE_ADDRESS = '10.240.0.1';
export const POD_NETWORK = '10.244.0.0/16';
export const SERVICE_NETWORK = '10.96.0.0/16';
export const KUBERNETES_SERVICE_ADDRESS = '10.96.0.1';
export const DNS_SERVICE_ADDRESS = '10.96.0.10';
export const CLUSTER_DOMAIN = 'cluster.local';

export const API_SERVER_PORT = 6443;
export const API_SERVER_URL = `https://${CONTROL_PLANE_ADDRESS}:${API_SERVER_PORT}`;
export const ETCD_URL = 'http://127.0.0.1:2379';
const ETCD_PEER_URL = 'http://127.0.0.1:2380';
export const ETCD_URLS = { clients: ETCD_URL, peers: ETCD_PEER_URL };
