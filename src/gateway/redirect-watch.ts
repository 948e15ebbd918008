/**
 * Whether a Service's address leads to gateways: one of them opens connections to it and sends nothing, so that an application which is still reached sees no request; all of
 * them tell which silent connections they have just accepted (docs/adr/0009).
 */
import { connect, type Socket } from 'node:net';
import type { DownMessage, UpMessage } from '../link/messages.ts';

/** Silent connections that are held back at once for one look; more go on as usual. */
const MOST_WAITING = 1000;
/** After the look those that were opened for it are closed by the other end within this, ms; whoever is still there is a client. */
const GRACE_MS = 1000;

export interface SilentConnection {
  address: string;
  port: number;
}

/** Holds back what a listener accepts until it says something, for the short time of a look: a raw TCP client would otherwise count as demand. */
export class SilentWatch {
  readonly #waiting = new Map<Socket, () => void>();
  readonly #seen: SilentConnection[] = [];
  #ended = false;

  /** `proceed` goes on with the connection as if there had been no look. */
  take(socket: Socket, proceed: () => void): void {
    if (this.#ended || this.#waiting.size >= MOST_WAITING) return proceed();
    if (this.#seen.length < MOST_WAITING)
      this.#seen.push({ address: socket.remoteAddress ?? '', port: socket.remotePort ?? 0 });
    const spoken = (): void => {
      if (socket.readableLength > 0) goOn();
    };
    const gone = (): void => {
      leave();
      socket.destroy();
    };
    const leave = (): void => {
      this.#waiting.delete(socket);
      socket.off('readable', spoken);
      socket.off('end', gone);
      socket.off('error', gone);
      socket.off('close', gone);
    };
    const goOn = (): void => {
      leave();
      proceed();
    };
    this.#waiting.set(socket, goOn);
    socket.on('readable', spoken);
    socket.on('end', gone);
    socket.on('error', gone);
    socket.on('close', gone);
  }

  /** Connections that came during the look, whether or not they are still there. */
  get seen(): readonly SilentConnection[] {
    return this.#seen;
  }

  /** Lets whoever is still there after a moment go on. */
  end(): void {
    if (this.#ended) return;
    this.#ended = true;
    setTimeout(() => {
      for (const goOn of [...this.#waiting.values()]) goOn();
    }, GRACE_MS).unref();
  }
}

type Order = Extract<DownMessage, { type: 'redirect-watch' | 'redirect-probe' | 'redirect-end' }>;
type Answer = Extract<UpMessage, { type: 'redirect-watching' | 'redirect-probed' | 'redirect-silent' }>;

/** A look whose end is never told ends by itself, ms. */
const LOOK_BOUND_MS = 10_000;
const CONNECT_MS = 1500;
const MOST_CONNECTIONS = 100;
/** Looks at once. */
const MOST_LOOKS = 100;

interface Look {
  watch: SilentWatch | null;
  stop(): void;
  probe: SilentProbe | null;
  bound: NodeJS.Timeout;
}

/** This gateway's part in looks: see link/messages.ts, `redirect-watch`. */
export class RedirectLooks {
  readonly #deps: { listener(name: string): { watch: SilentWatch | null } | null; send(answer: Answer): void };
  readonly #looks = new Map<number, Look>();

  constructor(deps: { listener(name: string): { watch: SilentWatch | null } | null; send(answer: Answer): void }) {
    this.#deps = deps;
  }

  receive(order: Order): void {
    switch (order.type) {
      case 'redirect-watch':
        this.#watch(order.id, order.listener);
        return;
      case 'redirect-probe':
        void this.#probe(order.id, order, order.count);
        return;
      case 'redirect-end':
        this.#end(order.id);
    }
  }

  #watch(id: number, name: string): void {
    const listener = this.#deps.listener(name);
    // Without an answer the look fails, as it should.
    if (listener === null || this.#looks.size >= MOST_LOOKS) return;
    const watch = new SilentWatch();
    listener.watch?.end();
    listener.watch = watch;
    this.#looks.set(id, {
      watch,
      probe: null,
      stop: () => {
        if (listener.watch === watch) listener.watch = null;
        watch.end();
      },
      bound: setTimeout(() => this.#end(id), LOOK_BOUND_MS).unref(),
    });
    this.#deps.send({ type: 'redirect-watching', id });
  }

  async #probe(id: number, target: { host: string; port: number }, count: number): Promise<void> {
    const look = this.#looks.get(id);
    if (look === undefined || look.probe !== null) return;
    const most = Math.max(1, Math.min(MOST_CONNECTIONS, Math.floor(count)));
    const probe = await openSilently(target, most, CONNECT_MS);
    look.probe = probe;
    if (this.#looks.get(id) !== look) probe.close();
    else
      this.#deps.send({
        type: 'redirect-probed',
        id,
        opened: probe.ports.map((port) => ({ port })),
        failed: probe.failed,
      });
  }

  #end(id: number): void {
    const look = this.#looks.get(id);
    if (look === undefined) return;
    this.#looks.delete(id);
    clearTimeout(look.bound);
    look.probe?.close();
    look.stop();
    this.#deps.send({ type: 'redirect-silent', id, from: [...(look.watch?.seen ?? [])] });
  }
}

export interface SilentProbe {
  /** Local ports of those that were opened. */
  readonly ports: number[];
  /** How many could not be opened. */
  readonly failed: number;
  close(): void;
}

/** Opens `count` connections and sends nothing; resolves when all are open or have failed, within `withinMs`. Close them when all have been looked for. */
export async function openSilently(
  target: { host: string; port: number },
  count: number,
  withinMs: number,
): Promise<SilentProbe> {
  const sockets: Socket[] = [];
  const ports: number[] = [];
  const tries = Array.from({ length: count }, () => {
    const socket = connect({ host: target.host, port: target.port });
    sockets.push(socket);
    return new Promise<boolean>((resolve) => {
      const timer = setTimeout(() => resolve(false), withinMs);
      socket.once('connect', () => {
        clearTimeout(timer);
        ports.push(socket.localPort ?? 0);
        resolve(true);
      });
      socket.on('error', () => {
        clearTimeout(timer);
        resolve(false);
      });
    });
  });
  const opened = await Promise.all(tries);
  return {
    ports,
    failed: opened.filter((isOpen) => !isOpen).length,
    close: () => {
      for (const socket of sockets) socket.destroy();
    },
  };
}
