/** EndpointSlices of Services: which Service they are of, and who is an endpoint there. */
import { addressText } from '../model/address-text.ts';
import type { KubernetesObject } from './client.ts';

export interface EndpointSlice extends KubernetesObject {
  addressType: 'IPv4' | 'IPv6' | 'FQDN';
  endpoints: SliceEndpoint[];
  ports: { name?: string; port?: number; protocol?: string; appProtocol?: string }[];
}

export interface SliceEndpoint {
  addresses: string[];
  conditions?: { ready?: boolean; serving?: boolean; terminating?: boolean };
  nodeName?: string;
  targetRef?: { kind: string; namespace?: string; name: string; uid?: string };
}

/** The label of an EndpointSlice that names its Service. */
export const SERVICE_NAME_LABEL = 'kubernetes.io/service-name';
export const MANAGED_BY_LABEL = 'endpointslice.kubernetes.io/managed-by';
/** The managed-by of ours. */
export const MANAGED_BY = 'dormouse.dev';

/** `namespace/name` of the Service; null when the slice names none. */
export function serviceKey(slice: EndpointSlice): string | null {
  const service = slice.metadata.labels?.[SERVICE_NAME_LABEL];
  return service === undefined ? null : `${slice.metadata.namespace}/${service}`;
}

/** The Service's `namespace/name`; null also for slices that stand for gateways, which would lead requests back to them. */
export function keyOfOthers(slice: EndpointSlice): string | null {
  return slice.metadata.labels?.[MANAGED_BY_LABEL] === MANAGED_BY ? null : serviceKey(slice);
}

/** An endpoint of a Service's port. */
export interface SliceMember {
  /** `pod~uid`, as drivers call a pod; its address where the slice names none. */
  id: string;
  state: 'ready' | 'unhealthy' | 'stopping';
  reason: string;
  address: { host: string; port: number };
}

/** One for each pod, also where it stands in the slices of two families; by id. `portName`: as slices call the Service's port. */
export function membersOf(
  slices: readonly EndpointSlice[],
  portName: string,
  family: string,
): Map<string, SliceMember> {
  const members = new Map<string, SliceMember>();
  const ordered = slices
    .filter(({ addressType }) => addressType !== 'FQDN')
    .sort(
      (a, b) =>
        Number(b.addressType === family) - Number(a.addressType === family) ||
        (a.metadata.name < b.metadata.name ? -1 : 1),
    );
  for (const { ports, endpoints } of ordered) {
    const port = (ports ?? []).find(({ name = '' }) => name === portName)?.port;
    if (port === undefined) continue;
    for (const endpoint of endpoints ?? []) {
      const host = endpoint.addresses[0];
      if (host === undefined) continue;
      const id = idOf(endpoint, port);
      const known = members.get(id);
      // An endpoint may be in two slices for a moment while it is moved from one to the other (KEP-752): the better news counts.
      if (known === undefined || (known.state !== 'ready' && isReady(endpoint))) {
        members.set(id, { id, address: { host, port }, ...stateOf(endpoint) });
      }
    }
  }
  return members;
}

function idOf({ targetRef, addresses }: SliceEndpoint, port: number): string {
  if (targetRef?.kind === 'Pod' && targetRef.uid !== undefined) return `${targetRef.name}~${targetRef.uid.slice(0, 8)}`;
  const host = addresses[0]!;
  return addressText({ host, port });
}

/** Conditions that are not known count as true, but for terminating (discovery.k8s.io/v1 EndpointConditions). */
function isReady({ conditions }: SliceEndpoint): boolean {
  return conditions?.ready !== false && conditions?.terminating !== true;
}

function stateOf(endpoint: SliceEndpoint): Pick<SliceMember, 'state' | 'reason'> {
  if (isReady(endpoint)) return { state: 'ready', reason: '' };
  if (endpoint.conditions?.terminating === true) return { state: 'stopping', reason: 'it is terminating' };
  return { state: 'unhealthy', reason: 'its Service says that it is not ready' };
}
