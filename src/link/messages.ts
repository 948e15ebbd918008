/**
 * The protocol between the controller and gateways. A worker process on this machine and a gateway pod are the same thing to the
 * controller. Messages are plain data that survives JSON. Every transport delivers in order, or says that it is closed.
 */
import type { BackendSource, Config, IdleConfig } from '../model/config.ts';
import type { BackendPhase, BreakerState, Crash, Endpoint } from '../model/backend.ts';
import type { DemandWindow } from '../model/demand.ts';
import type { MetricFamily } from '../model/metrics.ts';
import type { TraceRecord } from '../model/trace.ts';
import type { LimitAsk, LimitGrant, SharedLimitTerms } from './limit-messages.ts';

export const LINK_VERSION = 1;

/** What a gateway needs of the configuration: everything but how backends are run. */
export type GatewayConfig = Omit<Config, 'backends' | 'stateDir' | 'observe' | 'admin' | 'shutdown'> & {
  shutdown: { drainMs: number };
  backends: GatewayBackendConfig[];
  /** Who sends it in `x-dormouse-trace` is told the times of his request. '': nobody may ask. */
  traceToken: string;
};

export type GatewayBackendConfig = Omit<
  Config['backends'][number],
  'source' | 'health' | 'triggers' | 'idle' | 'ports'
> & {
  driver: BackendSource['driver'];
  idle: Pick<IdleConfig, 'webSockets'>;
  /** Which EndpointSlices have its endpoints, for a gateway that no operator leads: `port` as slices call the Service's port. Missing: none have. */
  slices?: { namespace: string; service: string; port: string; family: string };
};

/** Controller to gateway. */
export type DownMessage =
  /** The whole configuration. Applied atomically; exchanges in flight end on the old one. Answered by `configured` or `refused`. */
  | { type: 'configure'; version: number; config: GatewayConfig }
  /** One backend's state and all its endpoints; replaces what was known. Backends never mentioned are asleep. Answered by `applied`. */
  | BackendUpdate
  /** More room for holds: adds to this gateway's allowance. */
  | { type: 'lease'; backend: string; holds: number; bytes: number }
  /** Answers the `limit-ask` of this number: one grant for each of its asks, in their order. */
  | { type: 'limit-grant'; seq: number; grants: LimitGrant[] }
  /** Keys (48 bytes, base64) with which every gateway seals the sessions of TLS clients, so that any of them takes them up. Sent before the first `configure` and whenever they are changed. Secret. */
  | { type: 'ticket-keys'; keys: string }
  /** Stop accepting, finish what was accepted within `drainMs`, then close the link. */
  | { type: 'shutdown'; drainMs: number }
  | { type: 'collect'; id: number }
  /**
   * Whether this operator leads: the first thing that each operator of a cluster says, and again when it changes. A gateway says hello to the one that leads, each
   * time that it begins to. `term`: rises with each change of the leader (a Lease's transitions); of several that say they lead, the one with the highest
   * counts, and of equals the one that said it last. 0: not known.
   */
  | { type: 'role'; leader: boolean; term: number }
  /** Whether a Service's address leads to gateways: hold back silent connections to this listener until `redirect-end`. Answered by `redirect-watching`. */
  | { type: 'redirect-watch'; id: number; listener: string }
  /** Open connections there (1 to 100), say nothing, and keep them until `redirect-end`. Answered by `redirect-probed`. */
  | { type: 'redirect-probe'; id: number; host: string; port: number; count: number }
  /** The look is over. Answered by `redirect-silent`. */
  | { type: 'redirect-end'; id: number };

export interface BackendUpdate {
  type: 'backend';
  backend: string;
  /** Rises with every update of this backend. */
  version: number;
  phase: BackendPhase;
  /**
   * `ready` may be sent to. `draining`: nothing more may be sent; when nothing is in flight (tunnels included, unless the bound has passed) and
   * the idle connections to it are closed, the gateway answers `drained`, once for each update that lists it as draining.
   * An endpoint that is not listed is gone.
   */
  endpoints: Endpoint[];
  crash: Crash | null;
  /** Wall clock ms at which the present wake began, for the waiting page; 0 when not waking. */
  wakingSinceMs: number;
  /**
   * Clients reach the instances by themselves again: a connection that is left at a listener of this backend alone (`<backend>:…`) is asked to close after its next response, so that
   * the client makes a new one, which goes straight there. Missing: no.
   */
  direct?: boolean;
}

/** Gateway to controller. */
export type UpMessage =
  | { type: 'hello'; gateway: string; pid: number; linkVersion: number }
  | { type: 'configured'; version: number }
  | { type: 'refused'; version: number; reason: string }
  | { type: 'applied'; backend: string; version: number }
  /** The first request that found no endpoint since the last update of this backend: sent at once. */
  | WakeRequest
  | { type: 'demand'; windows: DemandWindow[] }
  | Drained
  /** An endpoint refused a connection or broke one: the driver should look at it now, not at its next probe. */
  | { type: 'suspect'; backend: string; endpoint: string; reason: string }
  | { type: 'lease-ask'; backend: string; holds: number; bytes: number }
  | { type: 'lease-return'; backend: string; holds: number; bytes: number }
  /** After hello to a new controller: what a former one has leased to this gateway for a backend, and is still out. */
  | { type: 'leases-held'; backend: string; holds: number; bytes: number }
  /** After hello to a new controller: backends of which a former one has said something. Answered by an update of each, also of those that are asleep. */
  | { type: 'known'; backends: { name: string }[] }
  | { type: 'redirect-watching'; id: number }
  /** Local ports of the connections that were opened, and how many were not. */
  | { type: 'redirect-probed'; id: number; opened: { port: number }[]; failed: number }
  /** Connections that the listener accepted since `redirect-watch`. */
  | { type: 'redirect-silent'; id: number; from: { address: string; port: number }[] }
  /** This gateway is about to end: nothing new may rely on it. It answers what it has accepted, and then closes the link. */
  | { type: 'leaving' }
  /** The gateway uses this limit, or uses it with other terms from now on. */
  | { type: 'limit-open'; terms: SharedLimitTerms }
  | { type: 'limit-close'; name: string }
  | { type: 'limit-ask'; seq: number; asks: LimitAsk[] }
  /** Requests that were recorded since the last report, at most 1,000; `dropped`: how many more there were. */
  | { type: 'traces'; records: TraceRecord[]; dropped: number }
  /**
   * Requests that ended since the last such message (`events.each`), at most 20,000; `dropped`: how many more there were. `ended` has six numbers of each: ms of its arrival after `startMs`
   * (wall clock), hundredths of a ms that it took, status, bytes of its body, bytes of the response's, 1 when it waited for a wake.
   */
  | { type: 'requests'; startMs: number; sets: { backend: string; route: string; ended: number[] }[]; dropped: number }
  | { type: 'collected'; id: number; metrics: MetricFamily[]; status: GatewayStatus };

export interface WakeRequest {
  type: 'wake';
  backend: string;
  route: string;
  client: string;
  method: string;
  /** Without query, cut to 200 characters. */
  path: string;
  /** Wall clock ms. */
  atMs: number;
  /** At most 255 characters. Missing: not known. */
  host?: string;
  requestId?: string;
  /** No operator leads: whoever gets it tells the pods, too. Missing: no. */
  alone?: boolean;
}

export interface Drained {
  type: 'drained';
  backend: string;
  /** Version of the update that asked for it. */
  version: number;
  endpoint: string;
  /** Requests of this backend held here now: someone arrived while it drained. */
  held: number;
  /** As in DemandWindow: for the second look at the idle rule. */
  lastActivityMs: number;
}

export interface GatewayStatus {
  connections: number;
  /** Those on which something is going on. */
  backends: {
    name: string;
    inFlight: number;
    held: number;
    heldBytes: number;
    tunnels: number;
    /** null: none is configured. */
    breaker: BreakerState | null;
    /** Ids of endpoints that get nothing for a while because of what they answered. */
    ejected: string[];
  }[];
  rssBytes: number;
}
