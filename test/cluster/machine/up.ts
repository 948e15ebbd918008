/** Brings the cluster up, step by step; what runs already stays. */
import { mkdirSync } from 'node:fs';
import { isApiReady } from './api.ts';
import { applyObjects, kubectl, openAuthority, startControlPlane } from './control-plane.ts';
import { corednsObjects } from './coredns.ts';
import { isRunning, startAgain, stopDaemon, untilUp } from './daemons.ts';
import { ensureDebianPackages } from './debian.ts';
import { takeDown } from './down.ts';
import { installGatewayApi } from './gateway-api.ts';
import { loadIntoNodes } from './image.ts';
import { buildCorednsImage, buildKedaImages, buildPauseImage } from './images.ts';
import { installKeda, untilKedaReady } from './keda.ts';
import { ensureBridge, ensureNodeNetwork, ensureRoutes } from './network.ts';
import { startContainerd, startKubelet, startKubeProxy, untilNodeReady, untilProxyReady } from './node.ts';
import { MAX_NODES, planNodes, type ClusterNode } from './node-plan.ts';
import { LOGS } from './places.ts';
import { ensureBuilt, program } from './programs.ts';
import { runToEnd } from './run.ts';
import { readState, withLock, writeState, type ProxyMode, type State } from './state.ts';

export interface UpOptions {
  /** 0: the control plane alone. */
  nodes: number;
  proxyMode: ProxyMode;
  keda: boolean;
  gatewayApi: boolean;
}

export const DEFAULTS: Readonly<UpOptions> = { nodes: 1, proxyMode: 'nftables', keda: true, gatewayApi: true };

export interface UpResult {
  /** What this call has brought up; empty when everything was there. */
  steps: string[];
  seconds: number;
}

/**
 * Makes the cluster have at least what `wanted` says: more nodes, KEDA or the Gateway API's kinds are added to one that runs, another proxy mode replaces the one it has;
 * what `wanted` leaves out stays as it is. One of which a process has ended, or that does not answer, is taken down and made anew.
 */
export async function bringUp(wanted: Partial<UpOptions>): Promise<UpResult> {
  if (wanted.nodes !== undefined && (!Number.isInteger(wanted.nodes) || wanted.nodes < 0 || wanted.nodes > MAX_NODES))
    throw new Error(`nodes must be a whole number from 0 to ${MAX_NODES}, not ${wanted.nodes}`);
  return withLock(() => bringUpLocked(wanted));
}

const API_SERVER_TIMEOUT_MS = 60_000;

async function bringUpLocked(wanted: Partial<UpOptions>): Promise<UpResult> {
  const startedAt = performance.now();
  const steps: string[] = [];
  const state = (await runningState()) ?? newState(wanted);
  const options = {
    ...DEFAULTS,
    ...wanted,
    nodes: Math.max(state.nodes, wanted.nodes ?? DEFAULTS.nodes),
    proxyMode: wanted.proxyMode ?? state.proxyMode,
  };
  const newNodes = planNodes(options.nodes).slice(state.nodes);
  const withKeda = options.keda && !state.keda && options.nodes > 0;
  const withGatewayApi = options.gatewayApi && !state.gatewayApi;
  const isNew = Object.keys(state.processes).length === 0;

  if (isNew || newNodes.length > 0) ensureDebianPackages();
  if (isNew) {
    await ensureBuilt(['etcd', 'kubernetes']);
    await takeDown();
    mkdirSync(LOGS, { recursive: true });
    writeState(state);
    await ensureBridge();
  }
  // What the machine has to do for the nodes goes on while the API server starts.
  const controlPlane = isNew ? startControlPlane(state) : Promise.resolve();
  const runtimes = startRuntimes(state, newNodes);
  await settled([controlPlane, runtimes]);
  if (isNew) steps.push('control plane');

  const tasks: Promise<void>[] = [];
  if (newNodes.length > 0) {
    tasks.push(startNodes(state, newNodes, options.proxyMode));
    if (state.nodes === 0) tasks.push(applyObjects(corednsObjects()));
  }
  if (withGatewayApi) tasks.push(installGatewayApi());
  await settled(tasks);
  if (withGatewayApi) steps.push('Gateway API');
  if (newNodes.length > 0) steps.push(`${newNodes.length} node${newNodes.length > 1 ? 's' : ''}`);
  state.nodes = options.nodes;
  state.gatewayApi ||= options.gatewayApi;
  writeState(state);

  if (options.proxyMode !== state.proxyMode) {
    await changeProxyMode(state, options.proxyMode);
    steps.push(`kube-proxy with ${options.proxyMode}`);
  }
  if (withKeda) {
    await ensureBuilt(['keda']);
    await loadIntoNodes(state, planNodes(state.nodes), await buildKedaImages());
    await installKeda();
    await untilKedaReady();
    state.keda = true;
    writeState(state);
    steps.push('KEDA');
  }
  if (newNodes.length > 0)
    await kubectl(['-n', 'kube-system', 'wait', '--for=condition=Available', '--timeout=60s', 'deployment/coredns']);
  return { steps, seconds: (performance.now() - startedAt) / 1000 };
}

/** containerd of each node, with the images that every node needs. */
async function startRuntimes(state: State, nodes: readonly ClusterNode[]): Promise<void> {
  if (nodes.length === 0) return;
  await ensureBuilt(['pause', 'coredns']);
  const loaded = Object.entries(state.images).map(([name, archive]) => ({ name, archive }));
  const images = [await buildPauseImage(), await buildCorednsImage(), ...loaded];
  await settled(
    nodes.map(async (node) => {
      await ensureNodeNetwork(node);
      await startContainerd(state, node);
    }),
  );
  await loadIntoNodes(state, nodes, images);
}

async function startNodes(state: State, nodes: readonly ClusterNode[], mode: ProxyMode): Promise<void> {
  const authority = await openAuthority();
  for (const node of nodes) {
    await startKubelet(state, node, authority);
    await startKubeProxy(state, node, authority, mode);
  }
  await ensureRoutes(planNodes(Math.max(...nodes.map(({ number }) => number))));
  await settled(nodes.flatMap((node) => [untilNodeReady(node), untilProxyReady(state, node)]));
}

/** kube-proxy takes away the rules of the mode it had before, then those of the new one are made. */
async function changeProxyMode(state: State, mode: ProxyMode): Promise<void> {
  const authority = await openAuthority();
  for (const node of planNodes(state.nodes)) {
    await stopDaemon(state, `kube-proxy-${node.number}`);
    const enter = node.networkNamespace === null ? [] : ['nsenter', `--net=${node.networkNamespace}`];
    await runToEnd([...enter, program('kube-proxy'), '--cleanup']);
    await startKubeProxy(state, node, authority, mode);
    await untilProxyReady(state, node);
  }
  state.proxyMode = mode;
  writeState(state);
}

/** All of them to their end, so that nothing goes on behind a failure; the first error is thrown then. */
async function settled(tasks: readonly Promise<void>[]): Promise<void> {
  for (const result of await Promise.allSettled(tasks)) if (result.status === 'rejected') throw result.reason;
}

function newState(wanted: Partial<UpOptions>): State {
  return {
    startedAt: new Date().toISOString(),
    proxyMode: wanted.proxyMode ?? DEFAULTS.proxyMode,
    nodes: 0,
    keda: false,
    gatewayApi: false,
    images: {},
    processes: {},
  };
}

/**
 * Null when there is no cluster, or etcd has ended, as after a crash of the machine. Of one that runs, single processes that have ended are started again, and
 * an API server that doesn't answer has some time: a test may have stopped it for a while.
 */
async function runningState(): Promise<State | null> {
  const state = readState();
  if (state === null || !isRunning(state, 'etcd')) return null;
  for (const name of Object.keys(state.processes)) startAgain(state, name);
  try {
    await untilUp(state, 'kube-apiserver', isApiReady, API_SERVER_TIMEOUT_MS);
    return state;
  } catch (error) {
    console.error(`${String(error)}\nmaking the cluster anew`);
    return null;
  }
}
