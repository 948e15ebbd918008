/** A Gateway of a test's own namespace on the installed gateways, routes, and clients that ask for hosts of that namespace alone. */
import { request as httpRequest, type IncomingHttpHeaders } from 'node:http';
import { request as httpsRequest } from 'node:https';
import type { KubernetesObject, Resource } from '../../../src/kubernetes/client.ts';
import type { Condition } from '../../../src/operator/backend-object.ts';
import { SELECTOR_KEY } from '../../../src/operator/redirect.ts';
import { INSTALLATION_NAMESPACE } from '../fixtures/installation.ts';
import { Objects } from '../fixtures/objects.ts';
import { backendObject, type Guarded, type GuardedOptions, type Scene } from '../fixtures/scene.ts';
import { until } from '../machine/index.ts';

const GROUP = 'gateway.networking.k8s.io';
const GATEWAYS: Resource = { group: GROUP, version: 'v1', plural: 'gateways', namespaced: true, kind: 'Gateway' };

interface Told extends KubernetesObject {
  status?: {
    parents?: { conditions: Condition[] }[];
    ancestors?: { ancestorRef: { name: string; sectionName?: string }; conditions: Condition[] }[];
    conditions?: Condition[];
  };
}

export interface Answer {
  status: number;
  headers: IncomingHttpHeaders;
  text: string;
}

export interface Asked {
  method?: string;
  path?: string;
  headers?: Record<string, string>;
  body?: string;
  /** PEM: asked over TLS, and believed by this. */
  ca?: string;
}

export class Edge {
  readonly scene: Scene;
  /** The gateways' Service. */
  readonly address: string;
  readonly gateways: Objects<Told>;
  readonly #watched = new Map<string, Promise<Objects<Told>>>();
  readonly #ending: AbortController;

  private constructor(scene: Scene, address: string, gateways: Objects<Told>, ending: AbortController) {
    this.scene = scene;
    this.address = address;
    this.gateways = gateways;
    this.#ending = ending;
  }

  /** Resolves when the Gateway `edge` is programmed. */
  static async open(scene: Scene, listeners: object[]): Promise<Edge> {
    const { cluster, namespace, client } = scene;
    const service = await cluster.read<{ spec: { clusterIP: string } }>(
      `/api/v1/namespaces/${INSTALLATION_NAMESPACE}/services/dormouse-gateway`,
    );
    await namespace.apply([
      {
        apiVersion: `${GROUP}/v1`,
        kind: 'Gateway',
        metadata: { name: 'edge' },
        spec: { gatewayClassName: 'dormouse', listeners },
      },
    ]);
    const ending = new AbortController();
    const gateways = await Objects.watch<Told>(client, GATEWAYS, namespace.name, ending.signal);
    await gateways.until('Gateway edge programmed', () =>
      gateways.get('edge')?.status?.conditions?.some(({ type, status }) => type === 'Programmed' && status === 'True'),
    );
    return new Edge(scene, service!.spec.clusterIP, gateways, ending);
  }

  host(name: string): string {
    return `${name}.${this.scene.namespace.name}.example`;
  }

  /** Resolves when it is accepted; its host is that of its name. */
  async route(name: string, rules: object[], kind: 'HTTPRoute' | 'GRPCRoute' = 'HTTPRoute'): Promise<void> {
    const spec = { parentRefs: [{ name: 'edge' }], hostnames: [this.host(name)], rules };
    await this.scene.namespace.apply([{ apiVersion: `${GROUP}/v1`, kind, metadata: { name }, spec }]);
    await this.untilTold(kind, name, 'Accepted');
  }

  /**
   * An application and its Backend, asleep; with `route` its only way in is a route of its name. Backend and route are there before the Service: gateways never know the
   * route with the Service's own pods, of which there are none.
   */
  async sleeping(options: GuardedOptions & { route?: boolean }): Promise<Guarded> {
    const { route = true, backend, ...rest } = options;
    const { name } = options;
    // The route is the idle source.
    await this.scene.namespace.apply([backendObject(name, { idle: undefined, ...backend })]);
    if (route) await this.route(name, [{ backendRefs: [{ name, port: 80 }] }]);
    const guarded = await this.scene.guarded({ replicas: 0, ...rest, backend: null });
    await this.untilAsleep(guarded);
    return guarded;
  }

  untilAsleep(guarded: Guarded): Promise<unknown> {
    return this.scene.backends.until(
      `${guarded.name} asleep behind its route`,
      () =>
        guarded.object?.status?.state === 'asleep' &&
        guarded.replicas === 0 &&
        guarded.condition('ServiceReady')?.reason === 'Routed',
    );
  }

  /** The condition of an object's only parent, ancestor, or of itself, once it is so and of its present generation. */
  async untilTold(kind: string, name: string, type: string, status = 'True', reason?: string): Promise<Condition> {
    const objects = await this.#objects(kind);
    return objects.until(`${kind} ${name}: ${type}=${status} ${reason ?? ''}`, () => {
      const { status: told, metadata } = objects.get(name) ?? {};
      const all = [
        ...(told?.conditions ?? []),
        ...[...(told?.parents ?? []), ...(told?.ancestors ?? [])].flatMap(({ conditions }) => conditions),
      ];
      return all.find(
        (one) =>
          one.type === type &&
          one.status === status &&
          one.observedGeneration === metadata?.generation &&
          (reason === undefined || one.reason === reason),
      );
    });
  }

  #objects(kind: string): Promise<Objects<Told>> {
    let watched = this.#watched.get(kind);
    if (watched === undefined) {
      const [group, version] = groupOf(kind);
      const plural = kind === 'RoutePolicy' ? 'routepolicies' : `${kind.toLowerCase()}s`;
      watched = Objects.watch<Told>(
        this.scene.client,
        { group, version, plural, kind, namespaced: true },
        this.scene.namespace.name,
        this.#ending.signal,
      );
      this.#watched.set(kind, watched);
    }
    return watched;
  }

  /** One request on a connection of its own. */
  ask(name: string, asked: Asked = {}): Promise<Answer> {
    return ask(this.address, this.host(name), asked);
  }

  /** Repeated until the route and its Service are in force in the gateway that has it: before, nobody has its host, or it leads nowhere. */
  untilRouted(name: string, asked: Asked = {}): Promise<Answer> {
    return until(`${name} is routed`, async () => {
      const answer = await this.ask(name, asked);
      return answer.status === 404 || answer.status === 500 ? null : answer;
    });
  }

  /** As untilRouted, of every gateway: connections are spread over them by chance, 24 in a row leave a 404 of one of two unseen once in sixteen million times. */
  async untilRoutedEverywhere(name: string, asked: Asked = {}): Promise<void> {
    await until(`${name} is routed by every gateway`, async () => {
      for (let number = 0; number < 24; number++) {
        const { status } = await this.ask(name, asked);
        if (status === 404 || status === 500) return null;
      }
      return true;
    });
  }

  close(): void {
    this.#ending.abort();
  }
}

function groupOf(kind: string): [string, string] {
  return kind === 'RouteFilter' || kind === 'RoutePolicy' ? ['dormouse.dev', 'v1alpha1'] : [GROUP, 'v1'];
}

function ask(
  address: string,
  host: string,
  { method = 'GET', path = '/', headers = {}, body, ca }: Asked,
): Promise<Answer> {
  return new Promise((resolve, reject) => {
    const options = {
      host: address,
      method,
      path,
      headers: { host, connection: 'close', ...headers },
      agent: false,
      signal: AbortSignal.timeout(60_000),
    } as const;
    const outgoing =
      ca === undefined
        ? httpRequest({ ...options, port: 80 })
        : httpsRequest({ ...options, port: 443, servername: host, ca });
    outgoing.once('error', reject);
    outgoing.once('response', (response) => {
      let text = '';
      response.setEncoding('utf8').on('data', (chunk: string) => (text += chunk));
      response.once('error', reject);
      response.once('end', () => resolve({ status: response.statusCode ?? 0, headers: response.headers, text }));
    });
    outgoing.end(body);
  });
}

/** Collects whether its Service's selector was ever touched; end it with what it returns. */
export function watchSelector(guarded: Guarded): () => boolean {
  let touched = guarded.selector[SELECTOR_KEY] !== undefined;
  const stop = guarded.scene.services.onChange(({ metadata, spec }) => {
    if (metadata.name === guarded.name && spec.selector?.[SELECTOR_KEY] !== undefined) touched = true;
  });
  return () => {
    stop();
    return touched;
  };
}
