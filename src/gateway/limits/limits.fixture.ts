/** Several gateways and the one who counts, in one process: time and messages move when the test says. */
import { LimitDesk } from '../../controller/limits/limit-desk.ts';
import type { LimitGrant } from '../../link/limit-messages.ts';
import type { UpMessage } from '../../link/messages.ts';
import { silentLogger, type Clock, type Logger } from '../../model/ports.ts';
import { createSharedLimits, type GatewayLimits } from './create-shared-limits.ts';
import type { RateLimitSpec } from './shared-limits.ts';
import type { SourceTimers } from './supervisor-source.ts';

export class FakeTimers implements Clock, SourceTimers {
  private now = 1000;
  private readonly turn: (() => void)[] = [];
  private readonly waiting = new Set<{ atMs: number; fn: () => void }>();

  nowMs(): number {
    return this.now;
  }

  wallMs(): number {
    return this.now;
  }

  soon(fn: () => void): void {
    this.turn.push(fn);
  }

  later(ms: number, fn: () => void): () => void {
    const timer = { atMs: this.now + ms, fn };
    this.waiting.add(timer);
    return () => this.waiting.delete(timer);
  }

  /** Ends the turn of the event loop. */
  endTurn(): void {
    for (const fn of this.turn.splice(0)) fn();
  }

  get pending(): number {
    return this.waiting.size;
  }

  advance(ms: number): void {
    const end = this.now + ms;
    for (;;) {
      let next: { atMs: number; fn: () => void } | null = null;
      for (const timer of this.waiting)
        if (timer.atMs <= end && (next === null || timer.atMs < next.atMs)) next = timer;
      if (next === null) break;
      this.waiting.delete(next);
      this.now = Math.max(this.now, next.atMs);
      next.fn();
    }
    this.now = end;
  }
}

export class Gateways {
  readonly time = new FakeTimers();
  readonly messages: { gateway: string; message: UpMessage }[] = [];
  readonly log: string[] = [];
  readonly desk: LimitDesk<string>;
  private readonly all = new Map<string, GatewayLimits>();
  private readonly underWay: { gateway: string; message: UpMessage }[] = [];
  workers = 1;
  /** Messages stay where they are. */
  silent = false;

  constructor() {
    this.desk = new LimitDesk({ clock: this.time, gateways: () => this.all.size });
  }

  add(gateway: string): GatewayLimits {
    const note =
      (level: string) =>
      (text: string, fields?: Record<string, unknown>): void =>
        void this.log.push(`${level}: ${text} ${JSON.stringify(fields ?? {})}`);
    const logger: Logger = { ...silentLogger, warn: note('warn'), info: note('info'), error: note('error') };
    this.workers = this.all.size + 1;
    const limits: GatewayLimits = createSharedLimits({
      clock: this.time,
      logger,
      timers: this.time,
      workers: () => this.workers,
      send: (message) => {
        if (this.all.has(gateway) && this.all.get(gateway) !== limits) return;
        this.messages.push({ gateway, message });
        this.underWay.push({ gateway, message });
      },
    });
    this.all.set(gateway, limits);
    return limits;
  }

  /** The gateway is killed. */
  kill(gateway: string): void {
    this.all.delete(gateway);
    this.desk.left(gateway);
  }

  /** Asks that were sent. */
  get asks(): number {
    return this.messages.filter(({ message }) => message.type === 'limit-ask').length;
  }

  /** Until nothing is under way any more. */
  async settle(): Promise<void> {
    for (let i = 0; i < 100; i++) {
      this.time.endTurn();
      if (!this.silent) for (const { gateway, message } of this.underWay.splice(0)) this.deliver(gateway, message);
      for (let j = 0; j < 10; j++) await Promise.resolve();
    }
  }

  private deliver(gateway: string, message: UpMessage): void {
    const limits = this.all.get(gateway);
    if (limits === undefined) return;
    if (message.type === 'limit-open') this.desk.open(gateway, message.terms);
    else if (message.type === 'limit-close') this.desk.close(gateway, message.name);
    else if (message.type === 'limit-ask')
      limits.receive({
        type: 'limit-grant',
        seq: message.seq,
        grants: JSON.parse(JSON.stringify(this.desk.ask(gateway, message.asks))) as LimitGrant[],
      });
  }
}

export function rateSpec(more: Partial<RateLimitSpec> = {}): RateLimitSpec {
  return {
    id: 'shop/0/0',
    route: 'shop',
    limit: 100,
    windowMs: 60_000,
    burst: 100,
    maxKeys: 10_000,
    redis: null,
    ...more,
  };
}
