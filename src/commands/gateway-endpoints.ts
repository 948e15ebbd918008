/**
 * What a gateway does about pods while no operator leads: it watches EndpointSlices itself. An address that nobody confirms may belong to another application by then (an address is
 * given again when its pod is gone), and pods that have come since would not be found. Only backends whose Service is left alone are looked after; as soon as an operator leads, its word
 * counts, and the watch ends.
 */
import { keyOfOthers, membersOf, type EndpointSlice } from '../kubernetes/endpoint-slices.ts';
import type { Informer } from '../kubernetes/client.ts';
import type { Link } from '../link/link.ts';
import type { BackendUpdate, DownMessage, GatewayBackendConfig, UpMessage } from '../link/messages.ts';
import type { Endpoint } from '../model/backend.ts';
import type { Logger } from '../model/ports.ts';

/** How long a leader may be away before slices are watched, ms: another one takes over sooner when the former ended in order. */
const ALONE_MS = 3000;
/** How often it is looked whether there is a leader, ms. */
const LOOK_MS = 500;
/** Changes of slices within this are looked at together, ms. */
const GATHER_MS = 20;

export interface OwnEndpointsDeps {
  link: Link<UpMessage, DownMessage>;
  /** Whether an operator leads now. */
  led(): boolean;
  /** A watch of all EndpointSlices, which ends with `signal`. Rejects when there can be none. */
  watch(signal: AbortSignal): Promise<Informer<EndpointSlice>>;
  logger: Logger;
  /** Shorter ones are for tests. */
  aloneMs?: number;
  lookMs?: number;
}

type Sliced = NonNullable<GatewayBackendConfig['slices']>;

/** The link with what the slices say in place of the leader. */
export class OwnEndpoints implements Link<UpMessage, DownMessage> {
  readonly #deps: OwnEndpointsDeps;
  #handler: ((message: DownMessage) => void) | null = null;
  /** Backends whose endpoints are in slices, by name. */
  #sliced = new Map<string, Sliced & { canSleep: boolean }>();
  /** As the leader, or this, said it last. */
  readonly #told = new Map<string, BackendUpdate>();
  readonly #timer: NodeJS.Timeout;
  #aloneMs = 0;
  #watching: AbortController | null = null;
  #slices: Informer<EndpointSlice> | null = null;
  #gather: NodeJS.Timeout | null = null;

  constructor(deps: OwnEndpointsDeps) {
    this.#deps = deps;
    const lookMs = deps.lookMs ?? LOOK_MS;
    this.#timer = setInterval(() => this.#look(lookMs), lookMs);
    this.#timer.unref();
    deps.link.onClose(() => this.#end());
  }

  /** Whether slices have been read, and count. */
  get isWatching(): boolean {
    return this.#slices?.isSynced === true;
  }

  send(message: UpMessage): void {
    this.#deps.link.send(message);
  }

  onMessage(handler: (message: DownMessage) => void): void {
    this.#handler = handler;
    this.#deps.link.onMessage((message) => {
      // What a leader says is newer than any slice that was read without one.
      if (this.#deps.led()) this.#stop();
      this.#remember(message);
      handler(message);
    });
  }

  onClose(handler: () => void): void {
    this.#deps.link.onClose(handler);
  }

  close(): void {
    this.#deps.link.close();
  }

  #remember(message: DownMessage): void {
    if (message.type === 'backend') {
      this.#told.set(message.backend, message);
      return;
    }
    if (message.type !== 'configure') return;
    this.#sliced = new Map(
      message.config.backends.flatMap(({ name, slices, driver }) =>
        slices === undefined ? [] : [[name, { ...slices, canSleep: driver !== 'static' }]],
      ),
    );
    for (const name of this.#told.keys()) if (!this.#sliced.has(name)) this.#told.delete(name);
  }

  #look(passedMs: number): void {
    const { led, aloneMs = ALONE_MS } = this.#deps;
    if (led()) return this.#stop();
    this.#aloneMs += passedMs;
    if (this.#aloneMs >= aloneMs && this.#watching === null && this.#sliced.size > 0) {
      this.#watching = new AbortController();
      this.#watch(this.#watching.signal).catch((error: unknown) => {
        // Tried again with the next leader that is lost: what is missing is a token, which nobody gives a running pod.
        this.#deps.logger.error('EndpointSlices can not be watched; addresses stay as the last leader told them', {
          reason: error instanceof Error ? error.message : String(error),
        });
      });
    }
  }

  async #watch(signal: AbortSignal): Promise<void> {
    const { watch, logger } = this.#deps;
    logger.warn('no operator leads: this gateway watches EndpointSlices itself', { backends: this.#sliced.size });
    const slices = await watch(signal);
    if (signal.aborted) return;
    this.#slices = slices;
    const changed = (): void => {
      // Before all slices were read, what is not there proves nothing.
      if (!slices.isSynced || this.#gather !== null || signal.aborted) return;
      this.#gather = setTimeout(() => {
        this.#gather = null;
        if (!signal.aborted) this.#tell(slices);
      }, GATHER_MS);
    };
    const leave = slices.onChange(changed);
    signal.addEventListener('abort', leave, { once: true });
    slices.synced(signal).then(changed, () => {});
  }

  #tell(slices: Informer<EndpointSlice>): void {
    const byService = new Map<string, EndpointSlice[]>();
    for (const { namespace, service } of this.#sliced.values()) byService.set(`${namespace}/${service}`, []);
    for (const slice of slices.list()) byService.get(keyOfOthers(slice) ?? '')?.push(slice);
    for (const [name, { namespace, service, port, family, canSleep }] of this.#sliced) {
      const before = this.#told.get(name);
      const members = membersOf(byService.get(`${namespace}/${service}`)!, port, family);
      const endpoints: Endpoint[] = [];
      for (const { id, state, address } of members.values()) {
        const known = before?.endpoints.find((one) => one.id === id);
        if (state === 'ready') endpoints.push({ weight: 1, ...known, id, ...address, state: 'ready' });
        // One that ends finishes what it has; one that is not ready gets nothing.
        else if (state === 'stopping' && known !== undefined) endpoints.push({ ...known, state: 'draining' });
      }
      const isReady = endpoints.some(({ state }) => state === 'ready');
      if (isSame(before?.endpoints ?? [], endpoints)) continue;
      const phase = isReady ? 'awake' : canSleep ? 'asleep' : (before?.phase ?? 'awake');
      const update: BackendUpdate = {
        ...(before ?? { type: 'backend', backend: name, version: 1, crash: null }),
        endpoints,
        phase,
        wakingSinceMs: 0,
      };
      this.#told.set(name, update);
      this.#handler?.(update);
    }
  }

  #stop(): void {
    this.#aloneMs = 0;
    if (this.#gather !== null) clearTimeout(this.#gather);
    this.#gather = null;
    this.#watching?.abort();
    this.#watching = null;
    this.#slices = null;
  }

  #end(): void {
    clearInterval(this.#timer);
    this.#stop();
  }
}

function isSame(one: readonly Endpoint[], other: readonly Endpoint[]): boolean {
  const text = (endpoints: readonly Endpoint[]): string =>
    endpoints
      .map(({ id, state, host, port }) => `${id} ${state} ${host} ${port}`)
      .sort()
      .join();
  return text(one) === text(other);
}
