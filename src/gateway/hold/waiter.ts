import type { PickContext } from '../balancing/strategy.ts';
import type { UpstreamEndpoint } from '../upstream/endpoint.ts';
import type { Held } from './hold-queue.ts';
import type { RefusalReason } from './refusal.ts';

/** Who wants an endpoint of a backend and can wait for it: a request, or a raw connection. */
export interface Waiter extends Held, PickContext {
  /** Endpoints that it could not use, which it is not given again; null: none yet. */
  tried: UpstreamEndpoint[] | null;
  /** The usable endpoint that its cookie names (balance.sticky); set by each pick, null when there is none. */
  sticky: UpstreamEndpoint | null;
  /** The client came over TLS. */
  readonly secure: boolean;
  /** '' when no route was needed. */
  readonly routeName: string;
  /** '' for a raw connection. */
  readonly method: string;
  /** What the client asked for; a raw connection: its server name. At most 255 characters. */
  readonly hostForLog: string;
  /** '' when it has none. */
  readonly requestId: string;
  /** Without query, at most 200 characters. */
  pathForLog(): string;
  /** It was sent to an endpoint before: waiting again, it goes before those that came later. */
  readonly wasTried: boolean;
  /** Whether its client is still there, as far as that can be seen now. False: not yet looked, `then` is called after it. */
  lookedForDeparture(then: () => void): boolean;
  /** The queue lets it go, to this endpoint. Returns how long it waited, ms. */
  release(endpoint: UpstreamEndpoint): number;
  /** It is not in the queue (any more) and will not be served. */
  refuseHold(why: RefusalReason): void;
}
