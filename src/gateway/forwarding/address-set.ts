/**
 * A set of addresses and CIDR blocks, IPv4 and IPv6. Blocks are kept as sorted ranges without overlaps, so that a look takes a binary search: lists of whole countries
 * have tens of thousands of blocks.
 */
import { isIP } from 'node:net';

/** First and last address of a block; both ends belong to it. IPv6 as 32 hex digits, whose order as text is the order of the addresses. */
type Range<T extends number | string> = [first: T, last: T];

interface Block {
  v4: Range<number> | null;
  v6: Range<string> | null;
}

export class AddressSet {
  readonly #v4: Range<number>[] = [];
  readonly #v6: Range<string>[] = [];

  /** `refuse` makes the error for an entry that is no address and no CIDR block. */
  constructor(blocks: readonly string[], refuse: (block: string) => Error) {
    for (const text of blocks) {
      const block = parseBlock(text);
      if (block === null) throw refuse(text);
      if (block.v4 !== null) this.#v4.push(block.v4);
      if (block.v6 !== null) this.#v6.push(block.v6);
    }
    merge(this.#v4);
    merge(this.#v6);
  }

  /** `address`: in the form of `plainAddress`; what is no address is in no set. */
  has(address: string): boolean {
    const family = isIP(address);
    if (family === 4) return this.#v4.length > 0 && includes(this.#v4, v4Number(address));
    return family === 6 && this.#v6.length > 0 && includes(this.#v6, v6Digits(address));
  }
}

/** null: neither an address nor a CIDR block. Bits behind the mask are ignored. IPv4 inside IPv6 (::ffff:10.0.0.0/104) means the IPv4 block. */
export function parseBlock(text: string): Block | null {
  const slash = text.indexOf('/');
  const address = slash < 0 ? text : text.slice(0, slash);
  const family = isIP(address);
  if (family === 0 || address.includes('%')) return null;
  const width = family === 4 ? 32 : 128;
  const mask = slash < 0 ? String(width) : text.slice(slash + 1);
  if (!/^\d{1,3}$/.test(mask) || Number(mask) > width) return null;
  const bits = Number(mask);
  if (family === 4) return { v4: v4Range(v4Number(address), bits), v6: null };
  const digits = v6Digits(address);
  if (bits >= 96 && digits.startsWith(V4_MAPPED)) {
    return { v4: v4Range(Number.parseInt(digits.slice(24), 16), bits - 96), v6: null };
  }
  return { v4: null, v6: v6Range(digits, bits) };
}

const V4_MAPPED = '00000000000000000000ffff';

function v4Number(address: string): number {
  let value = 0;
  let part = 0;
  for (let i = 0; i < address.length; i++) {
    const code = address.charCodeAt(i);
    if (code === 0x2e) {
      value = value * 256 + part;
      part = 0;
    } else part = part * 10 + (code - 0x30);
  }
  return value * 256 + part;
}

/** The 32 hex digits of an IPv6 address (RFC 4291 section 2.2). */
function v6Digits(address: string): string {
  const zone = address.indexOf('%');
  let text = zone < 0 ? address : address.slice(0, zone);
  if (text.includes('.')) {
    const colon = text.lastIndexOf(':');
    const hex = v4Number(text.slice(colon + 1))
      .toString(16)
      .padStart(8, '0');
    text = `${text.slice(0, colon + 1)}${hex.slice(0, 4)}:${hex.slice(4)}`;
  }
  const gap = text.indexOf('::');
  const head = gap < 0 ? text : text.slice(0, gap);
  const tail = gap < 0 ? '' : text.slice(gap + 2);
  const start = groups(head);
  const end = groups(tail);
  return start + '0'.repeat(32 - start.length - end.length) + end;
}

function groups(text: string): string {
  if (text === '') return '';
  let digits = '';
  for (const group of text.split(':')) digits += group.padStart(4, '0');
  return digits.toLowerCase();
}

function v4Range(address: number, bits: number): Range<number> {
  const size = 2 ** (32 - bits);
  const first = Math.floor(address / size) * size;
  return [first, first + size - 1];
}

function v6Range(digits: string, bits: number): Range<string> {
  const whole = Math.floor(bits / 4);
  const start = digits.slice(0, whole);
  if (whole === 32) return [start, start];
  const size = 2 ** (4 - (bits % 4));
  const first = Math.floor(Number.parseInt(digits[whole]!, 16) / size) * size;
  return [(start + first.toString(16)).padEnd(32, '0'), (start + (first + size - 1).toString(16)).padEnd(32, 'f')];
}

/** Sorts, and joins what overlaps. */
function merge<T extends number | string>(ranges: Range<T>[]): void {
  ranges.sort((a, b) => (a[0] < b[0] ? -1 : a[0] > b[0] ? 1 : 0));
  let kept = 0;
  for (const range of ranges) {
    const last = ranges[kept - 1];
    if (kept > 0 && range[0] <= last![1]) {
      if (range[1] > last![1]) last![1] = range[1];
    } else ranges[kept++] = range;
  }
  ranges.length = kept;
}

function includes<T extends number | string>(ranges: readonly Range<T>[], address: T): boolean {
  let low = 0;
  let high = ranges.length - 1;
  while (low <= high) {
    const middle = (low + high) >> 1;
    const range = ranges[middle]!;
    if (address < range[0]) high = middle - 1;
    else if (address > range[1]) low = middle + 1;
    else return true;
  }
  return false;
}
