/** etcd, the API server, the controller manager and the scheduler, as processes of this machine. */
import { join } from 'node:path';
import { isApiReady } from './api.ts';
import { auditFlags } from './audit.ts';
import { Authority, signingKeys } from './certificates.ts';
import { startDaemon, untilUp } from './daemons.ts';
import { isEtcdHealthy } from './etcd.ts';
import { writeKubeconfig } from './kubeconfig.ts';
import {
  ADMIN_KUBECONFIG,
  API_SERVER_PORT,
  CLUSTER_DOMAIN,
  CONTROL_PLANE_ADDRESS,
  ETCD_URLS,
  KUBERNETES_SERVICE_ADDRESS,
  POD_NETWORK,
  RUN_FOLDER,
  SERVICE_NETWORK,
} from './places.ts';
import { program } from './programs.ts';
import { run } from './run.ts';
import type { State } from './state.ts';

/** Starts what does not run yet; resolves when the API server is ready. The node bridge with the control plane's address must be there. */
export async function startControlPlane(state: State): Promise<void> {
  const files = await controlPlaneFiles();
  startDaemon(state, { name: 'etcd', command: etcdCommand() });
  await untilUp(state, 'etcd', isEtcdHealthy, 20_000);
  startDaemon(state, { name: 'kube-apiserver', command: apiServerCommand(files) });
  await untilUp(state, 'kube-apiserver', isApiReady, 60_000);
  startDaemon(state, { name: 'kube-controller-manager', command: controllerManagerCommand(files) });
  startDaemon(state, { name: 'kube-scheduler', command: schedulerCommand(files) });
}

export async function openAuthority(): Promise<Authority> {
  return Authority.open('ca');
}

type Files = Awaited<ReturnType<typeof controlPlaneFiles>>;

async function controlPlaneFiles() {
  const [authority, frontProxyAuthority, serviceAccounts] = await Promise.all([
    openAuthority(),
    Authority.open('front-proxy-ca'),
    signingKeys('service-accounts'),
  ]);
  const [apiServer, kubeletClient, frontProxy, admin, controllerManager, scheduler] = await Promise.all([
    authority.issue({
      name: 'kube-apiserver',
      commonName: 'kube-apiserver',
      hosts: [
        'kubernetes',
        'kubernetes.default',
        'kubernetes.default.svc',
        `kubernetes.default.svc.${CLUSTER_DOMAIN}`,
        'localhost',
        '127.0.0.1',
        KUBERNETES_SERVICE_ADDRESS,
        CONTROL_PLANE_ADDRESS,
      ],
    }),
    authority.issue({
      name: 'kube-apiserver-kubelet-client',
      commonName: 'kube-apiserver-kubelet-client',
      organization: 'system:masters',
    }),
    frontProxyAuthority.issue({ name: 'front-proxy-client', commonName: 'front-proxy-client' }),
    writeKubeconfig(authority, 'admin', { commonName: 'admin', organization: 'system:masters' }),
    writeKubeconfig(authority, 'kube-controller-manager', { commonName: 'system:kube-controller-manager' }),
    writeKubeconfig(authority, 'kube-scheduler', { commonName: 'system:kube-scheduler' }),
  ]);
  return {
    authority,
    frontProxyAuthority,
    serviceAccounts,
    apiServer,
    kubeletClient,
    frontProxy,
    admin,
    controllerManager,
    scheduler,
  };
}

function etcdCommand(): string[] {
  return [
    program('etcd'),
    `--data-dir=${join(RUN_FOLDER, 'etcd')}`,
    `--listen-client-urls=${ETCD_URLS.clients}`,
    `--advertise-client-urls=${ETCD_URLS.clients}`,
    `--listen-peer-urls=${ETCD_URLS.peers}`,
    `--initial-advertise-peer-urls=${ETCD_URLS.peers}`,
    `--initial-cluster=default=${ETCD_URLS.peers}`,
    // The data is thrown away with the cluster: waiting for the disk would only make everything slower.
    '--unsafe-no-fsync',
  ];
}

function apiServerCommand(files: Files): string[] {
  return [
    program('kube-apiserver'),
    `--etcd-servers=${ETCD_URLS.clients}`,
    `--bind-address=${CONTROL_PLANE_ADDRESS}`,
    `--advertise-address=${CONTROL_PLANE_ADDRESS}`,
    `--secure-port=${API_SERVER_PORT}`,
    `--service-cluster-ip-range=${SERVICE_NETWORK}`,
    `--tls-cert-file=${files.apiServer.certificate}`,
    `--tls-private-key-file=${files.apiServer.key}`,
    `--client-ca-file=${files.authority.files.certificate}`,
    '--authorization-mode=Node,RBAC',
    '--enable-admission-plugins=NodeRestriction',
    '--allow-privileged=true',
    `--kubelet-client-certificate=${files.kubeletClient.certificate}`,
    `--kubelet-client-key=${files.kubeletClient.key}`,
    `--kubelet-certificate-authority=${files.authority.files.certificate}`,
    // Nodes' names are known to nobody's resolver: exec and logs use their addresses.
    '--kubelet-preferred-address-types=InternalIP',
    `--service-account-issuer=https://kubernetes.default.svc.${CLUSTER_DOMAIN}`,
    `--service-account-key-file=${files.serviceAccounts.publicKey}`,
    `--service-account-signing-key-file=${files.serviceAccounts.privateKey}`,
    // What the aggregated external.metrics.k8s.io needs.
    `--requestheader-client-ca-file=${files.frontProxyAuthority.files.certificate}`,
    '--requestheader-allowed-names=front-proxy-client',
    '--requestheader-extra-headers-prefix=X-Remote-Extra-',
    '--requestheader-group-headers=X-Remote-Group',
    '--requestheader-username-headers=X-Remote-User',
    `--proxy-client-cert-file=${files.frontProxy.certificate}`,
    `--proxy-client-key-file=${files.frontProxy.key}`,
    '--enable-aggregator-routing=true',
    ...auditFlags(),
    // Nothing but `down` ends it with connections open; tests restart it and don't wait for them.
    '--shutdown-delay-duration=0s',
  ];
}

function controllerManagerCommand(files: Files): string[] {
  return [
    program('kube-controller-manager'),
    ...delegated(files.controllerManager),
    `--root-ca-file=${files.authority.files.certificate}`,
    `--service-account-private-key-file=${files.serviceAccounts.privateKey}`,
    `--cluster-signing-cert-file=${files.authority.files.certificate}`,
    `--cluster-signing-key-file=${files.authority.files.key}`,
    '--use-service-account-credentials=true',
    `--cluster-cidr=${POD_NETWORK}`,
    // Each node's CNI configuration has its range already (node.ts).
    '--allocate-node-cidrs=false',
    '--horizontal-pod-autoscaler-sync-period=5s',
  ];
}

function schedulerCommand(files: Files): string[] {
  return [program('kube-scheduler'), ...delegated(files.scheduler)];
}

const delegated = (kubeconfig: string): string[] => [
  `--kubeconfig=${kubeconfig}`,
  `--authentication-kubeconfig=${kubeconfig}`,
  `--authorization-kubeconfig=${kubeconfig}`,
  '--bind-address=127.0.0.1',
  '--leader-elect=false',
];

/** kubectl as the administrator. Throws with what it says when it fails. */
export async function kubectl(args: readonly string[], input?: string, timeoutMs = 60_000): Promise<string> {
  return run([program('kubectl'), `--kubeconfig=${ADMIN_KUBECONFIG}`, ...args], {
    ...(input === undefined ? {} : { input }),
    timeoutMs,
  });
}

/** Server-side apply of objects or YAML; conflicts are taken over. */
export async function applyObjects(objects: string | readonly object[]): Promise<void> {
  const text = typeof objects === 'string' ? objects : objects.map((object) => JSON.stringify(object)).join('\n---\n');
  await kubectl(['apply', '--server-side', '--force-conflicts', '-f', '-'], text);
}
