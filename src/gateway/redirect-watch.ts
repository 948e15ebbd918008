/**
 * Whether a Service's address leads to gateways: one of them opens connections to it and sends nothing, so that an application which is still reached sees no request; all of
 * them tell which silent connections they have just accepted (docs/adr/0009).
 */
import { connect, type Socket } from 'node:net';

/** Silent connections that are held back at once for one look; more go on as usual. */
const MOST_WAITING = 1000;
/** After the look those that were opened for it are closed by the other end within this, ms; whoever is still there is a client. */
const GRACE_MS = 200;

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
