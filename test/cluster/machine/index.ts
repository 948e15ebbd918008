/** What tests use of the cluster. */
import { spawn } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { setTimeout as delay } from 'node:timers/promises';
import { adminCredentials, callApi, isApiReady, readObject, type ApiAnswer, type ApiOptions } from './api.ts';
import { applyObjects, kubectl } from './control-plane.ts';
import { signalProcess, startAgain, stopProcess, untilUp } from './daemons.ts';
import { compactEtcd } from './etcd.ts';
import { buildImage, loadImage } from './image.ts';
import { buildAppImage, buildDormouseImage } from './images.ts';
import { KEDA_NAMESPACE, untilKedaReady } from './keda.ts';
import { cutOff } from './network.ts';
import { ADMIN_KUBECONFIG, API_SERVER_URL, CONTROL_PLANE_ADDRESS, POD_NETWORK } from './places.ts';
import { ensureBuilt, program } from './programs.ts';
import { run, runToEnd, until, type RunResult } from './run.ts';
import { readState, withLock } from './state.ts';
import { bringUp, type UpOptions } from './up.ts';

export { appObjects, type AppOptions } from './app-objects.ts';
export { APP_IMAGE, DORMOUSE_IMAGE } from './images.ts';
export { buildImage, loadImage, run, until };
export type { UpOptions } from './up.ts';

export interface ClusterOptions extends Partial<UpOptions> {
  /** Built from this checkout, where they aren't built yet, and loaded into all nodes. Default: the test application, none without nodes. */
  images?: readonly ('app' | 'dormouse')[];
}

export interface TestNamespace extends AsyncDisposable {
  readonly name: string;
  apply(objects: string | readonly object[]): Promise<void>;
  /** In this namespace. */
  kubectl(...args: string[]): Promise<string>;
}

/** The running cluster; it is brought up when it is not, and what `options` want is added to it. It stays up afterwards. */
export async function ensureCluster(options: ClusterOptions = {}): Promise<Cluster> {
  const { images, ...wanted } = options;
  await bringUp(wanted);
  const nodes = readState()?.nodes ?? 0;
  for (const image of images ?? (nodes === 0 || options.nodes === 0 ? [] : ['app' as const]))
    await loadImage(await (image === 'app' ? buildAppImage() : buildDormouseImage()));
  return new Cluster();
}

export class Cluster {
  readonly kubeconfigPath = ADMIN_KUBECONFIG;
  readonly server = API_SERVER_URL;
  /** PEM. */
  readonly ca: string;
  /** PEM, of a user who may do everything. */
  readonly clientCertificate: string;
  readonly clientKey: string;
  /** Of the machine in the cluster's network: what listens there can be reached from pods. */
  readonly nodeAddress = CONTROL_PLANE_ADDRESS;
  readonly podNetwork = POD_NETWORK;

  constructor() {
    const { ca, cert, key } = adminCredentials();
    this.ca = ca;
    this.clientCertificate = cert;
    this.clientKey = key;
  }

  /** How it ended, whatever that was. */
  kubectl(args: readonly string[], input?: string, timeoutMs = 60_000): Promise<RunResult> {
    return runToEnd([program('kubectl'), `--kubeconfig=${ADMIN_KUBECONFIG}`, ...args], {
      ...(input === undefined ? {} : { input }),
      timeoutMs,
    });
  }

  /** helm, built from its Go module when it isn't yet; how it ended, whatever that was. */
  async helm(args: readonly string[], timeoutMs = 120_000): Promise<RunResult> {
    await ensureBuilt(['helm']);
    return runToEnd([program('helm'), ...args], { env: { KUBECONFIG: ADMIN_KUBECONFIG }, timeoutMs });
  }

  /** Server-side apply; throws with what the API server says. */
  apply(objects: string | readonly object[]): Promise<void> {
    return applyObjects(objects);
  }

  /** Straight to the API server as the administrator: any answer, within 10 s. */
  request(method: string, path: string, options?: ApiOptions): Promise<ApiAnswer> {
    return callApi(method, path, options);
  }

  /** An object by its path, null when there is none. */
  read<T = Record<string, unknown>>(path: string): Promise<T | null> {
    return readObject<T>(path);
  }

  /** By its scale subresource; `path` is that of the object. */
  async scale(path: string, replicas: number): Promise<void> {
    const contentType = 'application/merge-patch+json';
    const { status, body } = await callApi('PATCH', `${path}/scale`, { body: { spec: { replicas } }, contentType });
    if (status !== 200) throw new Error(`${path}/scale: ${status} ${body}`);
  }

  /** A namespace with a name of its own, which is deleted, without waiting for it, at the end of its scope (`await using`). */
  async namespace(prefix = 'test'): Promise<TestNamespace> {
    const name = `${prefix}-${randomBytes(4).toString('hex')}`;
    await kubectl(['create', 'namespace', name]);
    return {
      name,
      apply: async (objects) => {
        const text =
          typeof objects === 'string' ? objects : objects.map((object) => JSON.stringify(object)).join('\n---\n');
        await kubectl(['-n', name, 'apply', '--server-side', '--force-conflicts', '-f', '-'], text);
      },
      kubectl: (...args) => kubectl(['-n', name, ...args]),
      [Symbol.asyncDispose]: async () => {
        await this.kubectl(['delete', 'namespace', name, '--wait=false']);
      },
    };
  }

  /** Killed and started again, `downMs` later: connections are refused meanwhile. Resolves when it is ready. */
  restartApiServer({ downMs = 0 }: { downMs?: number } = {}): Promise<void> {
    return withLock(async () => {
      const state = readState()!;
      await stopProcess(state.processes['kube-apiserver']!, 0);
      await delay(downMs);
      startAgain(state, 'kube-apiserver');
      await untilUp(state, 'kube-apiserver', isApiReady);
    });
  }

  /** Stopped for that long with its connections open: nothing is answered, nothing refused. It goes on even when this process ends before. */
  pauseApiServer(ms: number): Promise<void> {
    return withLock(async () => {
      const apiServer = readState()!.processes['kube-apiserver']!;
      const guard = spawn('sh', ['-c', `sleep ${ms / 1000 + 2}; kill -CONT ${apiServer.pid}`], {
        detached: true,
        stdio: 'ignore',
      });
      guard.unref();
      signalProcess(apiServer, 'SIGSTOP');
      await delay(ms);
      signalProcess(apiServer, 'SIGCONT');
    });
  }

  /** Packets from there to the API server are dropped for that long, others are not: by default those of all pods. Resolves when they pass again. */
  async cutApiServer(ms: number, from: string = POD_NETWORK): Promise<void> {
    await cutOff(from, ms);
    await delay(ms);
  }

  /** Its pods are deleted; resolves when new ones answer. */
  async restartKeda(): Promise<void> {
    await kubectl(['-n', KEDA_NAMESPACE, 'delete', 'pods', '--all']);
    await untilKedaReady();
  }

  /** Everything but the newest revision of each object is gone from etcd: who lists or watches from an older one is told 410. */
  async compactEtcd(): Promise<void> {
    await compactEtcd();
  }
}
