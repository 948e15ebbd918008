import { ENTRY_OVERHEAD, STATIC_TABLE, TABLE_BYTES } from './static-table.ts';

/** Room for one block while it is encoded; shared by all connections of a worker, since encoding never waits. */
export class EncoderScratch {
  bytes: Buffer = Buffer.allocUnsafeSlow(4096);

  ensure(size: number): Buffer {
    if (this.bytes.length < size) {
      const larger = Buffer.allocUnsafeSlow(Math.max(size, this.bytes.length * 2));
      this.bytes.copy(larger);
      this.bytes = larger;
    }
    return this.bytes;
  }
}

const STATIC_NAMES: ReadonlyMap<string, number> = new Map(
  // The first of several entries with one name: written last.
  STATIC_TABLE.map(([name], i) => [name, i + 1] as const).toReversed(),
);
const STATIC_FIELDS: ReadonlyMap<string, number> = new Map(
  STATIC_TABLE.flatMap(([name, value], i) => (value === '' ? [] : [[`${name}: ${value}`, i + 1] as const])),
);

/** Fields about an HTTP/1 connection, which must not stand in HTTP/2 (RFC 9113 8.2.2). Host is said by `:authority`. */
const LEFT_OUT = new Set([
  'connection',
  'keep-alive',
  'proxy-connection',
  'transfer-encoding',
  'upgrade',
  'http2-settings',
  'host',
]);
/** Values that differ from message to message: an entry would only drive out one that is of use. */
const UNINDEXED = new Set([
  ':path',
  'age',
  'content-length',
  'content-range',
  'etag',
  'expires',
  'forwarded',
  'grpc-timeout',
  'if-modified-since',
  'if-none-match',
  'last-modified',
  'location',
  'range',
  'server-timing',
  'traceparent',
  'x-forwarded-for',
  'x-request-id',
]);
/** Secrets: never in a table, where their compression could be watched (RFC 7541 7.1.3). */
const SECRET = new Set(['authorization', 'cookie', 'proxy-authorization', 'set-cookie', 'x-api-key']);
/** A longer line is not worth its place in the table, characters. */
const MAX_INDEXED = 256;

/**
 * Encodes the header blocks of one direction of a connection (RFC 7541) from lines of HTTP/1.1. A line that was sent before goes out as its index: it is found
 * as it stands, without being taken apart. Strings are not Huffman coded.
 */
export class HpackEncoder {
  private readonly scratch: EncoderScratch;
  private out: Buffer;
  private length = 0;
  /** Line to the number of its entry; entries are numbered in the order in which they were added. */
  private readonly known = new Map<string, number>();
  private readonly costs: number[] = [];
  private added = 0;
  private size = 0;
  private limit = TABLE_BYTES;
  /** The smallest and the last limit of the peer that it hasn't been told that we know; -1: none. */
  private smallestUpdate = -1;

  constructor(scratch: EncoderScratch) {
    this.scratch = scratch;
    this.out = scratch.bytes;
  }

  /** SETTINGS_HEADER_TABLE_SIZE of the peer. */
  setLimit(bytes: number): void {
    const limit = Math.min(bytes, TABLE_BYTES);
    if (limit === this.limit && this.smallestUpdate < 0) return;
    this.smallestUpdate = this.smallestUpdate < 0 ? limit : Math.min(this.smallestUpdate, limit);
    this.limit = limit;
    this.evict(0);
  }

  begin(): void {
    this.out = this.scratch.bytes;
    this.length = 0;
    if (this.smallestUpdate < 0) return;
    if (this.smallestUpdate < this.limit) this.integer(0x20, 5, this.smallestUpdate);
    this.integer(0x20, 5, this.limit);
    this.smallestUpdate = -1;
  }

  /** The block's bytes are `bytes[0, size)` until the next block is begun, on any connection. */
  end(): number {
    return this.length;
  }

  get bytes(): Buffer {
    return this.out;
  }

  status(code: number): void {
    switch (code) {
      case 200:
        this.byte(0x88);
        return;
      case 204:
        this.byte(0x89);
        return;
      case 206:
        this.byte(0x8a);
        return;
      case 304:
        this.byte(0x8b);
        return;
      case 404:
        this.byte(0x8d);
        return;
      default:
        this.field(':status', String(code));
    }
  }

  /** A field of our own; the name in lower case. */
  field(name: string, value: string): void {
    const line = `${name}: ${value}`;
    if (!this.indexed(line)) this.literal(line, name, value);
  }

  /** Whole lines of HTTP/1.1: text[start, end). */
  lines(text: string, start = 0, end = text.length): void {
    let at = start;
    while (at < end) {
      let lineEnd = text.indexOf('\r\n', at);
      if (lineEnd < 0 || lineEnd > end) lineEnd = end;
      const line = text.slice(at, lineEnd);
      at = lineEnd + 2;
      if (this.indexed(line)) continue;
      const colon = line.indexOf(':');
      if (colon <= 0) continue;
      const name = line.slice(0, colon).toLowerCase();
      if (LEFT_OUT.has(name)) continue;
      this.literal(line, name, withoutSpaces(line, colon + 1));
    }
  }

  private indexed(line: string): boolean {
    const number = this.known.get(line);
    if (number === undefined) return false;
    this.integer(0x80, 7, STATIC_TABLE.length + this.added - number);
    return true;
  }

  private literal(line: string, name: string, value: string): void {
    const fixed = STATIC_FIELDS.get(`${name}: ${value}`);
    if (fixed !== undefined) {
      this.integer(0x80, 7, fixed);
      return;
    }
    const nameIndex = STATIC_NAMES.get(name) ?? 0;
    const cost = name.length + value.length + ENTRY_OVERHEAD;
    if (SECRET.has(name)) this.integer(0x10, 4, nameIndex);
    else if (line.length > MAX_INDEXED || cost > this.limit || UNINDEXED.has(name)) this.integer(0x00, 4, nameIndex);
    else {
      this.integer(0x40, 6, nameIndex);
      this.evict(cost);
      this.known.set(ownCopy(line), this.added++);
      this.costs.push(cost);
      this.size += cost;
    }
    if (nameIndex === 0) this.string(name);
    this.string(value);
  }

  private evict(cost: number): void {
    if (this.size + cost <= this.limit) return;
    // A Map hands out its keys in the order in which they were set.
    for (const line of this.known.keys()) {
      this.known.delete(line);
      this.size -= this.costs.shift()!;
      if (this.size + cost <= this.limit) return;
    }
  }

  private byte(value: number): void {
    this.out = this.scratch.ensure(this.length + 1);
    this.out[this.length++] = value;
  }

  private integer(flags: number, prefixBits: number, value: number): void {
    const out = (this.out = this.scratch.ensure(this.length + 6));
    const mask = (1 << prefixBits) - 1;
    if (value < mask) {
      out[this.length++] = flags | value;
      return;
    }
    out[this.length++] = flags | mask;
    let rest = value - mask;
    while (rest >= 128) {
      out[this.length++] = (rest & 0x7f) | 0x80;
      rest >>>= 7;
    }
    out[this.length++] = rest;
  }

  /** One character per byte. */
  private string(text: string): void {
    const { length } = text;
    this.integer(0, 7, length);
    const out = (this.out = this.scratch.ensure(this.length + length));
    if (length > 24) this.length += out.write(text, this.length, length, 'latin1');
    else for (let i = 0; i < length; i++) out[this.length++] = text.charCodeAt(i);
  }
}

/** The value after the colon: SP and HTAB around it are not part of it; other characters that `trim` takes for spaces are. */
function withoutSpaces(line: string, from: number): string {
  let start = from;
  let end = line.length;
  while (start < end && isSpace(line.charCodeAt(start))) start++;
  while (end > start && isSpace(line.charCodeAt(end - 1))) end--;
  return line.slice(start, end);
}

function isSpace(code: number): boolean {
  return code === 0x20 || code === 0x09;
}

/** A slice would keep the whole head alive that it was cut from. */
function ownCopy(line: string): string {
  return Buffer.from(line, 'latin1').toString('latin1');
}
