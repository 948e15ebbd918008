/** One node: containerd, kubelet, kube-proxy. */
import { mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { readObject } from './api.ts';
import type { Authority } from './certificates.ts';
import { createCgroups } from './cgroups.ts';
import { startDaemon, untilUp, type Daemon } from './daemons.ts';
import { writeKubeconfig } from './kubeconfig.ts';
import { CLUSTER_DOMAIN, DNS_SERVICE_ADDRESS, POD_NETWORK } from './places.ts';
import type { ClusterNode } from './node-plan.ts';
import { program } from './programs.ts';
import { runToEnd, until } from './run.ts';
import type { ProxyMode, State } from './state.ts';

export const PAUSE_IMAGE = 'dormouse.test/pause:latest';
const PROXY_HEALTH_PORT = 10256;
const CNI_PROGRAMS = '/usr/lib/cni';

/** Resolves when images can be loaded into it. */
export async function startContainerd(state: State, node: ClusterNode): Promise<void> {
  mkdirSync(join(node.folder, 'cni'), { recursive: true });
  const config = join(node.folder, 'containerd.toml');
  writeFileSync(config, containerdConfig(node));
  writeFileSync(join(node.folder, 'cni', '10-dormouse.conflist'), cniConfig(node));
  const name = `containerd-${node.number}`;
  startDaemon(state, inNode(node, { name, command: ['containerd', `--config=${config}`] }));
  await untilUp(state, name, async () => {
    const { code } = await runToEnd(['ctr', '--address', node.containerdSocket, 'version'], { timeoutMs: 2_000 });
    return code === 0;
  });
}

/** Starts what does not run; the API server must be ready, containerd too. Resolves before the node is ready. */
export async function startKubelet(state: State, node: ClusterNode, authority: Authority): Promise<void> {
  createCgroups(node.cgroup);
  const serving = await authority.issue({
    name: `kubelet-serving-${node.number}`,
    commonName: `system:node:${node.name}`,
    organization: 'system:nodes',
    hosts: [node.address, node.name],
  });
  const kubeconfig = await writeKubeconfig(authority, `kubelet-${node.number}`, {
    commonName: `system:node:${node.name}`,
    organization: 'system:nodes',
  });
  const resolvConf = join(node.folder, 'resolv.conf');
  const config = join(node.folder, 'kubelet.json');
  const kubeletConfig = {
    kind: 'KubeletConfiguration',
    apiVersion: 'kubelet.config.k8s.io/v1beta1',
    address: node.address,
    authentication: {
      anonymous: { enabled: false },
      webhook: { enabled: true },
      x509: { clientCAFile: authority.files.certificate },
    },
    authorization: { mode: 'Webhook' },
    tlsCertFile: serving.certificate,
    tlsPrivateKeyFile: serving.key,
    containerRuntimeEndpoint: `unix://${node.containerdSocket}`,
    cgroupDriver: 'cgroupfs',
    cgroupRoot: `/${node.cgroup}`,
    failCgroupV1: false,
    failSwapOn: false,
    clusterDomain: CLUSTER_DOMAIN,
    clusterDNS: [DNS_SERVICE_ADDRESS],
    resolvConf,
    podLogsDir: join(node.folder, 'pod-logs'),
    maxPods: 500,
    // A disk that is nearly full must not end the tests' pods, nor take away images that nobody can pull again.
    evictionHard: { 'memory.available': '50Mi', 'nodefs.available': '1Mi', 'imagefs.available': '1Mi' },
    imageGCHighThresholdPercent: 100,
    imageGCLowThresholdPercent: 99,
  };
  writeFileSync(resolvConf, hostResolvConf());
  writeFileSync(config, JSON.stringify(kubeletConfig, null, 2));
  startDaemon(
    state,
    inNode(node, {
      name: `kubelet-${node.number}`,
      command: [
        program('kubelet'),
        `--config=${config}`,
        `--kubeconfig=${kubeconfig}`,
        `--hostname-override=${node.name}`,
        `--node-ip=${node.address}`,
        `--root-dir=${join(node.folder, 'kubelet')}`,
        `--cert-dir=${join(node.folder, 'kubelet-pki')}`,
      ],
    }),
  );
}

export async function startKubeProxy(
  state: State,
  node: ClusterNode,
  authority: Authority,
  mode: ProxyMode,
): Promise<void> {
  const kubeconfig = await writeKubeconfig(authority, 'kube-proxy', { commonName: 'system:kube-proxy' });
  const config = join(node.folder, 'kube-proxy.json');
  const proxyConfig = {
    kind: 'KubeProxyConfiguration',
    apiVersion: 'kubeproxy.config.k8s.io/v1alpha1',
    bindAddress: node.address,
    healthzBindAddress: `${node.address}:${PROXY_HEALTH_PORT}`,
    metricsBindAddress: `${node.address}:10249`,
    clientConnection: { kubeconfig },
    clusterCIDR: POD_NETWORK,
    hostnameOverride: node.name,
    mode,
    // A sandbox may not change the sizes of the kernel's tables.
    conntrack: { maxPerCore: 0 },
  };
  writeFileSync(config, JSON.stringify(proxyConfig, null, 2));
  const command = [program('kube-proxy'), `--config=${config}`];
  startDaemon(state, inNode(node, { name: `kube-proxy-${node.number}`, command }));
}

/** Resolves when its rules are in the kernel. */
export async function untilProxyReady(state: State, node: ClusterNode): Promise<void> {
  await untilUp(state, `kube-proxy-${node.number}`, async () => {
    const url = `http://${node.address}:${PROXY_HEALTH_PORT}/healthz`;
    return fetch(url, { signal: AbortSignal.timeout(1_000) }).then(
      ({ ok }) => ok,
      () => false,
    );
  });
}

interface NodeObject {
  status?: { conditions?: { type: string; status: string; message: string }[] };
}

/** Throws with the node's own words when it is not ready in time. */
export async function untilNodeReady(node: ClusterNode, timeoutMs = 60_000): Promise<void> {
  let words = 'it has not registered';
  await until(
    `${node.name} ready`,
    async () => {
      const object = await readObject<NodeObject>(`/api/v1/nodes/${node.name}`);
      const ready = object?.status?.conditions?.find(({ type }) => type === 'Ready');
      words = ready?.message ?? words;
      return ready?.status === 'True';
    },
    { timeoutMs, everyMs: 100 },
  ).catch((error: unknown) => {
    throw new Error(`${node.name} is not ready: ${words}`, { cause: error });
  });
}

function inNode(node: ClusterNode, daemon: Daemon): Daemon {
  const env = { PATH: '/usr/sbin:/usr/bin:/sbin:/bin', ...daemon.env };
  if (node.networkNamespace === null) return { ...daemon, env };
  return { ...daemon, env, networkNamespace: node.networkNamespace, hostname: node.name };
}

/** The machine's name servers for what is outside of the cluster; a loopback address means nothing inside of a pod. */
function hostResolvConf(): string {
  const lines = readFileSync('/etc/resolv.conf', 'utf8').split('\n');
  return `${lines.filter((line) => /^nameserver\s+(?!127\.|::1)/.test(line)).join('\n')}\n`;
}

function containerdConfig(node: ClusterNode): string {
  const cri = 'plugins."io.containerd.grpc.v1.cri"';
  const quoted = (path: string): string => JSON.stringify(join(node.folder, path));
  return `version = 2
root = ${quoted('containerd/root')}
state = ${quoted('containerd/state')}
disabled_plugins = ["io.containerd.snapshotter.v1.aufs", "io.containerd.snapshotter.v1.btrfs", "io.containerd.snapshotter.v1.devmapper", "io.containerd.snapshotter.v1.zfs", "io.containerd.tracing.processor.v1.otlp"]

[grpc]
  address = ${JSON.stringify(node.containerdSocket)}

[plugins."io.containerd.internal.v1.opt"]
  path = ${quoted('containerd/opt')}

[${cri}]
  sandbox_image = ${JSON.stringify(PAUSE_IMAGE)}
  # A sandbox may lack CAP_SYS_RESOURCE, without which nothing can take a negative oom_score_adj.
  restrict_oom_score_adj = true
  netns_mounts_under_state_dir = true
  stream_server_address = ${JSON.stringify(node.address)}

[${cri}.cni]
  bin_dir = ${JSON.stringify(CNI_PROGRAMS)}
  conf_dir = ${quoted('cni')}

[${cri}.containerd]
  snapshotter = "overlayfs"
  default_runtime_name = "runc"

[${cri}.containerd.runtimes.runc]
  runtime_type = "io.containerd.runc.v2"

[${cri}.containerd.runtimes.runc.options]
  Root = ${quoted('containerd/runc')}
  SystemdCgroup = false
`;
}

function cniConfig(node: ClusterNode): string {
  const bridge = {
    type: 'bridge',
    bridge: node.podBridge,
    isGateway: true,
    isDefaultGateway: true,
    // network.ts masquerades, and only what leaves the cluster.
    ipMasq: false,
    hairpinMode: true,
    ipam: { type: 'host-local', ranges: [[{ subnet: node.podRange }]], dataDir: join(node.folder, 'cni-addresses') },
  };
  return JSON.stringify({ cniVersion: '0.4.0', name: 'dormouse', plugins: [bridge] }, null, 2);
}
