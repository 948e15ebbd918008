import { seededRandom } from '../balancing/endpoints.fixture.ts';
import { requestView, type ViewParts } from '../request-view.fixture.ts';
import type { UpstreamEndpoint } from '../upstream/endpoint.ts';
import type { RefusalReason } from './refusal.ts';
import type { Waiter } from './waiter.ts';

/** Somebody who wants an endpoint and notes what he is told. `view` null: a raw connection. */
export class TestWaiter implements Waiter {
  holdPrevious = null;
  holdNext = null;
  holdDeadlineMs = Number.POSITIVE_INFINITY;
  heldBytes = 0;
  tried: UpstreamEndpoint[] | null = null;
  sticky: UpstreamEndpoint | null = null;
  readonly secure: boolean = false;
  readonly routeName = 'test';
  readonly method = 'GET';
  readonly wasTried = false;
  readonly client: string;
  readonly view: Waiter['view'];
  readonly random: Waiter['random'];
  released: UpstreamEndpoint | null = null;
  refused: RefusalReason | null = null;

  constructor(parts: ViewParts | null = {}, client = '192.0.2.1', seed = 1) {
    this.view = parts === null ? null : requestView(parts);
    this.client = client;
    this.random = seededRandom(seed);
  }

  readonly hostForLog = 'app.example.com';
  readonly requestId = 'request-1';

  pathForLog(): string {
    return '/';
  }

  lookedForDeparture(): boolean {
    return true;
  }

  release(endpoint: UpstreamEndpoint): number {
    this.released = endpoint;
    return 0;
  }

  refuseHold(why: RefusalReason): void {
    this.refused = why;
  }
}
