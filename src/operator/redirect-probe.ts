/**
 * Sees whether a Service's address leads to gateways, from every gateway's node, without a byte that an application could take for traffic: all gateways hold back silent connections
 * to the port for a moment, one opens some to the Service, and the connections must be found at gateways (docs/adr/0009). A connection that a gateway opens to itself by way of the Service
 * is masqueraded, so its port says nothing: those are counted.
 */
import type { Link } from '../link/link.ts';
import type { DownMessage, UpMessage } from '../link/messages.ts';
import type { Service } from './kinds.ts';
import { listenerName } from './in-place-config.ts';

/** Connections of one look: with one application pod left beside the gateways, it stays unseen in one of a million looks. */
const CONNECTIONS = 20;
/** How long one look may take, ms. */
const LOOK_MS = 3000;

type Answer = Extract<UpMessage, { type: 'redirect-watching' | 'redirect-probed' | 'redirect-silent' }>;

export class RedirectProbe {
  readonly #links = new Map<string, Link<DownMessage, UpMessage>>();
  readonly #waiting = new Map<string, (answer: Answer) => void>();
  #number = 0;

  /** The link for the controller: answers to looks are taken out of it. */
  through(id: string, link: Link<DownMessage, UpMessage>): Link<DownMessage, UpMessage> {
    this.#links.set(id, link);
    link.onClose(() => {
      if (this.#links.get(id) === link) this.#links.delete(id);
    });
    return {
      send: (message) => link.send(message),
      onMessage: (handler) =>
        link.onMessage((message) => {
          if (
            message.type === 'redirect-watching' ||
            message.type === 'redirect-probed' ||
            message.type === 'redirect-silent'
          )
            this.#waiting.get(`${message.type} ${message.id} ${id}`)?.(message);
          else handler(message);
        }),
      onClose: (handler) => link.onClose(handler),
      close: () => link.close(),
    };
  }

  /**
   * True when connections from each of these gateways ended at gateways alone, for every port of the Service. False also when somebody did not answer in time. `seen`: what
   * was found so since the Service was redirected, which is not looked at again: a busy cluster need not be quick everywhere at once.
   */
  async see(
    service: Service,
    backend: string,
    gateways: readonly string[],
    seen: Set<string>,
    signal: AbortSignal,
  ): Promise<boolean> {
    const host = service.spec.clusterIP;
    if (host === undefined || host === '' || gateways.length === 0) return false;
    const ports = service.spec.ports ?? [];
    // One look at a time for each listener.
    const all = ports.map(async ({ port }) => {
      const listener = listenerName(backend, port);
      for (const from of gateways) {
        const what = `${port} ${from}`;
        if (!seen.has(what) && (await this.#look({ host, port, listener }, from, gateways, signal))) seen.add(what);
      }
    });
    await Promise.all(all);
    return ports.every(({ port }) => gateways.every((from) => seen.has(`${port} ${from}`)));
  }

  async #look(
    target: { host: string; port: number; listener: string },
    from: string,
    gateways: readonly string[],
    signal: AbortSignal,
  ): Promise<boolean> {
    const id = ++this.#number;
    const bound = AbortSignal.any([signal, AbortSignal.timeout(LOOK_MS)]);
    const all = [...gateways];
    try {
      const watching = this.#answers(all, 'redirect-watching', id, bound);
      for (const gateway of all)
        this.#links.get(gateway)?.send({ type: 'redirect-watch', id, listener: target.listener });
      await watching;
      const probed = this.#answers([from], 'redirect-probed', id, bound);
      const { host, port } = target;
      this.#links.get(from)?.send({ type: 'redirect-probe', id, host, port, count: CONNECTIONS });
      const [probe] = await probed;
      if (probe?.type !== 'redirect-probed') return false;
      const silent = this.#answers(all, 'redirect-silent', id, bound);
      for (const gateway of all) this.#links.get(gateway)?.send({ type: 'redirect-end', id });
      const answers = await silent;
      return (
        probe.failed === 0 &&
        allFound(
          probe.opened.map(({ port }) => port),
          from,
          answers,
        )
      );
    } catch {
      signal.throwIfAborted();
      for (const gateway of all) this.#links.get(gateway)?.send({ type: 'redirect-end', id });
      return false;
    }
  }

  #answers(
    gateways: readonly string[],
    type: Answer['type'],
    id: number,
    signal: AbortSignal,
  ): Promise<(Answer & { gateway: string })[]> {
    return Promise.all(
      gateways.map(
        (gateway) =>
          new Promise<Answer & { gateway: string }>((resolve, reject) => {
            const key = `${type} ${id} ${gateway}`;
            const aborted = (): void => {
              this.#waiting.delete(key);
              reject(signal.reason as Error);
            };
            signal.addEventListener('abort', aborted, { once: true });
            if (signal.aborted) return aborted();
            this.#waiting.set(key, (answer) => {
              this.#waiting.delete(key);
              signal.removeEventListener('abort', aborted);
              resolve({ ...answer, gateway });
            });
          }),
      ),
    );
  }
}

/** By their ports at other gateways; what came back to the same gateway by their number. */
function allFound(ports: readonly number[], from: string, answers: readonly (Answer & { gateway: string })[]): boolean {
  const left = new Set(ports);
  let unknownAtSelf = 0;
  for (const answer of answers) {
    if (answer.type !== 'redirect-silent') continue;
    for (const { port } of answer.from) if (!left.delete(port) && answer.gateway === from) unknownAtSelf++;
  }
  return left.size <= unknownAtSelf;
}
