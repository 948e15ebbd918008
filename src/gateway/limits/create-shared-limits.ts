import type { LimitGrant } from '../../link/limit-messages.ts';
import type { DownMessage, UpMessage } from '../../link/messages.ts';
import type { MetricFamily } from '../../model/metrics.ts';
import type { Clock, Logger } from '../../model/ports.ts';
import { LeasedLimiter } from './leased-limiter.ts';
import { LimitCounters } from './limit-counters.ts';
import { RedisConnection } from './redis-connection.ts';
import { RedisSource } from './redis-source.ts';
import type {
  ConcurrencyLimiter,
  ConcurrencySpec,
  LimitDecision,
  RateLimiter,
  RateLimitSpec,
  SharedLimits,
} from './shared-limits.ts';
import { SlotLimiter } from './slot-limiter.ts';
import { SupervisorLink, SupervisorSource, systemSourceTimers, type SourceTimers } from './supervisor-source.ts';

export interface SharedLimitsDeps {
  clock: Clock;
  logger: Logger;
  /** To the controller. */
  send(message: UpMessage): void;
  /** Of the configuration: among whom a limit is divided while the controller is silent. */
  workers(): number;
  timers?: SourceTimers;
}

/** The limits of one gateway, for its whole life: what configurations have in common goes on over a reload. */
export interface GatewayLimits extends SharedLimits {
  receive(message: Extract<DownMessage, { type: 'limit-grant' }>): void;
  /** Another controller has been greeted: limits are opened there, and what is in use is told. */
  relinked(): void;
  /** What the limiters counted since the start. */
  families(): MetricFamily[];
  /** The gateway ends, or its link is closed. */
  end(): void;
}

export function createSharedLimits(deps: SharedLimitsDeps): GatewayLimits {
  return new Limits(deps);
}

/** One limiter and the places of configurations that use it: filters are compiled once per match, and by a reload before the former ones are closed. */
interface Shared<L, S> {
  limiter: L;
  /** What each user wants; the last one's terms are in force. */
  wanted: S[];
}

class Limits implements GatewayLimits {
  readonly #deps: SharedLimitsDeps;
  readonly #timers: SourceTimers;
  readonly #link: SupervisorLink;
  readonly #rates = new Map<string, Shared<RateParts, RateLimitSpec>>();
  readonly #slots = new Map<string, Shared<SlotLimiter, ConcurrencySpec>>();
  readonly #connections = new Map<string, { connection: RedisConnection; users: number }>();
  readonly #counters = new LimitCounters();
  /** Of connections that are not used any more. */
  readonly #formerRedis = { errors: 0, calls: 0 };

  constructor(deps: SharedLimitsDeps) {
    this.#deps = deps;
    this.#timers = deps.timers ?? systemSourceTimers;
    this.#link = new SupervisorLink({ send: deps.send, logger: deps.logger, timers: this.#timers });
  }

  receive(message: { type: 'limit-grant'; seq: number; grants: LimitGrant[] }): void {
    this.#link.receive(message);
  }

  relinked(): void {
    this.#link.relinked();
    for (const [name, { limiter, wanted }] of this.#rates) {
      // In Redis nothing has changed.
      if (limiter.redis !== null) continue;
      this.#link.open(rateTerms(name, wanted.at(-1)!));
      limiter.limiter.relinked();
    }
    for (const [name, { limiter, wanted }] of this.#slots) {
      this.#link.open({ kind: 'concurrency', name, max: wanted.at(-1)!.max });
      limiter.relinked();
    }
  }

  end(): void {
    this.#link.end();
    for (const { connection } of this.#connections.values()) connection.close();
  }

  families(): MetricFamily[] {
    const redis = { ...this.#formerRedis };
    for (const { connection } of this.#connections.values()) {
      redis.errors += connection.errors;
      redis.calls += connection.calls;
    }
    return this.#counters.families({
      supervisor: { errors: this.#link.unanswered, calls: this.#link.messages },
      redis,
    });
  }

  rate(spec: RateLimitSpec): RateLimiter {
    // Another store is another limiter: the buckets are there.
    const name = rateName(spec);
    let shared = this.#rates.get(name);
    if (shared === undefined) {
      shared = { limiter: this.#makeRate(name, spec), wanted: [] };
      this.#rates.set(name, shared);
    }
    const entry = shared;
    entry.wanted.push(spec);
    if (entry.wanted.length > 1) this.#changeRate(name, entry);
    const { limiter } = entry.limiter;
    let closed = false;
    return {
      take: (key) => {
        const decision = limiter.take(key);
        return decision instanceof Promise
          ? decision.then((late) => this.#count(spec, late))
          : this.#count(spec, decision);
      },
      close: () => {
        if (closed) return;
        closed = true;
        remove(entry.wanted, spec);
        if (entry.wanted.length > 0) return this.#changeRate(name, entry);
        this.#rates.delete(name);
        limiter.close();
      },
    };
  }

  #count(spec: RateLimitSpec, decision: LimitDecision): LimitDecision {
    if (!decision.allowed) this.#counters.rateLimited(spec.route);
    if (!decision.counted) this.#counters.undecided(spec.route);
    return decision;
  }

  #makeRate(name: string, spec: RateLimitSpec): RateParts {
    const { clock, workers } = this.#deps;
    const common = { terms: spec, maxKeys: spec.maxKeys, clock, workers, timers: this.#timers };
    if (spec.redis === null) {
      this.#link.open(rateTerms(name, spec));
      const source = new SupervisorSource(this.#link, name);
      return { limiter: new LeasedLimiter({ ...common, source, alone: 'share' }), redis: null };
    }
    const { url } = spec.redis;
    const source = new RedisSource(this.#connection(url), () => this.#release(url), spec.id, spec, spec.redis);
    return { limiter: new LeasedLimiter({ ...common, source, alone: spec.redis.failure }), redis: source };
  }

  #changeRate(name: string, { limiter: { limiter, redis }, wanted }: Shared<RateParts, RateLimitSpec>): void {
    const spec = wanted.at(-1)!;
    limiter.change(spec, spec.maxKeys, spec.redis === null ? 'share' : spec.redis.failure);
    if (spec.redis !== null) redis?.change(spec, spec.redis);
    else this.#link.open(rateTerms(name, spec));
  }

  #connection(url: string): RedisConnection {
    let known = this.#connections.get(url);
    if (known === undefined) {
      known = { connection: new RedisConnection(url, { logger: this.#deps.logger, timers: this.#timers }), users: 0 };
      this.#connections.set(url, known);
    }
    known.users++;
    return known.connection;
  }

  #release(url: string): void {
    const known = this.#connections.get(url);
    if (known === undefined || --known.users > 0) return;
    this.#connections.delete(url);
    this.#formerRedis.errors += known.connection.errors;
    this.#formerRedis.calls += known.connection.calls;
    known.connection.close();
  }

  concurrency(spec: ConcurrencySpec): ConcurrencyLimiter {
    const name = `concurrency ${spec.id}`;
    let shared = this.#slots.get(name);
    if (shared === undefined) {
      const { clock, workers } = this.#deps;
      const source = new SupervisorSource(this.#link, name);
      const limiter = new SlotLimiter({ max: spec.max, source, clock, workers, timers: this.#timers });
      shared = { limiter, wanted: [] };
      this.#slots.set(name, shared);
    }
    const entry = shared;
    entry.wanted.push(spec);
    this.#changeSlots(name, entry);
    const { limiter } = entry;
    const count = (entered: boolean): boolean => {
      if (!entered) this.#counters.concurrencyLimited(spec.route);
      return entered;
    };
    let closed = false;
    return {
      enter: (key) => {
        const entered = limiter.enter(key);
        return typeof entered === 'boolean' ? count(entered) : entered.then(count);
      },
      leave: (key) => limiter.leave(key),
      close: () => {
        if (closed) return;
        closed = true;
        remove(entry.wanted, spec);
        if (entry.wanted.length > 0) return this.#changeSlots(name, entry);
        this.#slots.delete(name);
        limiter.close();
      },
    };
  }

  #changeSlots(name: string, { limiter, wanted }: Shared<SlotLimiter, ConcurrencySpec>): void {
    const { max } = wanted.at(-1)!;
    limiter.change(max);
    this.#link.open({ kind: 'concurrency', name, max });
  }
}

interface RateParts {
  limiter: LeasedLimiter;
  redis: RedisSource | null;
}

function rateName({ id, redis }: RateLimitSpec): string {
  return redis === null ? `rate ${id}` : `redis ${id} ${redis.prefix} ${redis.url}`;
}

function rateTerms(name: string, { limit, windowMs, burst, maxKeys }: RateLimitSpec) {
  return { kind: 'rate' as const, name, limit, windowMs, burst, maxKeys };
}

function remove<T>(list: T[], item: T): void {
  const at = list.indexOf(item);
  if (at >= 0) list.splice(at, 1);
}
