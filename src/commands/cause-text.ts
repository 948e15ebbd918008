/** What woke a backend, in a few words. */
import type { WakeCause } from '../model/backend.ts';
import type { BackendEvent } from '../model/status.ts';
import { printable } from '../telemetry/pretty-line.ts';
import { durationText } from './duration-text.ts';
import type { Colour, Paint } from './text-table.ts';

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
    case 'static':
      return 'always there';
  }
}

const COLOURS: Readonly<Record<BackendEvent['kind'], Colour>> = {
  waking: 'yellow',
  awake: 'green',
  'falling-asleep': 'dim',
  asleep: 'blue',
  'sleep-cancelled': 'yellow',
  scaled: 'dim',
  crash: 'red',
  recovered: 'green',
  instance: 'dim',
};

/** One live line: `12:00:01  shop  awake  after 412 ms  GET /x from 127.0.0.1 (route shop)`. */
export function eventLine(event: BackendEvent, paint: Paint): string {
  const time = new Date(event.atMs).toTimeString().slice(0, 8);
  const took = event.tookMs === undefined ? '' : ` after ${durationText(event.tookMs)}`;
  const by = event.cause === undefined ? '' : paint(`  by ${printable(causeText(event.cause))}`, 'dim');
  // "awake" with its time says all; other kinds need their sentence.
  const message = event.kind === 'awake' && took !== '' ? '' : `  ${printable(event.message)}`;
  return `${paint(time, 'dim')}  ${printable(event.backend).padEnd(12)}  ${paint(event.kind, COLOURS[event.kind])}${took}${message}${by}`;
}
