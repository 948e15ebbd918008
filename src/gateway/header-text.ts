/** Header lines as text, each ended by CR LF: what the gateway makes itself, and what a message was turned into. */

export type HeaderPair = readonly [name: string, value: string];

/** Value of the first line with this lower-case name. */
export function lineValue(lines: string, lowerName: string): string | undefined {
  const { length } = lowerName;
  for (let at = 0; at < lines.length;) {
    const found = lines.indexOf('\r\n', at);
    const end = found < 0 ? lines.length : found;
    if (lines.charCodeAt(at + length) === 0x3a && lines.slice(at, at + length).toLowerCase() === lowerName)
      return lines.slice(at + length + 1, end).trim();
    at = end + 2;
  }
  return undefined;
}

/** The lines that have none of these lower-case names. */
export function withoutLines(lines: string, lowerNames: readonly string[]): string {
  if (lowerNames.length === 0) return lines;
  return lines
    .split('\r\n')
    .filter((line) => !lowerNames.includes(line.slice(0, Math.max(0, line.indexOf(':'))).toLowerCase()))
    .join('\r\n');
}

/** Name and value of each line, in order. */
export function headerPairs(lines: string): HeaderPair[] {
  return lines
    .split('\r\n')
    .filter((line) => line !== '')
    .map((line) => {
      const colon = line.indexOf(':');
      return [line.slice(0, colon), line.slice(colon + 1).trim()];
    });
}

/** Value of the first pair with this lower-case name. */
export function pairValue(pairs: readonly HeaderPair[], lowerName: string): string | undefined {
  return pairs.find(([name]) => name.toLowerCase() === lowerName)?.[1];
}
