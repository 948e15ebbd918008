/** Looks at what a gateway and its controller say to each other, and makes traffic events of it: at the supervisor's end of a worker's link, or at the end of a gateway's pod. */
import type { Link } from '../link/link.ts';
import type { DownMessage, UpMessage } from '../link/messages.ts';
import type { TrafficEvents } from './traffic-events.ts';

/**
 * The controller's end of a worker's link. What a worker asks for is published before the controller hears of it, so before anything is started, and long before the request goes on.
 */
export function tapWorker(
  link: Link<DownMessage, UpMessage>,
  id: string,
  events: TrafficEvents,
): Link<DownMessage, UpMessage> {
  link.onClose(() => events.gone(id));
  return {
    send(message) {
      sawDown(message, events);
      link.send(message);
    },
    onMessage: (handler) => link.onMessage((message) => sawUp(message, id, events) || handler(message)),
    onClose: (handler) => link.onClose(handler),
    close: () => link.close(),
  };
}

/** The gateway's end: the same, for a gateway that publishes itself. `configured` hears of each configuration before the gateway does. */
export function tapGateway(
  link: Link<UpMessage, DownMessage>,
  id: string,
  events: TrafficEvents,
  configured: (message: Extract<DownMessage, { type: 'configure' }>) => void,
): Link<UpMessage, DownMessage> {
  return {
    send(message) {
      if (!sawUp(message, id, events)) link.send(message);
    },
    onMessage: (handler) =>
      link.onMessage((message) => {
        sawDown(message, events);
        if (message.type === 'configure') configured(message);
        handler(message);
      }),
    onClose: (handler) => link.onClose(handler),
    close: () => link.close(),
  };
}

function sawDown(message: DownMessage, events: TrafficEvents): void {
  if (message.type === 'backend') events.phase(message.backend, message.phase);
  else if (message.type === 'configure') events.known(message.config.backends);
}

/** True: it was for nobody else. */
function sawUp(message: UpMessage, id: string, events: TrafficEvents): boolean {
  switch (message.type) {
    case 'wake': {
      const { host = '', requestId = '' } = message;
      events.wake({ ...message, host, requestId });
      return false;
    }
    case 'demand':
      events.windows(id, message.windows);
      return false;
    case 'requests':
      events.requests(readRequests(message), message.dropped);
      return true;
    default:
      return false;
  }
}

/** Six numbers a request: see the message. */
function* readRequests({ startMs, sets }: Extract<UpMessage, { type: 'requests' }>) {
  for (const { backend, route, ended } of sets)
    for (let at = 0; at + 5 < ended.length; at += 6)
      yield {
        backend,
        route,
        atMs: startMs + ended[at]!,
        durationMs: ended[at + 1]! / 100,
        status: ended[at + 2]!,
        bytesIn: ended[at + 3]!,
        bytesOut: ended[at + 4]!,
        cold: ended[at + 5] === 1,
      };
}
