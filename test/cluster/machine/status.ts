/** What runs, for people. */
import { isApiReady, readObject } from './api.ts';
import { isRunning } from './daemons.ts';
import { ADMIN_KUBECONFIG, API_SERVER_URL } from './places.ts';
import { residentBytes } from './process-identity.ts';
import { readState } from './state.ts';

interface NodeList {
  items: { metadata: { name: string }; status: { conditions?: { type: string; status: string }[] } }[];
}

export async function statusText(): Promise<{ text: string; healthy: boolean }> {
  const state = readState();
  if (state === null) return { text: 'no cluster is up', healthy: false };
  const ready = await isApiReady();
  const nodes = ready ? ((await readObject<NodeList>('/api/v1/nodes'))?.items ?? []) : [];
  const isReady = (node: NodeList['items'][number]): boolean =>
    node.status.conditions?.some(({ type, status }) => type === 'Ready' && status === 'True') ?? false;
  const names = Object.keys(state.processes);
  const lines = [
    `API server   ${API_SERVER_URL} ${ready ? 'ready' : 'NOT READY'}, since ${state.startedAt}`,
    `kubeconfig   ${ADMIN_KUBECONFIG}`,
    `nodes        ${nodes.map((node) => `${node.metadata.name} ${isReady(node) ? 'ready' : 'NOT READY'}`).join(', ') || 'none'}`,
    `kube-proxy   ${state.nodes > 0 ? state.proxyMode : 'none'}`,
    `added        ${[state.keda ? 'KEDA' : '', state.gatewayApi ? 'Gateway API' : ''].filter(Boolean).join(', ') || 'nothing'}`,
    `images       ${Object.keys(state.images).join(', ') || 'none'}`,
    ...names.map((name) => {
      const { pid } = state.processes[name]!;
      const memory = `${Math.round(residentBytes(pid) / 1_000_000)} MB`;
      return `  ${name.padEnd(26)} ${isRunning(state, name) ? `${String(pid).padStart(7)} ${memory.padStart(7)}` : 'ENDED'}`;
    }),
  ];
  const healthy = ready && nodes.every(isReady) && names.every((name) => isRunning(state, name));
  return { text: lines.join('\n'), healthy };
}
