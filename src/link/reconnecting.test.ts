import assert from 'node:assert/strict';
import { EventEmitter, once } from 'node:events';
import { afterEach, describe, it } from 'node:test';
import type { DemandWindow } from '../model/demand.ts';
import { silentLogger, systemClock, type Logger } from '../model/ports.ts';
import { linkCertificates, SERVER_NAME } from './fixtures/link-certificates.ts';
import { dialLink } from './grpc-client.ts';
import { serveLinks, type LinkServer } from './grpc-server.ts';
import type { Link } from './link.ts';
import { LINK_VERSION, type DownMessage, type UpMessage } from './messages.ts';
import { ReconnectingLink, type OperatorAddress } from './reconnecting.ts';
import { Unsaid } from './unsaid.ts';

const certificates = await linkCertificates();
const closing: (() => unknown)[] = [];
afterEach(async () => {
  for (const close of closing.splice(0).toReversed()) await close();
});

/** One operator: says its role when a gateway comes, and notes what it is told. */
class Operator extends EventEmitter {
  readonly got: UpMessage[] = [];
  readonly links: Link<DownMessage, UpMessage>[] = [];
  readonly server: LinkServer;
  leader: boolean;
  term: number;

  static async start(leader: boolean, term = 0, port = 0): Promise<Operator> {
    const server = await serveLinks({
      address: { host: '127.0.0.1', port },
      credentials: certificates.operator,
      logger: silentLogger,
      onLink: (_id, link) => operator.attached(link),
    });
    const operator = new Operator(server, leader, term);
    closing.push(() => server.close());
    return operator;
  }

  private constructor(server: LinkServer, leader: boolean, term: number) {
    super();
    this.server = server;
    this.leader = leader;
    this.term = term;
  }

  private attached(link: Link<DownMessage, UpMessage>): void {
    this.links.push(link);
    link.send({ type: 'role', leader: this.leader, term: this.term });
    link.onMessage((message) => {
      this.got.push(message);
      this.emit('message');
    });
    this.emit('link');
  }

  role(leader: boolean, term: number): void {
    this.leader = leader;
    this.term = term;
    for (const link of this.links) link.send({ type: 'role', leader, term });
  }

  async heard(type: UpMessage['type'], count = 1): Promise<UpMessage> {
    for (;;) {
      const found = this.got.filter((message) => message.type === type);
      if (found.length >= count) return found[count - 1]!;
      await once(this, 'message');
    }
  }

  get types(): string[] {
    return this.got.map(({ type }) => type);
  }
}

interface Gateway {
  link: ReconnectingLink;
  events: EventEmitter;
  got: DownMessage[];
  addresses: OperatorAddress[];
}

function gateway(operators: readonly Operator[], logger: Logger = silentLogger): Gateway {
  const events = new EventEmitter();
  const got: DownMessage[] = [];
  const addresses = operators.map(({ server }) => server.address);
  const link: ReconnectingLink = new ReconnectingLink({
    resolve: async () => addresses,
    dial: (address, signal) =>
      dialLink({
        address,
        serverName: SERVER_NAME,
        credentials: certificates.gateway,
        gateway: 'g',
        logger: silentLogger,
        signal,
      }),
    onLeader: () => {
      link.send({ type: 'hello', gateway: 'g', pid: 1, linkVersion: LINK_VERSION });
      events.emit('leader');
    },
    clock: systemClock,
    random: Math.random,
    logger,
    resolveMs: 10,
    backoffMs: { least: 10, most: 50 },
  });
  link.onMessage((message) => {
    got.push(message);
    events.emit('message', message);
  });
  link.start();
  closing.push(() => new Promise<void>((resolve) => (link.onClose(resolve), link.close())));
  return { link, events, got, addresses };
}

const window = (backend: string, more: Partial<DemandWindow> = {}): DemandWindow => ({
  backend,
  elapsedMs: 100,
  concurrencyMs: 50,
  requests: 2,
  errors: 1,
  inFlight: 1,
  held: 0,
  tunnels: 0,
  lastActivityMs: 5,
  ...more,
});
const wake: UpMessage = { type: 'wake', backend: 'b', route: 'r', client: 'c', method: 'GET', path: '/', atMs: 1 };

describe('the link of a gateway to several operators', () => {
  it('listens to the leader only, and tells every operator of who waits', async () => {
    const [leader, standby] = [await Operator.start(true, 3), await Operator.start(false)];
    const { link, events, got } = gateway([leader, standby]);
    await Promise.all([leader.heard('hello'), standby.links.length === 0 && once(standby, 'link')]);
    standby.links[0]!.send({ type: 'collect', id: 1 });
    leader.links[0]!.send({ type: 'collect', id: 2 });
    await once(events, 'message');
    link.send(wake);
    link.send({ type: 'configured', version: 1 });
    await Promise.all([leader.heard('configured'), standby.heard('wake')]);
    assert.deepEqual(got, [{ type: 'collect', id: 2 }]);
    assert.deepEqual(leader.types, ['hello', 'wake', 'configured']);
    assert.deepEqual(standby.types, ['wake']);
    assert.deepEqual({ ...link.state, leader: null }, { operators: 2, connected: 2, leader: null, relinks: 0 });
  });

  it('while nobody leads, says so to whoever may wake, and hears of the pods from him; a leader has the only word', async () => {
    const standby = await Operator.start(false);
    const { link, events, got } = gateway([standby]);
    if (standby.links.length === 0) await once(standby, 'link');
    while (link.state.connected === 0) await new Promise(setImmediate);
    link.send(wake);
    assert.deepEqual(await standby.heard('wake'), { ...wake, alone: true });
    const pods: DownMessage = {
      ...{ type: 'backend', backend: 'b', version: 1, phase: 'awake', crash: null, wakingSinceMs: 0 },
      endpoints: [{ id: 'b-1~0', host: '10.0.0.1', port: 80, weight: 1, state: 'ready' }],
    };
    standby.links[0]!.send({ type: 'collect', id: 1 });
    standby.links[0]!.send(pods);
    await once(events, 'message');
    assert.deepEqual(got, [pods]);
    standby.role(true, 1);
    await once(events, 'leader');
    link.send(wake);
    assert.deepEqual(await standby.heard('wake', 2), wake);
  });

  it('goes on without an operator, and tells the next one what has been since', async () => {
    const first = await Operator.start(true);
    const { link, events, addresses } = gateway([first]);
    await first.heard('hello');
    await first.server.close();
    while (link.state.connected > 0) await new Promise(setImmediate);
    link.send({ type: 'demand', windows: [window('b'), window('c')] });
    link.send({ type: 'demand', windows: [window('b', { inFlight: 3, lastActivityMs: 9 })] });
    link.send({ type: 'configured', version: 1 });
    link.send({ type: 'traces', records: [], dropped: 4 });
    const second = await Operator.start(true);
    addresses.splice(0, 1, second.server.address);
    await once(events, 'leader');
    assert.deepEqual(await second.heard('demand'), {
      type: 'demand',
      windows: [
        window('b', { elapsedMs: 200, concurrencyMs: 100, requests: 4, errors: 2, inFlight: 3, lastActivityMs: 9 }),
        window('c'),
      ],
    });
    assert.deepEqual(await second.heard('traces'), { type: 'traces', records: [], dropped: 4 });
    assert.deepEqual(second.types, ['hello', 'demand', 'traces']);
    assert.equal(link.state.relinks, 1);
    // The first one's address is not in the name any more.
    assert.equal(link.state.operators, 1);
  });

  it('comes back to an operator that was started anew at the same address', async () => {
    const first = await Operator.start(true);
    const { events } = gateway([first]);
    await first.heard('hello');
    const again = once(events, 'leader');
    await first.server.close();
    const second = await Operator.start(true, 0, first.server.address.port);
    await again;
    await second.heard('hello');
  });

  it('follows the leader: a standby that begins to lead is greeted, the former one not heard', async () => {
    const [one, two] = [await Operator.start(true, 1), await Operator.start(false)];
    const { link, events, got } = gateway([one, two]);
    await one.heard('hello');
    if (two.links.length === 0) await once(two, 'link');
    two.role(true, 2);
    await two.heard('hello');
    // It doesn't know yet that it leads no more; nor does it matter that it says it once more.
    one.links[0]!.send({ type: 'collect', id: 1 });
    one.role(true, 1);
    two.links[0]!.send({ type: 'collect', id: 2 });
    await once(events, 'message');
    link.send({ type: 'configured', version: 1 });
    await two.heard('configured');
    assert.deepEqual(got, [{ type: 'collect', id: 2 }]);
    assert.equal(one.types.filter((type) => type === 'hello').length, 1);
    // The only one that still says that it leads.
    two.role(false, 2);
    await one.heard('hello', 2);
  });

  it('greets an operator again that has lost the lead and got it back', async () => {
    const one = await Operator.start(true, 1);
    const { link } = gateway([one]);
    await one.heard('hello');
    one.role(true, 1);
    one.role(true, 3);
    await one.heard('hello', 2);
    one.role(false, 3);
    one.role(true, 5);
    await one.heard('hello', 3);
    link.send({ type: 'configured', version: 1 });
    await one.heard('configured');
    assert.deepEqual(one.types, ['hello', 'hello', 'hello', 'configured']);
  });

  it('keeps looking while the name cannot be resolved, and says so once', async () => {
    const lines: string[] = [];
    const logger: Logger = { ...silentLogger, warn: (message) => void lines.push(message) };
    const operator = await Operator.start(true);
    let tries = 0;
    const link: ReconnectingLink = new ReconnectingLink({
      resolve: async () => {
        if (++tries < 5) throw new Error('ENOTFOUND');
        return [operator.server.address];
      },
      dial: (address, signal) =>
        dialLink({ address, serverName: SERVER_NAME, credentials: certificates.gateway, gateway: 'g', logger, signal }),
      onLeader: () => link.send({ type: 'hello', gateway: 'g', pid: 1, linkVersion: LINK_VERSION }),
      clock: systemClock,
      random: Math.random,
      logger,
      resolveMs: 5,
    });
    closing.push(() => link.close());
    link.start();
    await operator.heard('hello');
    assert.deepEqual(lines, ['no operator is to be found; looking on']);
  });

  it('sends what was said before it is closed, and then tells the close', async () => {
    const operator = await Operator.start(true);
    const { link } = gateway([operator]);
    await operator.heard('hello');
    const closed = new Promise<void>((resolve) => link.onClose(resolve));
    link.send({ type: 'leaving' });
    link.close();
    link.send({ type: 'configured', version: 2 });
    await closed;
    assert.deepEqual(operator.types, ['hello', 'leaving']);
    assert.equal(link.state.connected, 0);
  });
});

describe('what was not said', () => {
  it('is told as if it were of the last second', () => {
    const unsaid = new Unsaid();
    for (let i = 0; i < 100; i++)
      unsaid.keep({ type: 'demand', windows: [window('b', { elapsedMs: 1000, concurrencyMs: 3000, requests: 10 })] });
    const [message] = unsaid.take();
    assert.deepEqual(message, {
      type: 'demand',
      windows: [window('b', { elapsedMs: 1000, concurrencyMs: 3000, requests: 10 })],
    });
    assert.deepEqual(unsaid.take(), []);
  });

  it('is bounded', () => {
    const unsaid = new Unsaid();
    for (let i = 0; i < 30_000; i++) unsaid.keep({ type: 'demand', windows: [window(`b${i}`)] });
    assert.equal(unsaid.backends, 20_000);
    for (let i = 0; i < 3; i++)
      unsaid.keep({ type: 'traces', records: Array.from({ length: 600 }, () => ({}) as never), dropped: 0 });
    const traces = unsaid.take().find((message) => message.type === 'traces');
    assert.deepEqual([traces?.records.length, traces?.dropped], [1000, 800]);
  });
});
