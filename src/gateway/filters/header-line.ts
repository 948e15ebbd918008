import { DormouseError } from '../../model/errors.ts';
import { WIRE_HEADERS } from './wire-headers.ts';

/** The name in lower case. Throws DORMOUSE_FILTER_HEADER when a filter may not change such a header. */
export function changeableName(name: string): string {
  const lowerName = name.toLowerCase();
  if (Object.hasOwn(WIRE_HEADERS, lowerName)) {
    throw new DormouseError('DORMOUSE_FILTER_HEADER', `a filter may not change ${name}: it ${WIRE_HEADERS[lowerName]}`);
  }
  return lowerName;
}

/** A header line with its CR LF. `value`: latin1. Throws DORMOUSE_FILTER_HEADER: a filter may take values from outside. */
export function headerLine(name: string, value: string): string {
  changeableName(name);
  if (!/^[!#$%&'*+\-.^_`|~0-9A-Za-z]+$/.test(name) || !/^[\t\x20-\x7e\x80-\xff]*$/.test(value)) {
    throw new DormouseError(
      'DORMOUSE_FILTER_HEADER',
      `a filter wrote the header ${JSON.stringify(name)}, whose name or value can't stand in a head; names are tokens, values hold no control characters`,
    );
  }
  return `${name}: ${value}\r\n`;
}
