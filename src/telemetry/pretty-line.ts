/** A log line for people at a terminal: time, level, message, fields. Nothing in it can be a command to the terminal. */

export type LogLevel = 'debug' | 'info' | 'warn' | 'error';

const COLOURS: Readonly<Record<LogLevel, string>> = {
  debug: '\x1b[90m',
  info: '\x1b[32m',
  warn: '\x1b[33m',
  error: '\x1b[31m',
};
const DIM = '\x1b[2m';
const RESET = '\x1b[0m';
/** Control characters (C0, DEL, C1) and those that reorder text. */
// oxlint-disable-next-line no-control-regex
const UNPRINTABLE = /[\x00-\x1f\x7f-\x9f\u2028-\u202e\u2066-\u2069]/g;

/** Text with its control characters written out (`\x1b`, `\n`), for a terminal. */
export function printable(text: string): string {
  return text.replace(UNPRINTABLE, (character) => {
    if (character === '\n') return '\\n';
    if (character === '\t') return ' ';
    const code = character.charCodeAt(0);
    return code < 256 ? `\\x${code.toString(16).padStart(2, '0')}` : `\\u${code.toString(16)}`;
  });
}

/** `06:21:36.952 info  listening address=127.0.0.1:8080`; a stack goes on lines of its own. `fields` are clean already. */
export function prettyLine(
  atMs: number,
  level: LogLevel,
  message: string,
  fields: Readonly<Record<string, unknown>>,
  colours: boolean,
): string {
  const paint = (colour: string, text: string): string => (colours ? colour + text + RESET : text);
  const stacks: string[] = [];
  let text = `${paint(DIM, timeOfDay(atMs))} ${paint(COLOURS[level], level.padEnd(5))} ${printable(message)}`;
  for (const [name, value] of Object.entries(fields)) {
    if (value === undefined) continue;
    text += ` ${paint(DIM, `${printable(name)}=`)}${fieldText(value, stacks)}`;
  }
  for (const stack of stacks)
    text += `\n${paint(
      DIM,
      stack
        .split('\n')
        .map((line) => `    ${printable(line.trim())}`)
        .join('\n'),
    )}`;
  return `${text}\n`;
}

function fieldText(value: unknown, stacks: string[]): string {
  if (typeof value === 'string') return /^[^\s"=]+$/.test(value) ? printable(value) : printable(JSON.stringify(value));
  if (typeof value === 'object' && value !== null && 'stack' in value && typeof value.stack === 'string') {
    const { stack, ...rest } = value;
    stacks.push(stack);
    return printable(JSON.stringify(rest));
  }
  return printable(JSON.stringify(value) ?? 'undefined');
}

function timeOfDay(atMs: number): string {
  const date = new Date(atMs);
  const two = (number: number): string => String(number).padStart(2, '0');
  return `${two(date.getHours())}:${two(date.getMinutes())}:${two(date.getSeconds())}.${String(date.getMilliseconds()).padStart(3, '0')}`;
}
