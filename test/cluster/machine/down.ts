/** Ends everything that a cluster has started on this machine, also what a crash has left. */
import { existsSync, readFileSync, readdirSync, rmSync } from 'node:fs';
import { processesIn, removeCgroups } from './cgroups.ts';
import { signalProcess, stopProcess } from './daemons.ts';
import { removeNetwork } from './network.ts';
import { MAX_NODES, planNodes, type ClusterNode } from './node-plan.ts';
import { RUN_FOLDER } from './places.ts';
import { startTimeOf, type ProcessIdentity } from './process-identity.ts';
import { isBuilt, program } from './programs.ts';
import { runToEnd, until } from './run.ts';
import { readState, type State } from './state.ts';

/** Nothing of the cluster is left afterwards, except what is cached for the next one. Safe to call when nothing runs. */
export async function takeDown(): Promise<void> {
  const state = readableState();
  const nodes = planNodes(MAX_NODES);
  // Who would start something again goes first.
  await stop(state, ['kubelet', 'kube-proxy', 'kube-scheduler', 'kube-controller-manager']);
  await Promise.all(nodes.map(stopContainers));
  await stop(state, ['containerd']);
  await stopShims(nodes);
  await stop(state, ['']);
  await unmountBelow(RUN_FOLDER);
  await removeProxyRules(state);
  await removeNetwork(nodes);
  for (const node of nodes) removeCgroups(node.cgroup);
  rmSync(RUN_FOLDER, { recursive: true, force: true });
}

/** A file that a crash left unfinished names nothing to stop; what runs is still found by its paths and cgroups. */
function readableState(): State | null {
  try {
    return readState();
  } catch {
    return null;
  }
}

async function stop(state: State | null, prefixes: readonly string[]): Promise<void> {
  const chosen = Object.entries(state?.processes ?? {}).filter(([name]) =>
    prefixes.some((prefix) => name.startsWith(prefix)),
  );
  await Promise.all(chosen.map(([, record]) => stopProcess(record, 4_000)));
}

/** Their processes are those of the node's cgroup; containerd, still there, takes the shims away when it hears of it. */
async function stopContainers(node: ClusterNode): Promise<void> {
  if (processesIn(node.cgroup).length === 0) return;
  await until(
    `end of the containers of ${node.name}`,
    () => {
      const left = processesIn(node.cgroup);
      for (const pid of left) kill(pid);
      return left.length === 0;
    },
    { timeoutMs: 20_000, everyMs: 100 },
  );
  await until('shims', () => shimsOf(node).length === 0, { timeoutMs: 3_000 }).catch(() => {});
}

function kill(pid: number): void {
  const startTime = startTimeOf(pid);
  if (startTime !== null) signalProcess({ pid, startTime }, 'SIGKILL');
}

async function stopShims(nodes: readonly ClusterNode[]): Promise<void> {
  await Promise.all(nodes.flatMap(shimsOf).map((shim) => stopProcess(shim, 1_000)));
}

/** containerd's shims outlive it. Those of this cluster name its socket. */
function shimsOf(node: ClusterNode): ProcessIdentity[] {
  return readdirSync('/proc')
    .filter((name) => /^\d+$/.test(name))
    .flatMap((pid) => {
      try {
        const words = readFileSync(`/proc/${pid}/cmdline`, 'utf8').split('\0');
        if (!words[0]?.includes('containerd-shim') || !words.includes(node.containerdSocket)) return [];
        const startTime = startTimeOf(Number(pid));
        return startTime === null ? [] : [{ pid: Number(pid), startTime }];
      } catch {
        return [];
      }
    });
}

async function unmountBelow(folder: string): Promise<void> {
  const points = readFileSync('/proc/self/mountinfo', 'utf8')
    .split('\n')
    .map((line) => (line.split(' ')[4] ?? '').replaceAll('\\040', ' '))
    .filter((point) => point.startsWith(`${folder}/`))
    .toReversed();
  for (let from = 0; from < points.length; from += 100)
    await runToEnd(['umount', '--lazy', ...points.slice(from, from + 100)]);
}

/** Rules of further nodes go with their network namespaces. */
async function removeProxyRules(state: State | null): Promise<void> {
  if ((state?.nodes ?? 0) === 0 && !existsSync(RUN_FOLDER)) return;
  if (isBuilt('kubernetes')) await runToEnd([program('kube-proxy'), '--cleanup'], { timeoutMs: 30_000 });
}
