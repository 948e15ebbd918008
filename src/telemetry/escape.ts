/** Text from outside for a log line: nothing in it may end the line, close the quotes, or reach a terminal as a command. The result is ASCII. */
import { isUtf8 } from 'node:buffer';

/** Anything but printable ASCII, and the quote and backslash. */
const UNSAFE = /[^\x20-\x21\x23-\x5b\x5d-\x7e]/;
const UNSAFE_EACH = /[^\x20-\x21\x23-\x5b\x5d-\x7e]/g;

/** For the inside of a JSON string. The check costs some 40 ns; only what needs it is rewritten. */
export function jsonSafe(text: string): string {
  return UNSAFE.test(text) ? decodeBytes(text).replace(UNSAFE_EACH, jsonEscape) : text;
}

/** For quoted text in the common format, as nginx and Apache escape: \xHH per byte. */
export function commonSafe(text: string): string {
  return UNSAFE.test(text) ? text.replace(UNSAFE_EACH, commonEscape) : text;
}

/** For one of the blank-separated words of the common format. */
export function commonWord(text: string): string {
  return text === '' ? '-' : commonSafe(text).replaceAll(' ', '\\x20');
}

function jsonEscape(character: string): string {
  if (character === '"') return '\\"';
  if (character === '\\') return '\\\\';
  return `\\u${character.charCodeAt(0).toString(16).padStart(4, '0')}`;
}

function commonEscape(character: string): string {
  let escaped = '';
  const code = character.charCodeAt(0);
  const bytes = code < 256 ? [code] : Buffer.from(character, 'utf8');
  for (const byte of bytes) escaped += `\\x${byte.toString(16).toUpperCase().padStart(2, '0')}`;
  return escaped;
}

/** Heads are read as Latin-1. Where the bytes are UTF-8, the reader of a log wants the letters. */
function decodeBytes(text: string): string {
  for (let index = 0; index < text.length; index++) if (text.charCodeAt(index) > 255) return text;
  const bytes = Buffer.from(text, 'latin1');
  return isUtf8(bytes) ? bytes.toString('utf8') : text;
}
