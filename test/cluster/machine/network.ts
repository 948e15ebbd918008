/** The nodes' network: a bridge with the control plane's address, a network namespace for each further node, routes between pod ranges, masquerading. */
import { existsSync, writeFileSync } from 'node:fs';
import type { ClusterNode } from './node-plan.ts';
import {
  API_SERVER_PORT,
  CONTROL_PLANE_ADDRESS,
  NODE_BRIDGE,
  NODE_NETWORK,
  POD_NETWORK,
  SERVICE_NETWORK,
} from './places.ts';
import { run, runToEnd } from './run.ts';

const NFT_TABLE = 'dormouse-cluster';

/** The bridge and the kernel's settings; nothing when they are there. */
export async function ensureBridge(): Promise<void> {
  await allowForwarding();
  const { code } = await runToEnd(['ip', 'link', 'show', 'dev', NODE_BRIDGE]);
  if (code !== 0) {
    await run(['ip', 'link', 'add', NODE_BRIDGE, 'type', 'bridge']);
    await run(['ip', 'address', 'add', `${CONTROL_PLANE_ADDRESS}/24`, 'dev', NODE_BRIDGE]);
  }
  await run(['ip', 'link', 'set', NODE_BRIDGE, 'up']);
  await ensureServiceRoute();
  await makeRules();
}

/** Where nothing leads out, as in a network of its own, the machine's own connections to Services would be refused before kube-proxy's rules see them. */
async function ensureServiceRoute(): Promise<void> {
  const { code } = await runToEnd(['ip', 'route', 'get', SERVICE_NETWORK.split('/')[0]!]);
  if (code !== 0) await run(['ip', 'route', 'add', SERVICE_NETWORK, 'dev', NODE_BRIDGE, 'src', CONTROL_PLANE_ADDRESS]);
}

async function allowForwarding(): Promise<void> {
  writeFileSync('/proc/sys/net/ipv4/ip_forward', '1');
  // Without it, answers between two pods of one node would go past conntrack, and Services would not work between them.
  const bridged = '/proc/sys/net/bridge/bridge-nf-call-iptables';
  if (!existsSync(bridged)) await run(['modprobe', 'br_netfilter']);
  writeFileSync(bridged, '1');
}

/**
 * Pods and nodes keep their own addresses inside of the cluster, and take the machine's towards everything else. Who is in the set `cut` does not reach the API
 * server; its elements go by themselves after their time.
 */
async function makeRules(): Promise<void> {
  const inside = `{ ${NODE_NETWORK}, ${POD_NETWORK}, ${SERVICE_NETWORK} }`;
  const rules = `
    table ip ${NFT_TABLE}
    delete table ip ${NFT_TABLE}
    table ip ${NFT_TABLE} {
      set cut {
        type ipv4_addr; flags interval, timeout;
      }
      chain input {
        type filter hook input priority filter; policy accept;
        ip saddr @cut ip daddr ${CONTROL_PLANE_ADDRESS} tcp dport ${API_SERVER_PORT} drop
      }
      chain postrouting {
        type nat hook postrouting priority srcnat + 1; policy accept;
        ip saddr { ${NODE_NETWORK}, ${POD_NETWORK} } ip daddr != ${inside} oifname != "lo" masquerade
      }
    }`;
  await run(['nft', '-f', '-'], { input: rules });
}

/** An address or a range reaches the API server no more, for that long. */
export async function cutOff(addresses: string, ms: number): Promise<void> {
  await run(['nft', 'add', 'element', 'ip', NFT_TABLE, 'cut', `{ ${addresses} timeout ${Math.ceil(ms)}ms }`]);
}

/** A node of its own network namespace, joined to the bridge; nothing when it is there. */
export async function ensureNodeNetwork(node: ClusterNode): Promise<void> {
  if (node.networkNamespace === null || existsSync(node.networkNamespace)) return;
  const inside = ['ip', '-n', node.name];
  const outer = `${NODE_BRIDGE}-${node.number}`;
  await run(['ip', 'netns', 'add', node.name]);
  await run(['ip', 'link', 'add', outer, 'type', 'veth', 'peer', 'name', 'eth0', 'netns', node.name]);
  await run(['ip', 'link', 'set', outer, 'master', NODE_BRIDGE, 'up']);
  await run([...inside, 'address', 'add', `${node.address}/24`, 'dev', 'eth0']);
  await run([...inside, 'link', 'set', 'lo', 'up']);
  await run([...inside, 'link', 'set', 'eth0', 'up']);
  await run([...inside, 'route', 'add', 'default', 'via', CONTROL_PLANE_ADDRESS]);
  await run(['ip', 'route', 'replace', node.podRange, 'via', node.address]);
  const settings = 'echo 1 >/proc/sys/net/ipv4/ip_forward; echo 1 >/proc/sys/net/bridge/bridge-nf-call-iptables';
  await run(['nsenter', `--net=${node.networkNamespace}`, 'sh', '-c', settings]);
}

/** Further nodes see each other's pods by the nodes' addresses; the first one is behind their default route. */
export async function ensureRoutes(nodes: readonly ClusterNode[]): Promise<void> {
  for (const from of nodes) {
    if (from.networkNamespace === null) continue;
    for (const to of nodes) {
      if (to.networkNamespace === null || to === from) continue;
      await run(['ip', '-n', from.name, 'route', 'replace', to.podRange, 'via', to.address]);
    }
  }
}

/** Takes away what is there of it. The bridge goes with its routes, a namespace with its links. */
export async function removeNetwork(nodes: readonly ClusterNode[]): Promise<void> {
  for (const node of nodes) {
    if (node.networkNamespace !== null) await runToEnd(['ip', 'netns', 'delete', node.name]);
    else await runToEnd(['ip', 'link', 'delete', node.podBridge]);
  }
  await runToEnd(['ip', 'link', 'delete', NODE_BRIDGE]);
  await runToEnd(['nft', 'delete', 'table', 'ip', NFT_TABLE]);
}
