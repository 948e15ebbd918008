import { changeableName, headerLine } from './header-line.ts';

/** Options of requestHeaders and responseHeaders, as their schemas leave them. */
export interface HeaderChangeOptions {
  set: Record<string, string>;
  add: Record<string, string[]>;
  remove: string[];
}

/** What such a filter does to a head, ready to be applied. */
export interface HeaderChange {
  /** Lower case: those set and those removed. */
  readonly removeNames: readonly string[];
  /** Lines, each ended by CR LF. */
  readonly append: string;
}

/** null when there is nothing to do. Values are written in UTF-8. */
export function compileHeaderChange(options: HeaderChangeOptions): HeaderChange | null {
  const removeNames = new Set(options.remove.map(changeableName));
  let append = '';
  for (const [name, value] of Object.entries(options.set)) {
    removeNames.add(name.toLowerCase());
    append += line(name, value);
  }
  for (const [name, values] of Object.entries(options.add)) for (const value of values) append += line(name, value);
  return removeNames.size === 0 && append === ''
    ? null
    : Object.freeze({ removeNames: Object.freeze([...removeNames]), append });
}

/** Heads are written as latin1, so each byte of the UTF-8 form becomes one character. */
function line(name: string, value: string): string {
  return headerLine(name, Buffer.from(value, 'utf8').toString('latin1'));
}
