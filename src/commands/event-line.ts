/** One live line per event. */
import type { BackendEvent } from '../model/status.ts';
import { printable } from '../telemetry/pretty-line.ts';
import type { Colour, Paint } from './text-table.ts';

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

/** `12:00:01  shop is awake after 412 ms (woken by GET /x from 127.0.0.1)`: an event's message names its backend. */
export function eventLine(event: BackendEvent, paint: Paint): string {
  const time = new Date(event.atMs).toTimeString().slice(0, 8);
  return `${paint(time, 'dim')}  ${paint(printable(event.message), COLOURS[event.kind])}`;
}
