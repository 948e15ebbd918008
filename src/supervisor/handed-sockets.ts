/** The worker's side of the sockets: asks the supervisor for those of a listener, and serves those of slots that are no more. */
import type { HostPort } from '../model/config.ts';
import { DormouseError } from '../model/errors.ts';
import type { Logger } from '../model/ports.ts';
import { listenerKey, slotMessage, type SlotOrder } from './slot-messages.ts';
import { joinSocket, withBacklog, type RawSocket } from './sockets.ts';

/** How long a worker waits for the supervisor's answer, ms. The supervisor has bound the socket before it tells of the listener. */
const ANSWER_WITHIN_MS = 10_000;

/** What this needs of `process`. */
export interface SlotChannel {
  readonly connected: boolean;
  send?(message: object, handle: undefined, options: undefined, sent: (error: Error | null) => void): boolean;
  on(event: 'message', listener: (message: unknown, handle: unknown) => void): unknown;
  on(event: 'disconnect', listener: () => void): unknown;
}

interface Asked {
  key: string;
  own: RawSocket | null;
  resolve(opened: { handle: object }): void;
  reject(error: DormouseError): void;
  timer: NodeJS.Timeout;
}

export class HandedSockets {
  readonly #channel: SlotChannel;
  readonly #logger: Logger;
  readonly #asked = new Map<number, Asked>();
  /** The worker's own socket of each listener on which its server listens, by key. */
  readonly #own = new Map<string, RawSocket>();
  /** What ends each extra socket, by the socket's name. */
  readonly #extra = new Map<string, () => void>();
  /** Extra sockets that came before there was a server for their connections, by the listener's key. */
  readonly #early = new Map<string, { socket: string; handle: RawSocket }[]>();
  #lastAsk = 0;
  #closed = false;

  constructor(channel: SlotChannel, logger: Logger) {
    this.#channel = channel;
    this.#logger = logger;
    channel.on('message', (message, handle) => this.#received(message, handle as RawSocket | undefined));
    // The gateway, told by the link, closes its own sockets then.
    channel.on('disconnect', () => this.#closeExtra());
  }

  /**
   * The socket on which this worker listens. Rejects with DORMOUSE_SOCKET_REFUSED when the supervisor has none (or does not answer within
   * 10 s).
   */
  open(listener: { name: string; address: HostPort }): Promise<{ handle: object }> {
    const ask = ++this.#lastAsk;
    return new Promise((resolve, reject) => {
      const fail = (reason: string): void => {
        this.#asked.delete(ask);
        reject(new DormouseError('DORMOUSE_SOCKET_REFUSED', `No socket for listener "${listener.name}": ${reason}.`));
      };
      const timer = setTimeout(() => fail('the supervisor did not answer within 10 s'), ANSWER_WITHIN_MS);
      this.#asked.set(ask, { key: listenerKey(listener), own: null, resolve, reject, timer });
      this.#send({ type: 'socket-ask', ask, listener: { name: listener.name, address: listener.address } });
    });
  }

  /** Asks to be replaced. */
  leave(): void {
    this.#send({ type: 'leaving' });
  }

  #closeExtra(): void {
    this.#closed = true;
    for (const end of this.#extra.values()) end();
    this.#extra.clear();
    for (const { handle } of [...this.#early.values()].flat()) handle.close();
    this.#early.clear();
  }

  #send(slot: object): void {
    if (this.#channel.connected) this.#channel.send!({ slot }, undefined, undefined, () => {});
  }

  #received(value: unknown, handle: RawSocket | undefined): void {
    const order = slotMessage<SlotOrder>(value);
    if (order === null) return isShutdown(value) ? this.#closeExtra() : undefined;
    switch (order.type) {
      case 'socket':
        return this.#gotSocket(order, handle);
      case 'socket-refused':
        return this.#refused(order.ask, order.reason);
      case 'socket-join':
        this.#join(order.listener, order.socket, handle);
        return this.#send({ type: 'socket-joined', socket: order.socket });
      case 'socket-release':
        return this.#release(order.socket);
      default:
        this.#logger.warn('ignored an unknown message of the supervisor', {
          type: String((order as { type: unknown }).type),
        });
    }
  }

  #gotSocket(order: SlotOrder & { type: 'socket' }, handle: RawSocket | undefined): void {
    const asked = this.#asked.get(order.ask);
    if (asked === undefined) return handle?.close();
    if (handle === undefined) return this.#refused(order.ask, 'its descriptor was lost on the way');
    if (order.number === 0) asked.own = withBacklog(handle, () => this.#listening(asked.key, handle));
    else this.#join(asked.key, order.socket, handle);
    if (order.number + 1 < order.of) return;
    this.#asked.delete(order.ask);
    clearTimeout(asked.timer);
    asked.resolve({ handle: asked.own! });
  }

  #refused(ask: number, reason: string): void {
    const asked = this.#asked.get(ask);
    if (asked === undefined) return;
    this.#asked.delete(ask);
    clearTimeout(asked.timer);
    asked.reject(new DormouseError('DORMOUSE_SOCKET_REFUSED', `No socket for listener ${asked.key}: ${reason}.`));
  }

  /** The gateway's server accepts on its own socket: from now on it can be given the connections of others. */
  #listening(key: string, own: RawSocket): void {
    this.#own.set(key, own);
    const early = this.#early.get(key) ?? [];
    this.#early.delete(key);
    for (const { socket, handle } of early) this.#join(key, socket, handle);
  }

  #join(key: string, socket: string, handle: RawSocket | undefined): void {
    if (handle === undefined) return;
    if (this.#closed || this.#extra.has(socket)) return handle.close();
    if (!this.#own.has(key)) {
      this.#early.set(key, [...(this.#early.get(key) ?? []), { socket, handle }]);
      return;
    }
    try {
      this.#extra.set(
        socket,
        joinSocket(handle, () => this.#own.get(key)),
      );
    } catch (error) {
      this.#logger.error('could not listen on a socket of a former worker', { reason: (error as Error).message });
    }
  }

  #release(socket: string): void {
    this.#extra.get(socket)?.();
    this.#extra.delete(socket);
    for (const [key, early] of this.#early) {
      for (const each of early) if (each.socket === socket) each.handle.close();
      this.#early.set(
        key,
        early.filter((each) => each.socket !== socket),
      );
    }
  }
}

function isShutdown(value: unknown): boolean {
  return (value as { link?: { type?: unknown } } | null)?.link?.type === 'shutdown';
}
