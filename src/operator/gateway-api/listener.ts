/** One listener of a Gateway: what it can take, and why it is not served when it isn't. */
import type { InlineCertificate, ListenerConfig } from '../../model/config.ts';
import { condition } from './conditions.ts';
import { GATEWAY_GROUP, type Gateway, type GatewayListener } from './objects.ts';
import type { NewGatewayStatus } from './translation.ts';
import type { Problem } from './gateways.ts';

/** Protocols of the API, by what the gateways call them and which routes they take. */
const PROTOCOLS: Readonly<Record<string, { protocol: ListenerConfig['protocol']; kinds: readonly string[] }>> = {
  HTTP: { protocol: 'http', kinds: ['HTTPRoute', 'GRPCRoute'] },
  HTTPS: { protocol: 'https', kinds: ['HTTPRoute', 'GRPCRoute'] },
  TLS: { protocol: 'tls', kinds: ['TLSRoute'] },
  TCP: { protocol: 'tcp', kinds: ['TCPRoute'] },
};

export class EvaluatedListener {
  readonly gateway: Gateway;
  readonly spec: GatewayListener;
  /** Lower case; '' for all. */
  readonly hostname: string;
  /** null: not one that is supported. */
  readonly protocol: ListenerConfig['protocol'] | null;
  /** Kinds of routes that may attach. */
  readonly kinds: readonly string[];
  /** Why it is not accepted; null: it is. */
  refused: Problem | null = null;
  /** Why it is in conflict with others; null: it isn't. */
  conflict: Problem | null = null;
  /** What it refers to and can't be found; null: nothing. */
  unresolved: Problem | null = null;
  /** https only. */
  certificates: InlineCertificate[] = [];
  secrets: { namespace: string; secret: string }[] = [];
  /** Its hostname overlaps with that of another https listener of the port. */
  overlapping = false;
  /** Where gateways' processes listen for it. */
  containerPort = 0;

  constructor(gateway: Gateway, spec: GatewayListener) {
    this.gateway = gateway;
    this.spec = spec;
    const known = Object.hasOwn(PROTOCOLS, spec.protocol) ? PROTOCOLS[spec.protocol]! : null;
    this.protocol = known?.protocol ?? null;
    this.hostname = this.protocol === 'tcp' ? '' : (spec.hostname ?? '').toLowerCase();
    const supported = known?.kinds ?? [];
    const asked = spec.allowedRoutes?.kinds ?? [];
    const isSupported = ({ group = GATEWAY_GROUP, kind }: { group?: string; kind: string }): boolean =>
      group === GATEWAY_GROUP && supported.includes(kind);
    this.kinds = asked.length === 0 ? supported : [...new Set(asked.filter(isSupported).map(({ kind }) => kind))];
    const foreign = asked.filter((one) => !isSupported(one)).map(({ kind }) => kind);
    if (known === null) {
      this.refused = {
        reason: 'UnsupportedProtocol',
        message: `protocol ${spec.protocol} is not supported; ${Object.keys(PROTOCOLS).join(', ')} are`,
      };
    } else if (foreign.length > 0) {
      this.unresolved = {
        reason: 'InvalidRouteKinds',
        message: `allowedRoutes.kinds: a listener with protocol ${spec.protocol} takes ${supported.join(' and ')}, not ${foreign.join(', ')}`,
      };
    }
    this.refused ??= this.#unsupported();
  }

  /** What would be served otherwise than it says: refused, rather than served with less. */
  #unsupported(): Problem | null {
    const { spec, gateway } = this;
    if (spec.protocol === 'TLS' && spec.tls?.mode !== 'Passthrough') {
      const message = 'tls.mode: a TLS listener passes TLS through; write mode: Passthrough, or protocol: HTTPS';
      return { reason: 'UnsupportedValue', message };
    }
    const { frontend } = gateway.spec.tls ?? {};
    const ofPort = frontend?.perPort?.find(({ port }) => port === spec.port);
    const validation = ofPort === undefined ? frontend?.default?.validation : ofPort.tls?.validation;
    if (spec.protocol === 'HTTPS' && validation !== undefined) {
      const message =
        'tls.frontend of the Gateway asks for certificates of clients, which is not supported here; remove it to serve everybody';
      return { reason: 'UnsupportedValue', message };
    }
    return null;
  }

  /** Whether gateways listen for it. */
  get serves(): boolean {
    if (this.refused !== null || this.conflict !== null || this.kinds.length === 0) return false;
    return this.protocol !== 'https' || this.certificates.length > 0;
  }

  /** Name of the listener of the configuration that it is a part of. */
  get target(): string {
    return `${this.protocol}-${this.spec.port}`;
  }

  /** `ofGateway`: why nothing of its Gateway is served; null: it is. */
  status(attachedRoutes: number, ofGateway: Problem | null): NewGatewayStatus['listeners'][number] {
    const { refused, conflict, unresolved } = this;
    const { generation } = this.gateway.metadata;
    const make = (type: string, status: boolean, reason: string, message: string) =>
      condition(type, status, reason, message, generation);
    const not = refused ?? (conflict === null ? null : { reason: 'Invalid', message: conflict.message });
    const conditions = [
      not === null
        ? make('Accepted', true, 'Accepted', 'The listener is valid')
        : make('Accepted', false, not.reason, not.message),
      conflict === null
        ? make('Conflicted', false, 'NoConflicts', 'No other listener stands in its way')
        : make('Conflicted', true, conflict.reason, conflict.message),
      unresolved === null
        ? make('ResolvedRefs', true, 'ResolvedRefs', 'Everything that it refers to is there')
        : make('ResolvedRefs', false, unresolved.reason, unresolved.message),
      this.serves && ofGateway === null
        ? make('Programmed', true, 'Programmed', 'Gateways listen for it')
        : make('Programmed', false, 'Invalid', (not ?? unresolved ?? ofGateway)?.message ?? 'It can not be served'),
    ];
    if (this.overlapping) {
      const message = 'Other HTTPS listeners of this port have hostnames that overlap with this one';
      conditions.push(make('OverlappingTLSConfig', true, 'OverlappingHostnames', message));
    }
    return {
      name: this.spec.name,
      supportedKinds: this.kinds.map((kind) => ({ group: GATEWAY_GROUP, kind })),
      attachedRoutes,
      conditions,
    };
  }
}
