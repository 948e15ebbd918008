/**
 * Random interleavings of requests, messages in both directions, driver events, ends of gateways and time. Whatever happens: no instance is ended on
 * which something is in flight, every held request is answered, phases change as the table says, and max is kept.
 */
import { test } from 'node:test';
import assert from 'node:assert/strict';
import fc from 'fast-check';
import { BACKEND_TRANSITIONS, type BackendPhase } from '../model/backend.ts';
import type { BackendConfig } from '../model/config.ts';
import { backendConfig, settled, World, type BackendOptions, type FakeDriver } from './controller.fixture.ts';
import { QueuedGateway } from './gateway.fixture.ts';

const NAMES = ['db', 'shop', 'many'] as const;

type Action =
  | { do: 'request' | 'finish'; gateway: number; backend: number }
  | { do: 'up' | 'down' | 'flush' | 'report' | 'replace-gateway'; gateway: number }
  | { do: 'ready' | 'fail' | 'die' | 'crash' | 'retired' | 'unhealthy' | 'healthy' | 'wake' | 'sleep'; backend: number }
  | { do: 'advance'; ms: number }
  /** A new command for `backend`; with or without `many`. */
  | { do: 'reload'; backend: number; many: boolean };

const gateway = fc.nat({ max: 2 });
const backend = fc.nat({ max: NAMES.length - 1 });
const one = <D extends Action['do']>(...names: D[]) => fc.constantFrom(...names);
const actions: fc.Arbitrary<Action[]> = fc.array(
  fc.oneof(
    { weight: 5, arbitrary: fc.record({ do: one('request', 'finish'), gateway, backend }) },
    { weight: 12, arbitrary: fc.record({ do: one('up', 'down', 'flush', 'report'), gateway }) },
    { weight: 1, arbitrary: fc.record({ do: one('replace-gateway'), gateway }) },
    {
      weight: 5,
      arbitrary: fc.record({
        do: one('ready', 'ready', 'retired', 'retired', 'fail', 'die', 'crash', 'unhealthy', 'healthy'),
        backend,
      }),
    },
    { weight: 1, arbitrary: fc.record({ do: one('wake', 'sleep'), backend }) },
    { weight: 1, arbitrary: fc.record({ do: one('reload'), backend, many: fc.boolean() }) },
    {
      weight: 5,
      arbitrary: fc.record({ do: one('advance'), ms: fc.constantFrom(1, 20, 100, 150, 300, 301, 1000, 2500, 11_000) }),
    },
  ) as fc.Arbitrary<Action>,
  { minLength: 20, maxLength: 150 },
);

const variants: fc.Arbitrary<BackendOptions['process']> = fc.constantFrom(
  {},
  { port: 3000 },
  { sleep: 'freeze' as const },
);

class Play {
  readonly world = new World();
  readonly gateways: QueuedGateway[] = [];
  readonly #all: QueuedGateway[] = [];
  readonly #watched = new Set<FakeDriver>();
  readonly #variant: BackendOptions['process'];
  readonly #versions = new Map<string, number>();
  #many = true;
  #ending = false;
  /** From here on the drain bound of the first reload may have passed. */
  #boundAtMs = Infinity;
  #gatewayCount = 0;

  constructor(variant: BackendOptions['process']) {
    this.#variant = variant;
  }

  async begin(): Promise<void> {
    await this.world.configure(...this.#configs());
    for (let index = 0; index < 3; index++) this.#attach(index);
    this.#watchAll();
  }

  #configs(): BackendConfig[] {
    const process = (name: string) => ({ ...this.#variant, command: ['node', `v${this.#versions.get(name) ?? 1}.js`] });
    const scale = { idleAfterMs: 300 };
    const target = { metric: 'concurrency' as const, value: 1, utilizationPercent: 100 };
    const windows = { stableMs: 6000, panicPercent: 20, panicThresholdPercent: 200 };
    const many = backendConfig('many', {
      scale: { ...scale, max: 3, target, windows },
      process: { ...process('many'), port: 'auto' },
    });
    return [
      backendConfig('db', { scale, process: process('db') }),
      backendConfig('shop', { scale, wake: { with: ['db'], timeoutMs: 5000 }, process: process('shop') }),
      ...(this.#many ? [many] : []),
    ];
  }

  #reload(name: string, many: boolean): void {
    this.#versions.set(name, (this.#versions.get(name) ?? 1) + 1);
    this.#many = many;
    this.#boundAtMs = Math.min(this.#boundAtMs, this.world.time.nowMs() + 30_000);
    this.world.configure(...this.#configs()).catch((error: unknown) => this.world.errors.push(String(error)));
  }

  #watchAll(): void {
    for (const driver of this.world.drivers) {
      if (this.#watched.has(driver)) continue;
      this.#watched.add(driver);
      this.#watch(driver);
    }
  }

  #attach(index: number): void {
    const made = new QueuedGateway(`g${++this.#gatewayCount}`, this.world.time);
    this.gateways[index] = made;
    this.#all.push(made);
    this.world.controller.attach(made.id, made.link);
  }

  /** Nothing may be in flight on what is being ended, now or by a message that is on its way. Only a reload ends something by its bound. */
  #watch(driver: FakeDriver): void {
    const { retire, close } = driver;
    driver.retire = (ids, options) => {
      for (const id of ids) this.#unused(driver, id);
      return retire.call(driver, ids, options);
    };
    driver.close = () => {
      if (!this.#ending) for (const { id } of driver.of('ready', 'unhealthy', 'starting')) this.#unused(driver, id);
      return close.call(driver);
    };
  }

  #unused({ config: { name } }: FakeDriver, id: string): void {
    if (this.world.time.nowMs() >= this.#boundAtMs) return;
    for (const one of this.gateways) {
      // One that is gone took its requests with it.
      if (!one.open) continue;
      const side = one.side(name);
      const inFlight = side.inFlight.has(id);
      const known = side.update?.endpoints.find((endpoint) => endpoint.id === id);
      if (inFlight) this.world.errors.push(`${id} was ended with a request of ${one.id} in flight`);
      if (known?.state === 'ready') this.world.errors.push(`${id} was ended while ${one.id} may send to it`);
    }
  }

  async act(action: Action): Promise<void> {
    switch (action.do) {
      case 'request':
        this.#gateway(action.gateway).request(NAMES[action.backend] ?? 'db');
        break;
      case 'finish':
        this.#gateway(action.gateway).finishOne(NAMES[action.backend] ?? 'db');
        break;
      case 'up':
        this.#gateway(action.gateway).deliverUp();
        break;
      case 'down':
        this.#gateway(action.gateway).deliverDown();
        break;
      case 'flush':
        this.#gateway(action.gateway).flush();
        break;
      case 'report':
        this.#gateway(action.gateway).report();
        break;
      case 'replace-gateway':
        this.#gateway(action.gateway).close();
        this.#attach(action.gateway);
        break;
      case 'advance':
        // A driver keeps its bound, whatever else happens.
        if (action.ms > 1000)
          for (const { retirements } of this.world.drivers)
            for (const retirement of retirements.splice(0)) retirement.finish();
        await settled();
        this.world.time.advance(action.ms);
        break;
      case 'wake':
      case 'sleep': {
        const signal = new AbortController().signal;
        const name = NAMES[action.backend] ?? 'db';
        const done =
          action.do === 'wake'
            ? this.world.controller.wake(name, { kind: 'command', atMs: 0 }, signal)
            : this.world.controller.sleep(name, signal);
        done.catch(() => {});
        break;
      }
      case 'reload':
        this.#reload(NAMES[action.backend] ?? 'db', action.many);
        break;
      default:
        this.#drive(action.do, NAMES[action.backend] ?? 'db');
    }
    await settled();
    this.#watchAll();
  }

  #drive(what: 'ready' | 'fail' | 'die' | 'crash' | 'retired' | 'unhealthy' | 'healthy', name: string): void {
    const drivers = this.world.drivers.filter((one) => one.config.name === name);
    const driver = drivers.find((one) => one.instances().length > 0) ?? this.world.driver(name);
    const [up] = driver.of('ready', 'unhealthy');
    if (what === 'ready' && driver.of('starting').length > 0) driver.ready();
    else if (what === 'fail' && driver.of('starting').length > 0) driver.fail(1000);
    else if (what === 'retired') driver.retirements.shift()?.finish();
    else if (up !== undefined && (what === 'die' || what === 'crash')) {
      driver.die(up.id, what === 'die' ? 0 : 1000);
      for (const one of this.gateways) one.broken(name, up.id);
    } else if (up !== undefined && what === 'unhealthy') driver.unhealthy(up.id);
    else if (up !== undefined && what === 'healthy') driver.unhealthy(up.id, 'ready');
  }

  #gateway(index: number): QueuedGateway {
    const found = this.gateways[index];
    if (found === undefined) throw new Error(`no gateway ${index}`);
    return found;
  }

  check(): void {
    for (const { config, most } of this.world.drivers)
      assert.ok(most <= config.scale.max, `${config.name} had ${most} instances`);
    assert.deepEqual(this.world.errors, []);
  }

  async end(): Promise<void> {
    this.#ending = true;
    await this.world.end();
  }

  /** Everybody does his work from here on: what was held must be answered, and in the end all sleep. */
  async calmDown(): Promise<void> {
    for (let round = 0; round < 100; round++) {
      this.#watchAll();
      for (const driver of this.world.drivers) {
        for (const { id } of driver.of('unhealthy')) driver.unhealthy(id, 'ready');
        while (driver.of('starting').length > 0) driver.ready();
        for (const retirement of driver.retirements.splice(0)) retirement.finish();
      }
      for (const one of this.gateways) {
        one.report();
        one.flush();
        for (const name of NAMES) while (one.side(name).inFlight.size > 0) one.finishOne(name);
      }
      await settled();
      // Beyond the drain bound of what a reload took away.
      this.world.time.advance(round === 60 ? 31_000 : 100);
      await settled();
      this.check();
    }
    for (const one of this.gateways) {
      for (const { name } of this.world.controller.backends())
        assert.equal(one.side(name).held, 0, `${one.id} still holds requests for ${name}`);
    }
    for (const { name, phase, why } of this.world.controller.backends())
      assert.equal(phase, 'asleep', `${name}: ${why}`);
    for (const driver of this.world.drivers) {
      const left = driver.of('starting', 'ready', 'unhealthy', 'stopping');
      assert.deepEqual(left, [], `${driver.config.name} left something behind`);
      if (driver !== this.world.driver(driver.config.name))
        assert.ok(driver.closed, `an old driver of ${driver.config.name} is still open`);
    }
    assert.equal(this.world.time.pending, 0, 'a timer was left');
    for (const one of this.#all) {
      for (const [name, phases] of one.phases) {
        for (let i = 1; i < phases.length; i++) {
          const [from, to] = [phases[i - 1] as BackendPhase, phases[i] as BackendPhase];
          // A gateway that came later begins in the middle.
          if (i > 1) assert.ok(BACKEND_TRANSITIONS[from].includes(to), `${name}: ${from} -> ${to}`);
        }
      }
    }
  }
}

test('any interleaving loses nothing, answers everything and ends asleep', async () => {
  await fc.assert(
    fc.asyncProperty(variants, actions, async (variant, list) => {
      const play = new Play(variant);
      await play.begin();
      for (const action of list) {
        await play.act(action);
        play.check();
      }
      await play.calmDown();
      await play.end();
    }),
    { numRuns: 200 },
  );
});
