/**
 * What routing, filters, forwarding and balancing read of a request head. http1's parsed head satisfies it as it is, so that nothing is
 * copied; tests build one with request-view.fixture.ts.
 */

/** Header lines as positions in one latin1 string. */
export interface HeaderLines {
  readonly text: string;
  /** Number of header lines. */
  readonly count: number;
  /** Five per header line: nameStart, nameEnd, valueStart, valueEnd, lineEnd. */
  readonly offsets: Int32Array;
  valueAt(index: number): string;
  nameAt(index: number): string;
  /** Value of the first line with this lower-case name. */
  value(lowerName: string): string | undefined;
  /** Index of the first line with this lower-case name; -1 when there is none. */
  indexOf(lowerName: string): number;
}

export interface RequestView extends HeaderLines {
  /** As received, case-sensitive. */
  readonly method: string;
  /** Request target as received. */
  readonly target: string;
  /** Raw path, without query. */
  readonly path: string;
  /** Raw query, without the question mark. */
  readonly query: string;
  /** Minor version of HTTP/1.x. */
  readonly minor: number;
  /** The authority as received; empty when HTTP/1.0 sent none. */
  readonly host: string;
  /** Lower case, without port. */
  readonly hostname: string;
}

const STRIDE = 5;

/** True when line `index` has this lower-case name. Compares in place: no string is made. */
export function isNamed(lines: HeaderLines, index: number, lowerName: string): boolean {
  return matches(lines, index, lowerName, false);
}

/** The same, with `_` and `-` taken for one character in both names. */
export function isSpelledLike(lines: HeaderLines, index: number, lowerName: string): boolean {
  return matches(lines, index, lowerName, true);
}

function matches(lines: HeaderLines, index: number, lowerName: string, dashesAlike: boolean): boolean {
  const at = index * STRIDE;
  const start = lines.offsets[at]!;
  const length = lines.offsets[at + 1]! - start;
  if (length !== lowerName.length) return false;
  const text = lines.text;
  for (let i = 0; i < length; i++) {
    let code = text.charCodeAt(start + i);
    if (code >= 65 && code <= 90) code += 32;
    const wanted = lowerName.charCodeAt(i);
    if (code !== wanted && !(dashesAlike && isDash(code) && isDash(wanted))) return false;
  }
  return true;
}

function isDash(code: number): boolean {
  return code === 0x5f || code === 0x2d;
}

/** Characters of the name of line `index`. */
export function nameLength(lines: HeaderLines, index: number): number {
  return lines.offsets[index * STRIDE + 1]! - lines.offsets[index * STRIDE]!;
}

/** True when the name of line `index` has a `_`. */
export function hasUnderscore(lines: HeaderLines, index: number): boolean {
  const end = lines.offsets[index * STRIDE + 1]!;
  for (let at = lines.offsets[index * STRIDE]!; at < end; at++) if (lines.text.charCodeAt(at) === 0x5f) return true;
  return false;
}

/** Index of the next line with this name at or after `from`; -1 when there is none. */
export function nextNamed(lines: HeaderLines, lowerName: string, from: number): number {
  for (let i = from; i < lines.count; i++) if (isNamed(lines, i, lowerName)) return i;
  return -1;
}

/**
 * All values of a header as one, joined by ", " in the order of the lines (RFC 9110 section 5.3); undefined when there is none. With one
 * line, which is nearly always so, nothing is joined.
 */
export function joinedValue(lines: HeaderLines, lowerName: string): string | undefined {
  const first = lines.indexOf(lowerName);
  if (first < 0) return undefined;
  let value = lines.valueAt(first);
  for (let i = nextNamed(lines, lowerName, first + 1); i >= 0; i = nextNamed(lines, lowerName, i + 1)) {
    value += ', ' + lines.valueAt(i);
  }
  return value;
}
