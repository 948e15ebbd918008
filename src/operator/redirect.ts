/**
 * A Service's traffic, moved to gateways and back. While it is away the Service's selector has a key that no pod carries, so that the cluster's own controller empties the
 * Service's slices, and a slice of ours lists gateways (docs/adr/0009). One merge patch each way: the selector is atomic for server-side apply.
 */
import { isDeepStrictEqual } from 'node:util';
import { isReason } from '../kubernetes/api-error.ts';
import type { Informer, KubernetesClient } from '../kubernetes/client.ts';
import { ENDPOINT_SLICES, SERVICES } from '../kubernetes/resources.ts';
import type { PortAllocation } from './backend-object.ts';
import type { GatewayPods } from './gateway-pods.ts';
import {
  MANAGED_BY,
  MANAGED_BY_LABEL,
  SERVICE_NAME_LABEL,
  serviceKey,
  type EndpointSlice,
} from '../kubernetes/endpoint-slices.ts';
import type { Service } from './kinds.ts';
import type { PlannedPort } from './service-plan.ts';

/** In the selector of a Service whose pods are asleep. */
export const SELECTOR_KEY = 'dormouse.dev/asleep';
const SELECTOR_VALUE = 'yes';
const FIELD_MANAGER = 'dormouse';

export interface RedirectDeps {
  client: KubernetesClient;
  services: Informer<Service>;
  slices: SliceIndex;
  gateways: GatewayPods;
}

export class Redirect {
  readonly #deps: RedirectDeps;
  readonly #namespace: string;
  readonly #name: string;

  constructor(service: { namespace: string; name: string }, deps: RedirectDeps) {
    this.#deps = deps;
    this.#namespace = service.namespace;
    this.#name = service.name;
  }

  get service(): Service | undefined {
    return this.#deps.services.get(this.#namespace, this.#name);
  }

  /** Whether the Service selects no pods because of us. */
  get isTurnedAway(): boolean {
    return this.service?.spec.selector?.[SELECTOR_KEY] !== undefined;
  }

  /** Ready endpoints in slices that aren't ours. */
  get podEndpoints(): number {
    let ready = 0;
    for (const slice of this.#deps.slices.of(this.#namespace, this.#name)) {
      if (isOurs(slice)) continue;
      ready += (slice.endpoints ?? []).filter(({ conditions }) => conditions?.ready !== false).length;
    }
    return ready;
  }

  /** Gateways in our slices. */
  get gatewayEndpoints(): number {
    let listed = 0;
    for (const slice of this.#deps.slices.of(this.#namespace, this.#name))
      if (isOurs(slice)) listed += slice.endpoints?.length ?? 0;
    return listed;
  }

  /** Lists gateways as endpoints of the Service, one slice for each address family; writes only what differs. Call it again when gateways come and go. */
  async standIn(
    ports: readonly PlannedPort[],
    allocated: readonly PortAllocation[],
    signal: AbortSignal,
  ): Promise<void> {
    const service = this.service;
    if (service === undefined) return;
    for (const family of service.spec.ipFamilies ?? ['IPv4']) {
      if (family === 'IPv4' || family === 'IPv6') await this.#writeSlice(service, family, ports, allocated, signal);
    }
  }

  async #writeSlice(
    service: Service,
    family: 'IPv4' | 'IPv6',
    ports: readonly PlannedPort[],
    allocated: readonly PortAllocation[],
    signal: AbortSignal,
  ): Promise<void> {
    const name = this.#sliceName(family);
    const present = this.#deps.slices.get(this.#namespace, name);
    const listed = new Set(present?.endpoints?.flatMap(({ addresses }) => addresses) ?? []);
    const wanted = {
      addressType: family,
      endpoints: this.#deps.gateways.endpoints(family, listed),
      ports: ports.flatMap(({ name: portName, port, appProtocol }) => {
        const own = allocated.find((one) => one.port === port);
        if (own === undefined) return [];
        return [
          { name: portName, port: own.gatewayPort, protocol: 'TCP', ...(appProtocol === null ? {} : { appProtocol }) },
        ];
      }),
    };
    if (present !== undefined && isDeepStrictEqual(bare(present), wanted)) return;
    await this.#deps.client.patch(
      ENDPOINT_SLICES,
      { namespace: this.#namespace, name },
      {
        type: 'apply',
        fieldManager: FIELD_MANAGER,
        force: true,
        body: {
          apiVersion: 'discovery.k8s.io/v1',
          kind: 'EndpointSlice',
          metadata: {
            name,
            namespace: this.#namespace,
            labels: { [SERVICE_NAME_LABEL]: this.#name, [MANAGED_BY_LABEL]: MANAGED_BY },
            // Nobody needs it without the Service.
            ownerReferences: [{ apiVersion: 'v1', kind: 'Service', name: this.#name, uid: service.metadata.uid }],
          },
          ...wanted,
        },
      },
      { signal },
    );
  }

  /** Takes the pods out: their slices are emptied by the cluster's controller. */
  async turnAway(signal: AbortSignal): Promise<void> {
    if (!this.isTurnedAway) await this.#patchSelector(SELECTOR_VALUE, signal);
  }

  /** The Service selects its pods again. Nothing to do when it is gone. */
  async takeBack(signal: AbortSignal): Promise<void> {
    if (!this.isTurnedAway) return;
    try {
      await this.#patchSelector(null, signal);
    } catch (error) {
      if (!isReason(error, 'NotFound')) throw error;
    }
  }

  async #patchSelector(value: string | null, signal: AbortSignal): Promise<void> {
    await this.#deps.client.patch(
      SERVICES,
      { namespace: this.#namespace, name: this.#name },
      { type: 'merge', body: { spec: { selector: { [SELECTOR_KEY]: value } } } },
      { signal },
    );
  }

  /** Takes gateways out of the Service. */
  async standBack(signal: AbortSignal): Promise<void> {
    for (const slice of [...this.#deps.slices.of(this.#namespace, this.#name)]) {
      if (!isOurs(slice)) continue;
      await this.#deps.client.delete(
        ENDPOINT_SLICES,
        { namespace: this.#namespace, name: slice.metadata.name },
        { signal },
      );
    }
  }

  #sliceName(family: 'IPv4' | 'IPv6'): string {
    return `${this.#name}-dormouse-${family.toLowerCase()}`;
  }
}

/** EndpointSlices by the Service that they belong to. */
export class SliceIndex {
  readonly #slices: Informer<EndpointSlice>;
  readonly #byService = new Map<string, Map<string, EndpointSlice>>();
  readonly #leave: () => void;

  constructor(slices: Informer<EndpointSlice>) {
    this.#slices = slices;
    for (const slice of slices.list()) this.#add(slice);
    this.#leave = slices.onChange((change) => {
      if (change.type === 'changed') this.#drop(change.before);
      if (change.type === 'removed') this.#drop(change.object);
      else this.#add(change.object);
    });
  }

  close(): void {
    this.#leave();
  }

  get(namespace: string, name: string): EndpointSlice | undefined {
    return this.#slices.get(namespace, name);
  }

  of(namespace: string, service: string): Iterable<EndpointSlice> {
    return this.#byService.get(`${namespace}/${service}`)?.values() ?? [];
  }

  #add(slice: EndpointSlice): void {
    const key = serviceKey(slice);
    if (key === null) return;
    const known = this.#byService.get(key);
    if (known === undefined) this.#byService.set(key, new Map([[slice.metadata.name, slice]]));
    else known.set(slice.metadata.name, slice);
  }

  #drop(slice: EndpointSlice): void {
    const key = serviceKey(slice);
    const known = key === null ? undefined : this.#byService.get(key);
    known?.delete(slice.metadata.name);
    if (key !== null && known?.size === 0) this.#byService.delete(key);
  }
}

function isOurs(slice: EndpointSlice): boolean {
  return slice.metadata.labels?.[MANAGED_BY_LABEL] === MANAGED_BY;
}

/** What is compared: without what the server fills in. */
function bare({ addressType, endpoints, ports }: EndpointSlice): object {
  return { addressType, endpoints: endpoints ?? [], ports: ports ?? [] };
}
