import { DormouseError } from '../../model/errors.ts';

/** A header line with its CR LF. `value`: latin1. Throws DORMOUSE_FILTER_HEADER: a filter may take values from outside. */
export function headerLine(name: string, value: string): string {
  if (!/^[!#$%&'*+\-.^_`|~0-9A-Za-z]+$/.test(name) || !/^[\t\x20-\x7e\x80-\xff]*$/.test(value)) {
    throw new DormouseError(
      'DORMOUSE_FILTER_HEADER',
      `a filter wrote the header ${JSON.stringify(name)}, whose name or value can't stand in a head; names are tokens, values hold no control characters`,
    );
  }
  return `${name}: ${value}\r\n`;
}
