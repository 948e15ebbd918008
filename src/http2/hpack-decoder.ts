import { ascii } from '../http1/characters.ts';
import { fieldKind } from './field-kind.ts';
import { decodeHuffman } from './huffman.ts';
import { ENTRY_OVERHEAD, STATIC_TABLE, TABLE_BYTES } from './static-table.ts';

export interface FieldSink {
  /**
   * A field as a line of HTTP/1.1: bytes[0, end) is `name: value CRLF`, its name bytes[0, nameEnd). Only good during the call. `kind`: a HeaderKind
   * or FieldKind; a MALFORMED one must not be written anywhere.
   */
  onField(bytes: Uint8Array, nameEnd: number, end: number, kind: number): void;
}

/** Room for the strings of one block while it is decoded; shared by all connections of a worker, since decoding never waits. */
export class DecoderScratch {
  bytes = new Uint8Array(4096);

  /** Room for `size` bytes; what is in it stays. */
  ensure(size: number): Uint8Array {
    if (this.bytes.length < size) {
      const larger = new Uint8Array(Math.max(size, this.bytes.length * 2));
      larger.set(this.bytes);
      this.bytes = larger;
    }
    return this.bytes;
  }
}

interface Entry {
  /** `name: value CRLF` */
  readonly line: Uint8Array;
  readonly nameEnd: number;
  readonly kind: number;
}

const STATIC_ENTRIES: readonly Entry[] = STATIC_TABLE.map(([name, value]) => {
  const line = ascii(`${name}: ${value}\r\n`);
  return { line, nameEnd: name.length, kind: fieldKind(line, 0, name.length, name.length + 2, line.length - 2) };
});

/** `: ` and CRLF. */
const LINE_MARKS = 4;
const MAX_ENTRIES = TABLE_BYTES / ENTRY_OVERHEAD;
const MAX_INTEGER = 0x0fff_ffff;

/**
 * Decodes the header blocks of one direction of a connection (RFC 7541). Fields come out as lines of HTTP/1.1, which the dynamic table holds them as, too,
 * with what is wrong with them: a field that is sent by its index costs one copy.
 */
export class HpackDecoder {
  private readonly scratch: DecoderScratch;
  /** A ring: the newest entry is at `newest`. */
  private readonly entries: (Entry | null)[] = [];
  private newest = -1;
  private count = 0;
  private size = 0;
  private limit = TABLE_BYTES;
  private at = 0;
  private failed = false;

  constructor(scratch: DecoderScratch) {
    this.scratch = scratch;
  }

  /** False: the block is not valid, and neither is the connection from here on (COMPRESSION_ERROR). */
  decode(block: Uint8Array, start: number, end: number, sink: FieldSink): boolean {
    this.at = start;
    this.failed = false;
    let begun = false;
    while (this.at < end) {
      const first = block[this.at]!;
      if ((first & 0x80) !== 0) {
        const entry = this.entryAt(this.integer(block, end, 7));
        if (entry === null || this.failed) return false;
        sink.onField(entry.line, entry.nameEnd, entry.line.length, entry.kind);
      } else if ((first & 0xe0) === 0x20) {
        // A size update stands before the first field (RFC 7541 4.2).
        const limit = this.integer(block, end, 5);
        if (begun || this.failed || limit > TABLE_BYTES) return false;
        this.limit = limit;
        this.evict(0);
        continue;
      } else {
        const isIndexed = (first & 0x40) !== 0;
        if (!this.literal(block, end, this.integer(block, end, isIndexed ? 6 : 4), isIndexed, sink)) return false;
      }
      begun = true;
    }
    return true;
  }

  private literal(block: Uint8Array, end: number, nameIndex: number, isIndexed: boolean, sink: FieldSink): boolean {
    if (this.failed) return false;
    let nameEnd: number;
    if (nameIndex > 0) {
      const entry = this.entryAt(nameIndex);
      if (entry === null) return false;
      nameEnd = entry.nameEnd;
      const to = this.scratch.ensure(nameEnd + LINE_MARKS);
      for (let i = 0; i < nameEnd; i++) to[i] = entry.line[i]!;
    } else {
      nameEnd = this.string(block, end, 0);
      if (nameEnd < 0) return false;
    }
    let to = this.scratch.ensure(nameEnd + LINE_MARKS);
    to[nameEnd] = 0x3a;
    to[nameEnd + 1] = 0x20;
    const valueEnd = this.string(block, end, nameEnd + 2);
    if (valueEnd < 0) return false;
    to = this.scratch.ensure(valueEnd + 2);
    to[valueEnd] = 0x0d;
    to[valueEnd + 1] = 0x0a;
    const kind = fieldKind(to, 0, nameEnd, nameEnd + 2, valueEnd);
    if (isIndexed) this.add(to, nameEnd, valueEnd + 2, kind);
    sink.onField(to, nameEnd, valueEnd + 2, kind);
    return true;
  }

  /** Reads a string into the scratch at `to`. Returns where it ends there, or -1. */
  private string(block: Uint8Array, end: number, to: number): number {
    if (this.at >= end) return -1;
    const isHuffman = (block[this.at]! & 0x80) !== 0;
    const length = this.integer(block, end, 7);
    if (this.failed || length > end - this.at) return -1;
    const from = this.at;
    this.at += length;
    // The shortest code has 5 bits. Two bytes more: what follows the string in a line.
    if (isHuffman) {
      const bytes = this.scratch.ensure(to + ((length * 8) / 5 + 1) + 2);
      return decodeHuffman(block, from, from + length, bytes, to);
    }
    const bytes = this.scratch.ensure(to + length + 2);
    if (length > 32) bytes.set(block.subarray(from, from + length), to);
    else for (let i = 0; i < length; i++) bytes[to + i] = block[from + i]!;
    return to + length;
  }

  /** RFC 7541 5.1. Sets `failed` when it is cut off or beyond what any block of ours can hold. */
  private integer(block: Uint8Array, end: number, prefixBits: number): number {
    const mask = (1 << prefixBits) - 1;
    let value = block[this.at++]! & mask;
    if (value < mask) return value;
    for (let shift = 0; shift < 28; shift += 7) {
      if (this.at >= end) break;
      const byte = block[this.at++]!;
      value += (byte & 0x7f) << shift;
      if (value > MAX_INTEGER) break;
      if ((byte & 0x80) === 0) return value;
    }
    this.failed = true;
    return 0;
  }

  private entryAt(index: number): Entry | null {
    if (index <= 0) return null;
    if (index <= STATIC_ENTRIES.length) return STATIC_ENTRIES[index - 1]!;
    const back = index - STATIC_ENTRIES.length - 1;
    if (back >= this.count) return null;
    return this.entries[(this.newest - back + MAX_ENTRIES) % MAX_ENTRIES]!;
  }

  private add(line: Uint8Array, nameEnd: number, end: number, kind: number): void {
    const cost = end - LINE_MARKS + ENTRY_OVERHEAD;
    this.evict(cost);
    // Larger than the whole table: it only empties it (RFC 7541 4.4).
    if (cost > this.limit) return;
    this.newest = (this.newest + 1) % MAX_ENTRIES;
    this.entries[this.newest] = { line: line.slice(0, end), nameEnd, kind };
    this.count++;
    this.size += cost;
  }

  /** Makes room for `cost` bytes. */
  private evict(cost: number): void {
    while (this.count > 0 && this.size + cost > this.limit) {
      const oldest = (this.newest - this.count + 1 + MAX_ENTRIES) % MAX_ENTRIES;
      this.size -= this.entries[oldest]!.line.length - LINE_MARKS + ENTRY_OVERHEAD;
      this.entries[oldest] = null;
      this.count--;
    }
  }
}
