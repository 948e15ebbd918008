/** What `dormouse up` tells people: the first lines, and one line per wake, sleep and crash. */
import { addressText } from '../model/address-text.ts';
import type { BackendEvent } from '../model/status.ts';

export interface Greeting {
  version: string;
  pid: number;
  config: string;
  listeners: { name: string; address: string }[];
  /** null: switched off. */
  observe: { host: string; port: number } | null;
  /** null: switched off, or its usual address is taken. */
  admin: { host: string; port: number } | null;
  /** Names. */
  backends: string[];
  stateDir: string;
  /** Path of the control socket. */
  control: string;
  /** Since this process was started. */
  startedInMs: number;
}

const NAMES_SHOWN = 8;

/** The first lines on a terminal. */
export function greeting(told: Greeting): string {
  const rows: [string, string][] = [['configuration', told.config]];
  for (const { name, address } of told.listeners) rows.push(['listening', `http://${address}  (${name})`]);
  const names = told.backends.slice(0, NAMES_SHOWN).join(', ');
  const more = told.backends.length > NAMES_SHOWN ? ', …' : '';
  rows.push(['backends', told.backends.length === 0 ? 'none' : `${told.backends.length}: ${names}${more}`]);
  if (told.observe !== null)
    rows.push(['metrics', `http://${addressText(told.observe)}/metrics  (health: /livez, /readyz)`]);
  if (told.admin !== null) rows.push(['admin', addressText(told.admin)]);
  rows.push(['state', told.stateDir], ['control', told.control]);
  const lines = rows.map(([name, value]) => `  ${name.padEnd(14)}${value}`);
  return `dormouse ${told.version} is up (pid ${told.pid}, ${told.startedInMs} ms)\n${lines.join('\n')}\n`;
}

export interface EventLine {
  level: 'debug' | 'info' | 'warn';
  text: string;
  fields: Record<string, unknown>;
}

export function eventLine(event: BackendEvent): EventLine {
  const level = event.kind === 'crash' ? 'warn' : event.kind === 'instance' ? 'debug' : 'info';
  const fields: Record<string, unknown> = { backend: event.backend, event: event.kind };
  if (event.tookMs !== undefined) fields.tookMs = Math.round(event.tookMs);
  return { level, text: event.message, fields };
}
