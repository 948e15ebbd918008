/** What woke a backend, in a few words. */
import type { WakeCause } from '../model/backend.ts';

export function causeText(cause: WakeCause): string {
  switch (cause.kind) {
    case 'request': {
      const what = [cause.method, cause.path].filter(Boolean).join(' ') || 'a request';
      return `${what}${cause.client ? ` from ${cause.client}` : ''}${cause.route ? ` (route ${cause.route})` : ''}`;
    }
    case 'command':
      return 'dormouse wake';
    case 'min':
      return 'scale.min';
    case 'dependency':
      return cause.backend ? `${cause.backend} needs it` : 'a backend that needs it';
    case 'demand':
      return 'its load';
    case 'restart':
      return 'a restart after an end';
    case 'reload':
      return 'a change of the configuration';
    case 'trigger':
      return cause.trigger ?? 'a trigger';
    case 'schedule':
      return cause.trigger ?? 'its schedule';
    case 'external':
      return 'somebody else scaled it up';
    case 'static':
      return 'always there';
  }
}
