/** The words of the why-awake record: what woke a backend, what keeps it awake, in sentences for people. */
import type { Crash, WakeCause } from '../model/backend.ts';
import { span } from '../autoscaling/index.ts';

/** "woken by GET /cart from 10.0.0.9 on route shop"; the gateway's own requests (forwardAuth, keys of jwt) have no route. */
export function causeText(cause: WakeCause): string {
  switch (cause.kind) {
    case 'request':
      return `woken by ${requestText(cause)} from ${cause.client ?? 'a client'}${cause.route === undefined || cause.route === '' ? '' : ` on route ${cause.route}`}`;
    case 'command':
      return 'woken by command';
    case 'min':
      return 'scale.min keeps it awake';
    case 'dependency':
      return `woken because ${cause.backend ?? 'another backend'} needs it`;
    case 'demand':
      return 'woken by requests that a gateway holds';
    case 'restart':
      return 'started again after its instance ended';
    case 'reload':
      return 'started again with its new configuration';
    case 'trigger':
      return `woken by ${cause.trigger ?? 'a trigger'}`;
    case 'schedule':
      return `woken because ${cause.trigger ?? 'its schedule says so'}`;
    case 'external':
      return 'scaled up by somebody else';
    case 'static':
      return 'its servers are run by somebody else';
  }
}

export function awakeText(name: string, tookMs: number, cause: WakeCause): string {
  return `${name} is awake after ${span(tookMs)} (${causeText(cause)})`;
}

export function crashText(name: string, crash: Crash, wallMs: number): string {
  const wait = crash.retryAtMs - wallMs;
  const next = wait > 0 ? `the next attempt is possible in ${span(wait)}` : 'the next request tries again';
  return `${name} is crashing: ${crash.reason} (attempt ${crash.attempts}); ${next}`;
}

/** Raw TCP has neither method nor path. */
function requestText({ method = '', path = '' }: WakeCause): string {
  return method === '' ? 'a connection' : `${method} ${path}`;
}
