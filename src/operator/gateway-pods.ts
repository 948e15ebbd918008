/** Which gateway pods may stand in for a Service: those that run, are ready, and have the configuration in force. */
import type { Informer } from '../kubernetes/client.ts';
import type { SliceEndpoint } from '../kubernetes/endpoint-slices.ts';
import type { Pod } from './kinds.ts';

/** As the chart names the port of probes and metrics. */
const OBSERVE_PORT = 'observe';

export interface GatewayPod {
  /** The pod's name, under which it greets the controller. */
  name: string;
  namespace: string;
  uid: string;
  nodeName: string;
  ipv4: string | null;
  ipv6: string | null;
  /** A port at which the gateway accepts connections whenever it runs; null: its pod names none. */
  port: number | null;
}

export class GatewayPods {
  readonly #pods: Informer<Pod>;
  /** Names of gateways on the link that have the configuration in force and are not leaving. */
  readonly #inForce: () => ReadonlySet<string>;
  /** Whether connections to a pod are refused though the kubelet does not say so yet. */
  readonly #isDead: (uid: string) => boolean;

  /** `pods`: of gateways only. */
  constructor(pods: Informer<Pod>, inForce: () => ReadonlySet<string>, isDead: (uid: string) => boolean) {
    this.#pods = pods;
    this.#inForce = inForce;
    this.#isDead = isDead;
  }

  /** Calls back when pods change. */
  onChange(listener: () => void): () => void {
    return this.#pods.onChange(listener);
  }

  /** Running pods that the kubelet calls ready. */
  get ready(): GatewayPod[] {
    const ready: GatewayPod[] = [];
    for (const { metadata, spec, status } of this.#pods.list()) {
      if (metadata.deletionTimestamp !== undefined || !isReady(status)) continue;
      const ips = status.podIPs?.map(({ ip }) => ip) ?? [status.podIP ?? ''];
      const ports = spec.containers?.flatMap((container) => container.ports ?? []) ?? [];
      ready.push({
        name: metadata.name,
        namespace: metadata.namespace ?? '',
        uid: metadata.uid,
        nodeName: spec.nodeName ?? '',
        ipv4: ips.find((ip) => ip.includes('.')) ?? null,
        ipv6: ips.find((ip) => ip.includes(':')) ?? null,
        port: ports.find(({ name }) => name === OBSERVE_PORT)?.containerPort ?? null,
      });
    }
    return ready.sort((a, b) => (a.name < b.name ? -1 : 1));
  }

  /** Those of `ready` that are there indeed; whether each may be listed anew. */
  present(): { pod: GatewayPod; listens: boolean }[] {
    const inForce = this.#inForce();
    return this.ready.filter(({ uid }) => !this.#isDead(uid)).map((pod) => ({ pod, listens: inForce.has(pod.name) }));
  }

  /** Differs when `endpoints` may give something else. */
  get mark(): string {
    return this.present()
      .map(({ pod: { uid, ipv4, ipv6 }, listens }) => `${uid} ${ipv4} ${ipv6} ${listens}`)
      .join();
  }

  /** Ready pods that are listening on what the configuration says. */
  get listening(): number {
    return this.present().filter(({ listens }) => listens).length;
  }

  /**
   * What a slice should list. A pod that is listed already stays while it runs, also when its link is down: it goes on serving, and a leader that has just
   * begun has not met it yet.
   */
  endpoints(family: 'IPv4' | 'IPv6', listed: ReadonlySet<string>): SliceEndpoint[] {
    return this.present().flatMap(({ pod, listens }) => {
      const address = family === 'IPv4' ? pod.ipv4 : pod.ipv6;
      if (address === null || (!listens && !listed.has(address))) return [];
      return [
        {
          addresses: [address],
          conditions: { ready: true, serving: true, terminating: false },
          ...(pod.nodeName === '' ? {} : { nodeName: pod.nodeName }),
          targetRef: { kind: 'Pod', namespace: pod.namespace, name: pod.name, uid: pod.uid },
        },
      ];
    });
  }
}

function isReady(status: Pod['status']): boolean {
  return status.conditions?.some(({ type, status: is }) => type === 'Ready' && is === 'True') ?? false;
}
