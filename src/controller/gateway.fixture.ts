/**
 * A gateway that behaves as the protocol says, with both directions of its link as queues: a model test decides when a message arrives. It holds
 * requests, pokes once per update, drains, and forgets nothing.
 */
import { LINK_VERSION, type BackendUpdate, type DownMessage, type UpMessage } from '../link/messages.ts';
import type { Link } from '../link/link.ts';
import type { FakeTime } from './controller.fixture.ts';

interface Side {
  update: BackendUpdate | null;
  held: number;
  /** Requests in flight by endpoint. */
  inFlight: Map<string, number>;
  poked: boolean;
  lastActivityMs: number;
  /** `version endpoint` of drains that were answered. */
  answered: Set<string>;
  /** Something is worth reporting. */
  changed: boolean;
  refused: number;
  served: number;
}

export class QueuedGateway {
  readonly id: string;
  readonly down: DownMessage[] = [];
  readonly up: UpMessage[] = [];
  /** Phases in the order in which they were told, by backend. */
  readonly phases = new Map<string, string[]>();
  open = true;
  #receive: (message: UpMessage) => void = () => {};
  #closed: () => void = () => {};
  readonly #time: FakeTime;
  readonly #sides = new Map<string, Side>();

  constructor(id: string, time: FakeTime) {
    this.id = id;
    this.#time = time;
    this.up.push({ type: 'hello', gateway: id, pid: 1, linkVersion: LINK_VERSION });
  }

  readonly link: Link<DownMessage, UpMessage> = {
    send: (message) => void (this.open && this.down.push(structuredClone(message))),
    onMessage: (handler) => (this.#receive = handler),
    onClose: (handler) => (this.#closed = handler),
    close: () => this.close(),
  };

  side(backend: string): Side {
    let side = this.#sides.get(backend);
    if (side === undefined) {
      side = {
        update: null,
        held: 0,
        inFlight: new Map(),
        poked: false,
        lastActivityMs: 0,
        answered: new Set(),
        changed: false,
        refused: 0,
        served: 0,
      };
      this.#sides.set(backend, side);
    }
    return side;
  }

  get heldEverywhere(): number {
    return [...this.#sides.values()].reduce((sum, side) => sum + side.held, 0);
  }

  // ---- clients

  request(backend: string): void {
    const side = this.side(backend);
    side.lastActivityMs = this.#time.wallMs();
    side.changed = true;
    const crash = side.update?.crash ?? null;
    const ready = side.update?.endpoints.find((endpoint) => endpoint.state === 'ready');
    if (ready !== undefined) side.inFlight.set(ready.id, (side.inFlight.get(ready.id) ?? 0) + 1);
    else if (crash !== null && this.#time.wallMs() < crash.retryAtMs) side.refused++;
    else {
      side.held++;
      this.#poke(backend, side);
    }
  }

  finishOne(backend: string): void {
    const side = this.side(backend);
    const [first] = side.inFlight;
    if (first === undefined) return;
    const [endpoint, count] = first;
    if (count === 1) side.inFlight.delete(endpoint);
    else side.inFlight.set(endpoint, count - 1);
    side.served++;
    side.lastActivityMs = this.#time.wallMs();
    side.changed = true;
    this.#answerDrains(backend, side);
  }

  /** The instance is dead: what was in flight there is lost, with it. */
  broken(backend: string, endpoint: string): void {
    const side = this.side(backend);
    if (side.inFlight.delete(endpoint)) side.changed = true;
    this.#answerDrains(backend, side);
  }

  report(): void {
    for (const [backend, side] of this.#sides) {
      if (!side.changed && side.held === 0 && side.inFlight.size === 0) continue;
      side.changed = false;
      const inFlight = [...side.inFlight.values()].reduce((sum, count) => sum + count, 0);
      const { held, lastActivityMs } = side;
      const concurrencyMs = (inFlight + held) * 100;
      this.up.push({
        type: 'demand',
        windows: [
          {
            backend,
            elapsedMs: 100,
            concurrencyMs,
            requests: 0,
            errors: 0,
            inFlight,
            held,
            tunnels: 0,
            lastActivityMs,
          },
        ],
      });
    }
  }

  // ---- the link

  deliverUp(): void {
    const message = this.up.shift();
    if (message !== undefined && this.open) this.#receive(message);
  }

  deliverDown(): void {
    const message = this.down.shift();
    if (message === undefined || !this.open) return;
    if (message.type === 'configure') this.up.push({ type: 'configured', version: message.version });
    if (message.type === 'backend') this.#updated(message);
  }

  /** Delivers everything, both ways. */
  flush(): void {
    while (this.open && this.up.length + this.down.length > 0) {
      this.deliverDown();
      this.deliverUp();
    }
  }

  close(): void {
    if (!this.open) return;
    this.open = false;
    this.#closed();
  }

  #updated(update: BackendUpdate): void {
    const side = this.side(update.backend);
    if (side.update !== null && update.version <= side.update.version)
      throw new Error(`${update.backend}: versions went back`);
    side.update = update;
    side.poked = false;
    const phases = this.phases.get(update.backend) ?? ['asleep'];
    if (phases.at(-1) !== update.phase) phases.push(update.phase);
    this.phases.set(update.backend, phases);
    const ready = update.endpoints.find((endpoint) => endpoint.state === 'ready');
    if (ready !== undefined && side.held > 0) {
      side.inFlight.set(ready.id, (side.inFlight.get(ready.id) ?? 0) + side.held);
      side.held = 0;
      side.changed = true;
    } else if (update.crash !== null && this.#time.wallMs() < update.crash.retryAtMs) {
      side.refused += side.held;
      side.held = 0;
      side.changed = true;
    }
    this.#answerDrains(update.backend, side);
  }

  #poke(backend: string, side: Side): void {
    if (side.poked) return;
    side.poked = true;
    this.up.push({
      type: 'wake',
      backend,
      route: 'web',
      client: '10.0.0.9',
      method: 'GET',
      path: '/',
      atMs: this.#time.wallMs(),
    });
  }

  #answerDrains(backend: string, side: Side): void {
    const { update } = side;
    if (update === null) return;
    for (const endpoint of update.endpoints) {
      const key = `${update.version} ${endpoint.id}`;
      if (endpoint.state !== 'draining' || side.answered.has(key) || (side.inFlight.get(endpoint.id) ?? 0) > 0)
        continue;
      side.answered.add(key);
      const { held, lastActivityMs } = side;
      this.up.push({ type: 'drained', backend, version: update.version, endpoint: endpoint.id, held, lastActivityMs });
    }
  }
}
