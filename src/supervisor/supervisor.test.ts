import assert from 'node:assert/strict';
import { spawn, type ChildProcess } from 'node:child_process';
import { readFileSync } from 'node:fs';
import net from 'node:net';
import { after, describe, it } from 'node:test';
import { fileURLToPath } from 'node:url';
import type { Link } from '../link/link.ts';
import type { DownMessage, GatewayConfig, UpMessage } from '../link/messages.ts';
import type { HostPort } from '../model/config.ts';
import { silentLogger, systemClock } from '../model/ports.ts';
import { Supervisor, type SupervisedConfig } from './supervisor.ts';

const entry = fileURLToPath(new URL('./fixtures/worker.ts', import.meta.url));
const PROMPT = { timeout: 15_000 };

interface Listener {
  name: string;
  address: HostPort;
}

/** A supervisor with the fixture's workers, and the little of a controller that they need: each is told where to listen. */
class Bench {
  readonly supervisor: Supervisor;
  readonly children = new Set<ChildProcess>();
  readonly links = new Map<string, Link<DownMessage, UpMessage>>();
  readonly configured = new Map<string, number>();
  behaviour: (id: string) => string = () => 'serve';
  #config: SupervisedConfig & { version: number };
  #wake: (() => void)[] = [];

  constructor(workers: number, listeners: Listener[], platform: NodeJS.Platform = process.platform) {
    this.#config = { workers, listeners, shutdown: { drainMs: 2000 }, version: 1 };
    this.supervisor = new Supervisor({
      logger: silentLogger,
      clock: systemClock,
      platform,
      spawnWorker: (id) => {
        const child = spawn(process.execPath, ['--no-warnings', entry, id, this.behaviour(id)], {
          stdio: ['ignore', 'inherit', 'inherit', 'ipc'],
        });
        this.children.add(child);
        child.once('exit', () => {
          this.children.delete(child);
          this.#notify();
        });
        return child;
      },
    });
    benches.push(this);
  }

  async start(): Promise<void> {
    await this.supervisor.prepare(this.#config);
    await this.supervisor.start((id, link) => {
      this.links.set(id, link);
      link.onMessage((message) => {
        if (message.type === 'hello') this.#configure(id);
        if (message.type === 'configured') this.configured.set(id, message.version);
        this.#notify();
      });
      link.onClose(() => {
        this.links.delete(id);
        this.configured.delete(id);
        this.#notify();
      });
    });
    await this.inForce();
  }

  async reload(workers: number, listeners: Listener[]): Promise<void> {
    const config = { workers, listeners, shutdown: { drainMs: 2000 }, version: this.#config.version + 1 };
    await this.supervisor.prepare(config);
    this.#config = config;
    for (const id of this.links.keys()) this.#configure(id);
    await this.inForce();
    await this.supervisor.apply(config);
    await this.inForce();
  }

  /** Every worker that runs has the present configuration. */
  inForce(): Promise<void> {
    return this.until(() => {
      const running = this.running();
      return running.length > 0 && running.every((worker) => this.configured.get(worker.id) === this.#config.version);
    });
  }

  running(): { id: string; pid: number }[] {
    return this.supervisor.workers().filter((worker) => worker.state === 'running');
  }

  /** Looks whenever a worker said something or ended, and now and then. */
  async until(condition: () => boolean): Promise<void> {
    const deadline = performance.now() + 10_000;
    while (!condition()) {
      assert.ok(performance.now() < deadline, 'what was waited for did not happen within 10 s');
      await new Promise<void>((resolve) => {
        const timer = setTimeout(resolve, 20);
        this.#wake.push(() => {
          clearTimeout(timer);
          resolve();
        });
      });
    }
  }

  port(name = 'web'): number {
    const { address } = this.supervisor.addresses().find((listener) => listener.name === name)!;
    return Number(address.slice(address.lastIndexOf(':') + 1));
  }

  #configure(id: string): void {
    const config = { listeners: this.#config.listeners } as unknown as GatewayConfig;
    this.links.get(id)?.send({ type: 'configure', version: this.#config.version, config });
  }

  #notify(): void {
    for (const wake of this.#wake.splice(0)) wake();
  }
}

const benches: Bench[] = [];
after(async () => {
  for (const bench of benches) {
    await bench.supervisor.shutdown(0, AbortSignal.abort());
    assert.equal(bench.children.size, 0);
  }
});

const web: Listener = { name: 'web', address: { host: '127.0.0.1', port: 0 } };

/** One connection: what the worker said, or the error. */
function ask(port: number, host = '127.0.0.1'): Promise<string> {
  return new Promise((resolve) => {
    let text = '';
    const socket = net.connect(port, host);
    socket.setEncoding('utf8').on('data', (part) => (text += part));
    socket.on('error', (error: NodeJS.ErrnoException) => resolve(`lost ${error.code}`));
    socket.on('close', () => resolve(text === '' ? 'lost' : text.trim()));
  });
}

/** Connects all the time, `width` at once, until stopped; gives all answers. */
function load(port: number, width = 8): () => Promise<string[]> {
  const answers: string[] = [];
  let stopped = false;
  const clients = Array.from({ length: width }, async () => {
    while (!stopped) answers.push(await ask(port));
  });
  return async () => {
    stopped = true;
    await Promise.all(clients);
    return answers;
  };
}

function lost(answers: string[]): string[] {
  return answers.filter((answer) => answer.startsWith('lost'));
}

describe('supervisor', () => {
  it('spreads connections over the workers of one port', PROMPT, async () => {
    const bench = new Bench(2, [web]);
    await bench.start();
    const answers = await Promise.all(Array.from({ length: 100 }, () => ask(bench.port())));
    assert.deepEqual([...new Set(answers)].sort(), ['worker-1.1', 'worker-2.1']);
  });

  it('keeps a long queue for a worker that does not accept', PROMPT, async () => {
    const bench = new Bench(1, [web]);
    await bench.start();
    const [worker] = bench.running();
    process.kill(worker!.pid, 'SIGSTOP');
    const answers = Promise.all(Array.from({ length: 1500 }, () => ask(bench.port())));
    await bench.until(() => queued(bench.port()) === 1500);
    process.kill(worker!.pid, 'SIGCONT');
    assert.deepEqual(lost(await answers), []);
  });

  it('loses no connection that waits for a worker when that is killed', PROMPT, async () => {
    const bench = new Bench(2, [web]);
    await bench.start();
    for (let round = 1; round <= 3; round++) {
      await bench.until(() => bench.running().length === 2 && bench.configured.size === 2);
      const victim = bench.running()[round % 2]!;
      // Stopped first, so that it is idle when it is killed: what comes now waits in its queue.
      process.kill(victim.pid, 'SIGSTOP');
      const stop = load(bench.port(), 32);
      await bench.until(() => queued(bench.port()) > 0);
      process.kill(victim.pid, 'SIGKILL');
      await bench.until(() => bench.running().length === 2 && bench.running().every(({ id }) => id !== victim.id));
      const answers = await stop();
      assert.deepEqual(lost(answers), [], `round ${round}`);
      assert.ok(answers.length > 32);
    }
    assert.deepEqual(
      bench.supervisor
        .workers()
        .map(({ restarts }) => restarts)
        .sort(),
      [1, 2],
    );
  });

  it('replaces a worker that is asked to end without losing a connection', PROMPT, async () => {
    const bench = new Bench(2, [web]);
    await bench.start();
    const stop = load(bench.port());
    process.kill(bench.running()[0]!.pid, 'SIGTERM');
    await bench.until(() => bench.children.size === 2 && bench.running().some(({ id }) => id === 'worker-1.2'));
    await bench.inForce();
    const late = await ask(bench.port());
    const answers = [...(await stop()), late];
    assert.deepEqual(lost(answers), []);
  });

  it('takes workers away and adds them without losing a connection', PROMPT, async () => {
    const bench = new Bench(3, [web]);
    await bench.start();
    const stop = load(bench.port());
    await bench.reload(1, [web]);
    await bench.until(() => bench.children.size === 1);
    const alone = await Promise.all(Array.from({ length: 60 }, () => ask(bench.port())));
    assert.deepEqual([...new Set(alone)], ['worker-1.1']);
    process.kill(bench.running()[0]!.pid, 'SIGTERM');
    await bench.until(() => bench.children.size === 1 && bench.running()[0]?.id === 'worker-1.2');
    await bench.inForce();
    await bench.reload(3, [web]);
    const together = await Promise.all(Array.from({ length: 120 }, () => ask(bench.port())));
    assert.deepEqual([...new Set(together)].sort(), ['worker-1.2', 'worker-2.1', 'worker-3.1']);
    assert.deepEqual(lost(await stop()), []);
  });

  it('opens and closes listeners on a reload', PROMPT, async () => {
    const bench = new Bench(2, [web]);
    await bench.start();
    const first = bench.port();
    await bench.reload(2, [web, { name: 'more', address: { host: '127.0.0.1', port: 0 } }]);
    assert.equal(bench.port(), first);
    assert.match(await ask(bench.port('more')), /^worker-/);
    const more = bench.port('more');
    await bench.reload(2, [web]);
    assert.equal(await ask(more), 'lost ECONNREFUSED');
    assert.match(await ask(first), /^worker-/);
  });

  it('closes a removed listener that one worker served for former ones', PROMPT, async () => {
    const more: Listener = { name: 'more', address: { host: '127.0.0.1', port: 0 } };
    const bench = new Bench(3, [web, more]);
    await bench.start();
    await bench.reload(1, [web, more]);
    await bench.until(() => bench.children.size === 1);
    const port = bench.port('more');
    assert.deepEqual(lost(await Promise.all(Array.from({ length: 30 }, () => ask(port)))), []);
    await bench.reload(1, [web]);
    // What connects in this moment is cut off; soon nobody listens there.
    let answer = await ask(port);
    for (let i = 0; i < 1000 && answer !== 'lost ECONNREFUSED'; i++) answer = await ask(port);
    assert.equal(answer, 'lost ECONNREFUSED');
    assert.deepEqual(lost(await Promise.all(Array.from({ length: 30 }, () => ask(bench.port())))), []);
  });

  it('moves a listener from one address to all on the same port', PROMPT, async () => {
    const bench = new Bench(2, [web]);
    await bench.start();
    const port = bench.port();
    await bench.reload(2, [{ name: 'all', address: { host: '0.0.0.0', port } }]);
    assert.match(await ask(port), /^worker-/);
  });

  it('shares one socket where the port cannot be shared', PROMPT, async () => {
    const bench = new Bench(2, [web], 'darwin');
    await bench.start();
    const stop = load(bench.port());
    process.kill(bench.running()[0]!.pid, 'SIGTERM');
    await bench.until(() => bench.children.size === 2 && bench.running().some(({ id }) => id === 'worker-1.2'));
    assert.deepEqual(lost(await stop()), []);
  });

  it('listens on IPv6 and on names', PROMPT, async () => {
    const bench = new Bench(2, [
      { name: 'six', address: { host: '::1', port: 0 } },
      { name: 'name', address: { host: 'localhost', port: 0 } },
    ]);
    await bench.start();
    assert.match(bench.supervisor.addresses()[0]!.address, /^\[::1\]:\d+$/);
    assert.match(await ask(bench.port('six'), '::1'), /^worker-/);
    assert.match(await ask(bench.port('name'), 'localhost'), /^worker-/);
  });

  it('gives up a start whose workers die, and says how', PROMPT, async () => {
    const bench = new Bench(1, [web]);
    bench.behaviour = () => 'die';
    await assert.rejects(bench.start(), {
      code: 'DORMOUSE_WORKER_START',
      message: /ended with code 3, 3 times in a row/,
    });
  });

  it('kills a worker that does not end in time, and at once on hurry', PROMPT, async () => {
    for (const [drainMs, hurried] of [
      [0, false],
      [60_000, true],
    ] as const) {
      const bench = new Bench(1, [web]);
      bench.behaviour = () => 'stubborn';
      await bench.start();
      const port = bench.port();
      const hurry = new AbortController();
      const done = bench.supervisor.shutdown(drainMs, hurry.signal);
      if (hurried) hurry.abort();
      await done;
      assert.equal(bench.children.size, 0);
      assert.equal(await ask(port), 'lost ECONNREFUSED');
    }
  });
});

/** Connections in the accept queues of a port (Linux, as all of this but the shared socket). Column 5 of /proc/net/tcp is tx_queue:rx_queue, where rx is that queue's length. */
function queued(port: number): number {
  const suffix = `:${port.toString(16).toUpperCase().padStart(4, '0')}`;
  let sum = 0;
  for (const line of readFileSync('/proc/net/tcp', 'utf8').split('\n').slice(1)) {
    const columns = line.trim().split(/\s+/);
    if (columns[3] === '0A' && columns[1]?.endsWith(suffix)) sum += Number.parseInt(columns[4]!.split(':')[1]!, 16);
  }
  return sum;
}
