/**
 * The second conversation on a worker's IPC channel, beside the link: sockets, and a worker that wants to go. Each message travels as
 * `{ slot: message }`; a socket travels as the handle of its message.
 */
import type { HostPort } from '../model/config.ts';

/** Worker to supervisor. */
export type SlotAsk =
  /** The sockets of this listener. Answered by `socket` (as often as `of` says) or `socket-refused`. */
  | { type: 'socket-ask'; ask: number; listener: { name: string; address: HostPort } }
  /** An extra socket is listened on now. */
  | { type: 'socket-joined'; socket: string }
  /** The worker was told to end by somebody else: it goes on until it has been replaced. */
  | { type: 'leaving' };

/** Supervisor to worker. */
export type SlotOrder =
  /** With a handle. `number` 0 is the worker's own socket, others are those of slots that are no more. */
  | { type: 'socket'; ask: number; socket: string; number: number; of: number }
  | { type: 'socket-refused'; ask: number; reason: string }
  /** With a handle: listen on it too, beside the worker's own socket of the same listener. Answered by `socket-joined`. */
  | { type: 'socket-join'; socket: string; listener: string }
  /** Let go of an extra socket: another worker serves it. */
  | { type: 'socket-release'; socket: string };

/** A listener's place, by which both ends name it: its address, or its name where the port is any free one. */
export function listenerKey(listener: { name: string; address: HostPort }): string {
  const { host, port } = listener.address;
  return port === 0 ? `${listener.name}@${host}:0` : `${host}:${port}`;
}

/** Unwraps what came in on the channel; null: not of this conversation. */
export function slotMessage<M extends SlotAsk | SlotOrder>(value: unknown): M | null {
  if (typeof value !== 'object' || value === null || !('slot' in value)) return null;
  const message = value.slot;
  return typeof message === 'object' && message !== null && 'type' in message ? (message as M) : null;
}
