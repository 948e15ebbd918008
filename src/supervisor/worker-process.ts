/** One worker process from spawn to exit: its link, the sockets it asks for, and the ways to end it. */
import type { ChildProcess } from 'node:child_process';
import { supervisorIpcLink } from '../link/ipc.ts';
import type { Link } from '../link/link.ts';
import type { DownMessage, UpMessage } from '../link/messages.ts';
import type { Clock, Logger } from '../model/ports.ts';
import type { BoundSocket, ListenerPlace } from './listeners.ts';
import { slotMessage, type SlotAsk, type SlotOrder } from './slot-messages.ts';

/** starting: spawned, not heard of. running: said hello. draining: told to end. */
export type WorkerState = 'starting' | 'running' | 'draining' | 'gone';

export const WORKER_TRANSITIONS: Readonly<Record<WorkerState, readonly WorkerState[]>> = {
  starting: ['running', 'draining', 'gone'],
  running: ['draining', 'gone'],
  draining: ['gone'],
  gone: [],
};

export interface WorkerEvents {
  /** It said hello. */
  running(worker: WorkerProcess): void;
  /** Somebody else asked it to end: it serves on until {@link WorkerProcess.drain}. */
  leaving(worker: WorkerProcess): void;
  /** `how`: one clause for people ("ended with code 1", "was killed by SIGKILL"). */
  gone(worker: WorkerProcess, how: string): void;
  /** Sockets that it serves, its own first. */
  socketsFor(listener: ListenerPlace): BoundSocket[];
  /** It holds this socket now. */
  handed(bound: BoundSocket): void;
}

/** After the drain's bound a worker has this long to end by itself, ms. */
const GRACE_MS = 1000;

export class WorkerProcess {
  readonly id: string;
  readonly pid: number;
  readonly link: Link<DownMessage, UpMessage>;
  readonly spawnedAtMs: number;
  /** Resolves when the process is gone. */
  readonly ended: Promise<void>;
  readonly #child: ChildProcess;
  readonly #events: WorkerEvents;
  readonly #logger: Logger;
  readonly #resolveEnded: () => void;
  readonly #joins = new Map<string, () => void>();
  #state: WorkerState = 'starting';
  #killTimer: NodeJS.Timeout | undefined;

  constructor(options: { id: string; child: ChildProcess; events: WorkerEvents; logger: Logger; clock: Clock }) {
    this.id = options.id;
    this.#child = options.child;
    this.#events = options.events;
    this.#logger = options.logger;
    this.pid = options.child.pid ?? 0;
    this.spawnedAtMs = options.clock.nowMs();
    const ended = Promise.withResolvers<void>();
    this.ended = ended.promise;
    this.#resolveEnded = ended.resolve;
    this.link = supervisorIpcLink(options.child, options.logger);
    const child = options.child;
    child.on('message', (message) => this.#received(message));
    child.on('exit', (code, signal) =>
      this.#gone(signal === null ? `ended with code ${code}` : `was killed by ${signal}`),
    );
    // A process that could not be started has no exit; a message that could not be sent comes here too, and its exit follows.
    child.on('error', (error) => {
      if (child.pid === undefined) this.#gone(`could not be started: ${error.message}`);
    });
  }

  get state(): WorkerState {
    return this.#state;
  }

  /** Tells it to stop accepting and to finish within `drainMs`; kills it a second later. `hurry` kills it at once. */
  drain(drainMs: number, hurry?: AbortSignal): Promise<void> {
    if (this.#state === 'gone') return this.ended;
    const heard = this.#state === 'running';
    this.#enter('draining');
    if (!heard || hurry?.aborted === true) {
      this.kill();
      return this.ended;
    }
    this.link.send({ type: 'shutdown', drainMs });
    this.#killTimer = setTimeout(() => {
      this.#logger.warn('a worker did not end in time, killing it', { worker: this.id, pid: this.pid, drainMs });
      this.kill();
    }, drainMs + GRACE_MS);
    const kill = (): void => this.kill();
    hurry?.addEventListener('abort', kill, { once: true });
    return this.ended.then(() => hurry?.removeEventListener('abort', kill));
  }

  /** At once, with everything that it serves. */
  kill(): void {
    if (this.#state !== 'gone') this.#child.kill('SIGKILL');
  }

  /** Has it listen on the socket of a slot that is no more; resolves when it does, or is gone. */
  join(bound: BoundSocket): Promise<void> {
    if (this.#state !== 'running' || !this.#child.connected) return Promise.resolve();
    const joined = new Promise<void>((resolve) => this.#joins.set(bound.id, resolve));
    this.#send({ type: 'socket-join', socket: bound.id, listener: bound.listener }, bound);
    return Promise.race([joined, this.ended]);
  }

  /** Another worker serves this extra socket from now on. */
  release(socket: string): void {
    this.#send({ type: 'socket-release', socket });
  }

  #received(value: unknown): void {
    if (isHello(value)) {
      if (this.#state !== 'starting') return;
      this.#enter('running');
      return this.#events.running(this);
    }
    const message = slotMessage<SlotAsk>(value);
    if (message?.type === 'leaving') this.#events.leaving(this);
    else if (message?.type === 'socket-ask') this.#answer(message);
    else if (message?.type === 'socket-joined') this.#joined(message.socket);
  }

  #answer({ ask, listener }: SlotAsk & { type: 'socket-ask' }): void {
    const sockets = this.#events.socketsFor(listener);
    if (sockets.length === 0) {
      return this.#send({ type: 'socket-refused', ask, reason: 'the supervisor has not bound it' });
    }
    for (const [number, bound] of sockets.entries()) {
      this.#send({ type: 'socket', ask, socket: bound.id, number, of: sockets.length }, bound);
      this.#events.handed(bound);
    }
  }

  #joined(socket: string): void {
    this.#joins.get(socket)?.();
    this.#joins.delete(socket);
  }

  #send(slot: SlotOrder, bound?: BoundSocket): void {
    if (!this.#child.connected) return;
    // A raw handle may be sent to any number of processes: it stays open here.
    this.#child.send({ slot }, bound?.socket as never, () => {});
  }

  #gone(how: string): void {
    if (this.#state === 'gone') return;
    this.#enter('gone');
    clearTimeout(this.#killTimer);
    this.#resolveEnded();
    this.#events.gone(this, how);
  }

  #enter(state: WorkerState): void {
    if (this.#state !== state && WORKER_TRANSITIONS[this.#state].includes(state)) this.#state = state;
  }
}

function isHello(value: unknown): boolean {
  const link = (value as { link?: { type?: unknown } } | null)?.link;
  return link?.type === 'hello';
}
