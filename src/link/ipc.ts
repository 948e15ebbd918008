/**
 * A link over the IPC channel between the supervisor and one worker. The channel carries a second conversation (sockets, see
 * supervisor/slot-messages.ts), so each message travels in an envelope: `{ link: message }`.
 *
 * Serialization is the default, JSON. Measured against 'advanced' there is no reason for the other: 10,000 demand messages in 66 to 79 ms
 * against 72 to 81, a configuration of 5,000 backends (5 MB) in 44 to 56 ms against 26 to 47; and messages must survive JSON anyway.
 */
import type { Logger } from '../model/ports.ts';
import type { Link } from './link.ts';
import type { DownMessage, UpMessage } from './messages.ts';
import { Inbox } from './inbox.ts';
import { checkDown, checkUp, type Checked } from './shapes.ts';

/** What a link needs of `process` (in a worker) or of a ChildProcess (in the supervisor). */
export interface IpcChannel {
  readonly connected: boolean;
  send?(message: object, handle: undefined, options: undefined, sent: (error: Error | null) => void): boolean;
  on(event: 'message', listener: (message: unknown) => void): unknown;
  on(event: 'disconnect', listener: () => void): unknown;
  off(event: 'message' | 'disconnect', listener: (message: unknown) => void): unknown;
  disconnect?(): void;
}

/** Messages written but not yet taken by the kernel. Beyond it the other end is taken for dead: the link closes. */
const MAX_UNSENT = 50_000;

/** A worker's end; `channel` is `process`. */
export function workerIpcLink(channel: IpcChannel, logger: Logger): Link<UpMessage, DownMessage> {
  return new IpcLink<UpMessage, DownMessage>(channel, checkDown, logger);
}

/** The supervisor's end; `channel` is the ChildProcess. */
export function supervisorIpcLink(channel: IpcChannel, logger: Logger): Link<DownMessage, UpMessage> {
  return new IpcLink<DownMessage, UpMessage>(channel, checkUp, logger);
}

class IpcLink<Out, In> implements Link<Out, In> {
  readonly #channel: IpcChannel;
  readonly #logger: Logger;
  readonly #check: (value: unknown) => Checked<In>;
  readonly #inbox = new Inbox<In>(() => this.#giveUp('10,000 messages wait for a handler'));
  #unsent = 0;
  #closed = false;

  constructor(channel: IpcChannel, check: (value: unknown) => Checked<In>, logger: Logger) {
    this.#channel = channel;
    this.#check = check;
    this.#logger = logger;
    channel.on('message', this.#received);
    channel.on('disconnect', this.#gone);
    if (!channel.connected) queueMicrotask(this.#gone);
  }

  send(message: Out): void {
    if (this.#closed || !this.#channel.connected) return;
    if (this.#unsent >= MAX_UNSENT) return this.#giveUp(`${MAX_UNSENT} messages wait to be read by the other end`);
    this.#unsent++;
    try {
      // With a callback a failed write is told there, not as an 'error' event; the close that follows is what counts.
      this.#channel.send!({ link: message }, undefined, undefined, this.#sent);
    } catch (error) {
      // The channel closed between the check and the call, or the message is no JSON (a fault of ours that must not end the process).
      this.#unsent--;
      this.#logger.warn('a message could not be sent', { reason: (error as Error).message });
    }
  }

  onMessage(handler: (message: In) => void): void {
    this.#inbox.onMessage(handler);
  }

  onClose(handler: () => void): void {
    this.#inbox.onClose(handler);
  }

  close(): void {
    if (this.#closed) return;
    this.#inbox.drop();
    if (this.#channel.connected) this.#channel.disconnect?.();
    else this.#gone();
  }

  readonly #sent = (): void => {
    this.#unsent--;
  };

  readonly #received = (value: unknown): void => {
    if (typeof value !== 'object' || value === null || !('link' in value)) return;
    const checked = this.#check(value.link);
    if (checked.ok) this.#inbox.deliver(checked.message);
    else this.#logger.warn('ignored a message of the other end', { reason: checked.reason });
  };

  readonly #gone = (): void => {
    if (this.#closed) return;
    this.#closed = true;
    this.#channel.off('message', this.#received);
    this.#channel.off('disconnect', this.#gone);
    this.#inbox.close();
  };

  #giveUp(reason: string): void {
    this.#logger.error('closing the link', { reason });
    this.close();
  }
}
