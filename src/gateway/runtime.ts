import type { GatewayConfig } from '../link/messages.ts';
import type { AccessLog, AccessRecord } from '../model/access.ts';
import type { RetryConfig } from '../model/config.ts';
import type { Clock, Logger, RandomSource } from '../model/ports.ts';
import type { GatewayBackend } from './backend.ts';
import { RouteCounters } from './counters.ts';
import type { GatewayCounters } from './counters.ts';
import { compileFilters } from './filters/compile-filters.ts';
import type { CompiledFilters } from './filters/compile-filters.ts';
import type { EndedRequests } from './ended-requests.ts';
import type { Exchange } from './exchange.ts';
import { RequestEdit, ResponseEdit } from './filters/edits.ts';
import type { FilterRegistry, FilterServices, MirrorTarget } from './filters/filter.ts';
import { ClientAddress } from './forwarding/client-address.ts';
import { ClientRules } from './forwarding/client-rules.ts';
import type { RequestIds } from './forwarding/request-ids.ts';
import type { RetryKind } from './resilience/resilience.ts';
import { Router } from './routing/router.ts';
import type { RuleTarget } from './routing/rule-target.ts';
import type { MirrorCopy, SideCalls } from './side-call.ts';
import type { Tracer } from './tracing/tracer.ts';

/** One backend of a rule, with what is counted for the two together. */
export interface RuleBackend {
  backend: GatewayBackend;
  weight: number;
  counters: RouteCounters;
}

/** When and how a request is sent once more though an endpoint has had it. */
export interface CompiledRetry {
  attempts: number;
  kinds: readonly RetryKind[];
  statuses: readonly number[];
  backoffMs: number;
  budgetPercent: number;
}

/** What the gateway compiles for each target of the router. */
export class CompiledRule {
  readonly target: RuleTarget;
  readonly filters: CompiledFilters;
  /** null: everybody may ask. */
  readonly clients: ClientRules | null;
  /** No filter looks at requests. */
  readonly plain: boolean;
  /** null: only when there is no connection. */
  readonly retry: CompiledRetry | null;
  /** Some time of it is bounded or counted. */
  readonly timed: boolean;
  private readonly backends: RuleBackend[];

  constructor(target: RuleTarget, filters: CompiledFilters, backends: RuleBackend[]) {
    const { timeouts, retry } = target.rule;
    this.target = target;
    this.filters = filters;
    this.backends = backends;
    this.clients = ClientRules.compile(target.clients, `routes.${target.route}.clients`);
    this.plain = filters.passive;
    this.retry = compileRetry(retry);
    this.timed = timeouts.requestMs > 0 || timeouts.perTryMs > 0 || timeouts.idleMs > 0 || this.retry !== null;
  }

  /** By weight; null when nothing has one. */
  choose(random: RandomSource): RuleBackend | null {
    const backends = this.backends;
    if (backends.length === 1) return this.target.totalWeight > 0 ? backends[0]! : null;
    let at = random() * this.target.totalWeight;
    let chosen: RuleBackend | null = null;
    for (const candidate of backends) {
      if (candidate.weight <= 0) continue;
      chosen = candidate;
      at -= candidate.weight;
      if (at < 0) break;
    }
    return chosen;
  }
}

function compileRetry({ attempts, on, backoffMs, budgetPercent }: RetryConfig): CompiledRetry | null {
  const kinds: RetryKind[] = [];
  const statuses: number[] = [];
  for (const condition of on) {
    if (condition === 'connect') continue;
    if (condition === 'reset' || condition === 'timeout') kinds.push(condition);
    else {
      if (!kinds.includes('error')) kinds.push('error');
      if (condition === '5xx') for (let status = 500; status < 600; status++) statuses.push(status);
      else statuses.push(Number(condition));
    }
  }
  return kinds.length === 0 || attempts < 2 ? null : { attempts, kinds, statuses, backoffMs, budgetPercent };
}

export interface RuntimeDeps {
  config: GatewayConfig;
  backends: ReadonlyMap<string, GatewayBackend>;
  filters: FilterRegistry;
  services: FilterServices;
  sideCalls: SideCalls;
  tracer: Tracer | null;
  clock: Clock;
  logger: Logger;
  random: RandomSource;
  ids: RequestIds;
  accessLog: AccessLog;
  counters: GatewayCounters;
  /** null: nobody wants to hear of each request. */
  ended: EndedRequests | null;
  /** Something happened on this backend: it belongs into the next report. */
  touch(backend: GatewayBackend): void;
}

/** Everything that a request needs to know, compiled from one version of the configuration. Replaced as a whole by a reload. */
export class Runtime {
  readonly config: GatewayConfig;
  readonly router: Router;
  readonly clientAddress: ClientAddress;
  readonly clock: Clock;
  readonly logger: Logger;
  readonly random: RandomSource;
  readonly ids: RequestIds;
  readonly accessLog: AccessLog;
  readonly counters: GatewayCounters;
  readonly ended: EndedRequests | null;
  readonly logsAccess: boolean;
  /** null: no request is traced. */
  readonly tracer: Tracer | null;
  /** For the request that is being begun. One that has to wait takes it along, and a new one is put here. */
  requestEdit = new RequestEdit();
  readonly responseEdit = new ResponseEdit();
  readonly accessRecord: AccessRecord = emptyRecord();
  readonly routeCounters: RouteCounters[] = [];
  private readonly sideCalls: SideCalls;
  readonly touch: (backend: GatewayBackend) => void;

  /** Throws a DormouseError when a part can't be compiled. `previous`: whose counters go on. */
  constructor(deps: RuntimeDeps, previous: Runtime | null) {
    this.config = deps.config;
    this.clock = deps.clock;
    this.logger = deps.logger;
    this.random = deps.random;
    this.ids = deps.ids;
    this.accessLog = deps.accessLog;
    this.counters = deps.counters;
    this.ended = deps.ended;
    this.touch = deps.touch;
    this.logsAccess = deps.config.telemetry.accessLog.format !== 'off';
    this.tracer = deps.tracer;
    this.sideCalls = deps.sideCalls;
    this.clientAddress = new ClientAddress(deps.config.security.trustedProxies);
    this.router = new Router(deps.config);
    const counters = new Map<string, RouteCounters>();
    for (const known of previous?.routeCounters ?? []) counters.set(`${known.route}\n${known.backend}`, known);
    const used = new Set<RouteCounters>();
    try {
      for (const target of this.router.rules()) {
        const backends: RuleBackend[] = [];
        for (const { name, weight } of target.backends) {
          const backend = deps.backends.get(name);
          if (backend === undefined) continue;
          const key = `${target.route}\n${name}`;
          let counter = counters.get(key);
          if (counter === undefined) {
            counter = new RouteCounters(target.route, name);
            counters.set(key, counter);
          }
          used.add(counter);
          backends.push({ backend, weight, counters: counter });
        }
        target.data = new CompiledRule(
          target,
          compileFilters(target.filters, deps.filters, target, deps.services),
          backends,
        );
      }
    } catch (error) {
      // The filters before the one that can't stand there have begun things.
      this.retire();
      throw error;
    }
    this.routeCounters.push(...used);
  }

  /** Begins the copies of a request that filters asked for; null: none. */
  mirror(exchange: Exchange, targets: readonly MirrorTarget[]): MirrorCopy[] | null {
    let copies: MirrorCopy[] | null = null;
    for (const { backend, percent } of targets) {
      if (percent < 100 && this.random() * 100 >= percent) continue;
      const copy = this.sideCalls.mirror(backend, exchange);
      if (copy !== null) (copies ??= []).push(copy);
    }
    return copies;
  }

  /** Another configuration is in force. */
  retire(): void {
    for (const target of this.router.rules()) (target.data as CompiledRule | undefined)?.filters.retire();
  }
}

function emptyRecord(): AccessRecord {
  return {
    startedAtMs: 0,
    durationMs: 0,
    heldMs: 0,
    client: '',
    method: '',
    target: '',
    host: '',
    minor: 1,
    status: 0,
    requestBytes: 0,
    responseBytes: 0,
    route: '',
    backend: '',
    endpoint: '',
    requestId: '',
    coldStart: false,
    attempts: 0,
    outcome: '',
    userAgent: '',
    referer: '',
  };
}
