/**
 * Both ends of a link inside one process: for tests, and for whoever runs a gateway beside its controller. A message is copied as JSON,
 * as every other transport does, so that neither end can depend on shared objects. Delivery is never inside `send`.
 */
import type { Link } from './link.ts';
import type { DownMessage, UpMessage } from './messages.ts';
import { Inbox } from './inbox.ts';

/** The gateway's end first, then the controller's. */
export function inProcessLink(): [Link<UpMessage, DownMessage>, Link<DownMessage, UpMessage>] {
  const gateway = new InProcessEnd<UpMessage, DownMessage>();
  const controller = new InProcessEnd<DownMessage, UpMessage>();
  gateway.peer = controller;
  controller.peer = gateway;
  return [gateway, controller];
}

class InProcessEnd<Out, In> implements Link<Out, In> {
  peer: InProcessEnd<In, Out> | null = null;
  readonly #inbox = new Inbox<In>(() => this.close());
  #closed = false;

  send(message: Out): void {
    const peer = this.peer;
    if (this.#closed || peer === null) return;
    const copy = JSON.parse(JSON.stringify(message)) as Out;
    queueMicrotask(() => peer.#inbox.deliver(copy));
  }

  onMessage(handler: (message: In) => void): void {
    this.#inbox.onMessage(handler);
  }

  onClose(handler: () => void): void {
    this.#inbox.onClose(handler);
  }

  close(): void {
    if (this.#closed) return;
    this.#closed = true;
    this.#inbox.drop();
    queueMicrotask(() => this.#inbox.close());
    // Behind the messages that are on their way: the other end sees them first.
    const peer = this.peer;
    if (peer !== null) queueMicrotask(() => peer.#closedByPeer());
  }

  #closedByPeer(): void {
    this.#closed = true;
    this.#inbox.close();
  }
}
