/** Brings the cluster up, step by step; what runs already stays. */
import { mkdirSync } from 'node:fs';
import { isApiReady } from './api.ts';
import { startControlPlane } from './control-plane.ts';
import { isRunning } from './daemons.ts';
import { ensureDebianPackages } from './debian.ts';
import { takeDown } from './down.ts';
import { ensureBridge } from './network.ts';
import { MAX_NODES } from './node-plan.ts';
import { LOGS } from './places.ts';
import { ensureBuilt } from './programs.ts';
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

async function bringUpLocked(wanted: Partial<UpOptions>): Promise<UpResult> {
  const startedAt = performance.now();
  const steps: string[] = [];
  const state = (await healthyState()) ?? newState(wanted);
  const done = (step: string): void => {
    steps.push(step);
    writeState(state);
  };

  if (!isRunning(state, 'kube-apiserver')) {
    ensureDebianPackages();
    await ensureBuilt(['etcd', 'kubernetes']);
    await takeDown();
    mkdirSync(LOGS, { recursive: true });
    writeState(state);
    await ensureBridge();
    await startControlPlane(state);
    done('control plane');
  }
  return { steps, seconds: (performance.now() - startedAt) / 1000 };
}

function newState(wanted: Partial<UpOptions>): State {
  return {
    startedAt: new Date().toISOString(),
    proxyMode: wanted.proxyMode ?? DEFAULTS.proxyMode,
    nodes: 0,
    keda: false,
    gatewayApi: false,
    processes: {},
  };
}

/** Null when there is no cluster, or one of its processes has ended. */
async function healthyState(): Promise<State | null> {
  const state = readState();
  if (state === null) return null;
  const names = Object.keys(state.processes);
  if (names.length === 0 || !names.every((name) => isRunning(state, name))) return null;
  return (await isApiReady(5_000)) ? state : null;
}
