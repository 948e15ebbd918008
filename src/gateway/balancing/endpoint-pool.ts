import type { GatewayBackendConfig } from '../../link/messages.ts';
import type { Endpoint } from '../../model/backend.ts';
import type { Strategy } from './strategy.ts';
import type { Waiter } from '../hold/waiter.ts';
import { UpstreamEndpoint } from '../upstream/endpoint.ts';
import { Ejection, panics, type EjectionReason } from '../resilience/ejection.ts';
import { slowStartShare } from './slow-start.ts';
import { StickyCookie } from './sticky.ts';

export interface EndpointPoolDeps {
  createStrategy(config: GatewayBackendConfig): Strategy<UpstreamEndpoint>;
  onEjected(endpoint: UpstreamEndpoint, reason: EjectionReason, forMs: number): void;
  onReturned(endpoint: UpstreamEndpoint): void;
}

/**
 * The endpoints of one backend, which of them may be sent to now, and the choice among those. Not usable is who drains, refused a connection a moment
 * ago, or is ejected; backups stand in while nobody else is usable.
 */
export class EndpointPool {
  readonly all = new Map<string, UpstreamEndpoint>();
  /** Ejections are ignored, since fewer than half of the endpoints would be left. */
  panicking = false;
  ejectedCount = 0;
  #config: GatewayBackendConfig;
  readonly #deps: EndpointPoolDeps;
  #strategy: Strategy<UpstreamEndpoint>;
  #ejection: Ejection | null = null;
  #sticky: StickyCookie<UpstreamEndpoint> | null = null;
  /** What requests are spread over: never a backup while another one is usable. */
  #usable: UpstreamEndpoint[] = [];
  /** Usable backups while others are usable: for a request that has tried those. */
  #spare: UpstreamEndpoint[] = [];
  /** Some endpoint is on its way to its full share. */
  #slow = false;
  /** 0 = no bound. */
  #maxConnections = 0;

  constructor(config: GatewayBackendConfig, deps: EndpointPoolDeps) {
    this.#deps = deps;
    this.#config = config;
    this.#strategy = deps.createStrategy(config);
    this.#adopt(config);
  }

  /** A reload: endpoints stay, ejected ones too. */
  reconfigure(config: GatewayBackendConfig, nowMs: number): void {
    this.#config = config;
    this.#strategy = this.#deps.createStrategy(config);
    this.#adopt(config);
    if (config.ejection === null) for (const endpoint of this.all.values()) endpoint.record.ejectedUntilMs = 0;
    this.refresh(nowMs);
  }

  #adopt({ ejection, balance, endpoints }: GatewayBackendConfig): void {
    this.#ejection = ejection === null ? null : new Ejection(ejection);
    this.#sticky = balance.sticky === null ? null : new StickyCookie(balance.sticky);
    // One request has a connection for itself only in HTTP/1.1; the others count connections where they open them.
    const isAlone = endpoints.protocol === 'http1' || endpoints.protocol === 'tcp';
    this.#maxConnections = isAlone ? endpoints.maxConnections : 0;
  }

  get usableCount(): number {
    return this.#usable.length;
  }

  /** Some endpoint gets nothing because a connection to it failed a moment ago. */
  get anySuspended(): boolean {
    for (const endpoint of this.all.values()) if (endpoint.suspendedUntilMs !== 0) return true;
    return false;
  }

  /** Nothing of it changes with time. */
  get quiet(): boolean {
    return !this.#slow && this.ejectedCount === 0 && !this.anySuspended;
  }

  /** The controller's list replaces what was known. `version`: of the update, for the answers of those that drain. */
  apply(told: readonly Endpoint[], version: number, nowMs: number): void {
    const { slowStartMs } = this.#config.balance;
    const othersServe = this.#usable.length > 0;
    const listed = new Set<string>();
    for (const one of told) {
      listed.add(one.id);
      let endpoint = this.all.get(one.id);
      const wasReady = endpoint?.state === 'ready';
      if (endpoint === undefined) {
        endpoint = new UpstreamEndpoint(one);
        this.all.set(one.id, endpoint);
      }
      endpoint.fullWeight = one.weight;
      endpoint.backup = one.backup === true;
      endpoint.state = one.state;
      endpoint.drainVersion = one.state === 'draining' ? version : 0;
      // Alone it would get everything all the same.
      if (!wasReady && one.state === 'ready' && slowStartMs > 0 && othersServe) endpoint.slowSinceMs = nowMs;
    }
    for (const endpoint of this.all.values()) {
      if (listed.has(endpoint.id)) continue;
      endpoint.removed = true;
      endpoint.closeIdle();
      this.all.delete(endpoint.id);
    }
    this.refresh(nowMs);
  }

  /** Looks again who is usable: something about an endpoint has changed, or time has passed. */
  refresh(nowMs: number): void {
    const { slowStartMs } = this.#config.balance;
    const usable: UpstreamEndpoint[] = [];
    const backups: UpstreamEndpoint[] = [];
    let ejected: UpstreamEndpoint[] | null = null;
    let total = 0;
    let left = 0;
    this.#slow = false;
    for (const endpoint of this.all.values()) {
      const { record } = endpoint;
      if (endpoint.suspendedUntilMs !== 0 && endpoint.suspendedUntilMs <= nowMs) endpoint.suspendedUntilMs = 0;
      if (record.ejectedUntilMs !== 0 && record.ejectedUntilMs <= nowMs) this.#return(endpoint, nowMs);
      endpoint.weight = endpoint.fullWeight;
      if (endpoint.slowSinceMs >= 0) {
        const share = slowStartShare(nowMs - endpoint.slowSinceMs, slowStartMs);
        if (share === 1) endpoint.slowSinceMs = -1;
        else {
          endpoint.weight = endpoint.fullWeight * share;
          this.#slow = true;
        }
      }
      if (endpoint.state !== 'ready') continue;
      if (endpoint.fullWeight > 0) total++;
      if (endpoint.suspendedUntilMs !== 0) continue;
      if (record.ejectedUntilMs !== 0) {
        (ejected ??= []).push(endpoint);
        continue;
      }
      if (endpoint.fullWeight > 0) left++;
      (endpoint.backup ? backups : usable).push(endpoint);
    }
    this.ejectedCount = ejected?.length ?? 0;
    this.panicking = ejected !== null && panics(left, total);
    if (this.panicking) for (const endpoint of ejected!) (endpoint.backup ? backups : usable).push(endpoint);
    const onBackups = backups.length > 0 && !usable.some((endpoint) => endpoint.fullWeight > 0);
    this.#usable = onBackups ? backups : usable;
    this.#spare = onBackups ? [] : backups;
    this.#strategy.update(this.#usable);
    this.#sticky?.update(this.#usable);
  }

  #return(endpoint: UpstreamEndpoint, nowMs: number): void {
    endpoint.record.ejectedUntilMs = 0;
    if (this.#config.balance.slowStartMs > 0) endpoint.slowSinceMs = nowMs;
    this.#deps.onReturned(endpoint);
  }

  /** Called now and then while it isn't quiet. True: others are usable than before. */
  tick(nowMs: number): boolean {
    let changes = this.#slow;
    for (const { suspendedUntilMs, record } of this.all.values()) {
      if (suspendedUntilMs !== 0 && suspendedUntilMs <= nowMs) changes = true;
      if (record.ejectedUntilMs !== 0 && record.ejectedUntilMs <= nowMs) changes = true;
    }
    if (changes) this.refresh(nowMs);
    return changes;
  }

  /** An endpoint with room, or null. Notes in the waiter which endpoint its cookie names. */
  pick(waiter: Waiter): UpstreamEndpoint | null {
    if (this.#usable.length === 0) return null;
    const tried = waiter.tried;
    if (this.#sticky !== null) {
      const named = waiter.view === null ? null : this.#sticky.find(waiter.view);
      waiter.sticky = named !== null && (tried === null || !tried.includes(named)) ? named : null;
      // A full one keeps its client, who goes elsewhere this once: waiting for it would hold up everybody behind.
      if (waiter.sticky !== null && this.#hasRoom(waiter.sticky)) return waiter.sticky;
    }
    let exclude: UpstreamEndpoint[] | null = tried;
    for (;;) {
      const endpoint = this.#strategy.pick(waiter, exclude);
      if (endpoint === null) break;
      if (this.#hasRoom(endpoint)) return endpoint;
      exclude = exclude === null ? [endpoint] : [...exclude, endpoint];
    }
    if (tried === null || exclude !== tried || this.#spare.length === 0) return null;
    return this.#spare.find((endpoint) => !tried.includes(endpoint) && this.#hasRoom(endpoint)) ?? null;
  }

  #hasRoom(endpoint: UpstreamEndpoint): boolean {
    const max = this.#config.endpoints.maxRequests;
    if (max !== 0 && endpoint.inFlight >= max) return false;
    if (endpoint.shared !== null && endpoint.shared.isFull(this.#config.endpoints.maxConnections)) return false;
    return this.#maxConnections === 0 || endpoint.inFlight + endpoint.tunnels < this.#maxConnections;
  }

  /** Set-Cookie for a response of this endpoint, or ''. */
  stickyLine(waiter: Waiter, endpoint: UpstreamEndpoint): string {
    if (this.#sticky === null || waiter.view === null || waiter.sticky !== null) return '';
    return this.#sticky.line(endpoint, waiter.secure);
  }

  /** Whether results say anything here: a single endpoint is never ejected. */
  get judges(): boolean {
    return this.#ejection !== null && this.all.size > 1;
  }

  /** What a request at this endpoint came to. */
  result(endpoint: UpstreamEndpoint, failed: boolean, nowMs: number): void {
    const { record } = endpoint;
    if (this.#ejection === null || this.all.size < 2 || record.ejectedUntilMs !== 0 || endpoint.removed) return;
    const reason = this.#ejection.count(record, failed, nowMs);
    if (reason === null || !this.#ejection.allows(this.ejectedCount, this.#readyCount())) return;
    const forMs = this.#ejection.eject(record, nowMs);
    this.refresh(nowMs);
    this.#deps.onEjected(endpoint, reason, forMs);
  }

  #readyCount(): number {
    let count = 0;
    for (const { state, fullWeight } of this.all.values()) if (state === 'ready' && fullWeight > 0) count++;
    return count;
  }

  /** Ids of those that are ejected now. */
  ejected(): string[] {
    const ids: string[] = [];
    for (const { id, state, record } of this.all.values())
      if (state === 'ready' && record.ejectedUntilMs !== 0) ids.push(id);
    return ids;
  }
}
