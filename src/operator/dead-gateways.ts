/**
 * Gateways that ended without a word, found before the kubelet says so: the link of one that was killed ends at once, and its pod refuses connections. Taken out of slices then, it costs new connections as long as kube-proxy
 * takes to follow, and not the kubelet's time besides.
 */
import net from 'node:net';
import type { GatewayPod } from './gateway-pods.ts';

/** A pod that says nothing within this time, ms, is not known to be dead: a network policy may be in the way. */
const LOOK_MS = 1000;

export interface DeadGatewaysOptions {
  /** Names of gateways on the link. */
  linked: () => ReadonlySet<string>;
  /** Pods that the kubelet calls ready. */
  ready: () => readonly GatewayPod[];
  /** What `has` says is other now. */
  changed: () => void;
}

export class DeadGateways {
  readonly #options: DeadGatewaysOptions;
  #linked: ReadonlySet<string> = new Set();
  /** Pods' uids; at most as many as there are ready pods. */
  readonly #dead = new Set<string>();
  readonly #ended = new AbortController();

  constructor(options: DeadGatewaysOptions) {
    this.#options = options;
  }

  has(uid: string): boolean {
    return this.#dead.has(uid);
  }

  /** Links or pods have changed. A gateway that is back on the link is alive; one that isn't ready is the kubelet's to judge again. */
  look(): void {
    const before = this.#linked;
    this.#linked = this.#options.linked();
    const ready = this.#options.ready();
    const suspects = ready.filter(({ name }) => before.has(name) && !this.#linked.has(name));
    for (const uid of this.#dead)
      if (!ready.some((pod) => pod.uid === uid && !this.#linked.has(pod.name))) this.#dead.delete(uid);
    for (const pod of suspects) void this.#lookAt(pod);
  }

  close(): void {
    this.#ended.abort();
  }

  async #lookAt({ name, uid, ipv4, ipv6, port }: GatewayPod): Promise<void> {
    const host = ipv4 ?? ipv6;
    if (host === null || port === null || !(await isRefused(host, port, this.#ended.signal))) return;
    if (this.#ended.signal.aborted || this.#linked.has(name)) return;
    this.#dead.add(uid);
    this.#options.changed();
  }
}

/** Whether somebody answers at the address that nobody listens there. */
function isRefused(host: string, port: number, signal: AbortSignal): Promise<boolean> {
  return new Promise((resolve) => {
    const socket = net.connect({ host, port, signal, timeout: LOOK_MS });
    const done = (refused: boolean): void => {
      socket.destroy();
      resolve(refused);
    };
    socket.once('connect', () => done(false));
    socket.once('timeout', () => done(false));
    // `on`: destroying it on an abort may tell an error later.
    socket.on('error', (error: NodeJS.ErrnoException) => done(error.code === 'ECONNREFUSED'));
  });
}
