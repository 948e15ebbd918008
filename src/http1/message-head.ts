import { TOKEN } from './characters.ts';
import { HeaderKind, HOP_BY_HOP } from './header-kind.ts';

/** What requests and responses share. One object per parser, overwritten by the next head: take what must live longer. */
export class MessageHead {
  /** The head as received, one character per byte, from the first byte of the start line to and including the final CRLFCRLF. */
  text = '';
  /** 0 or 1: HTTP/1.0 or HTTP/1.1. */
  minor: 0 | 1 = 1;
  /** Header lines. */
  count = 0;
  /** Five indices into `text` per header line: start and end of the name, start and end of the value (without spaces around it), end of the line after its CRLF. */
  offsets: Int32Array = NO_OFFSETS;
  /** A HeaderKind per header line. */
  kinds: Uint8Array = NO_KINDS;
  /** Bytes; -1 without Content-Length. */
  contentLength = -1;
  chunked = false;
  /** What version and Connection say about further messages on this connection (RFC 9112 9.3). */
  keepAlive = true;
  /** The value of Upgrade when Connection names it and the version is 1.1, else ''. Several lines are joined by `, `. */
  upgrade = '';
  /** Lower-case names in Connection besides close, keep-alive, upgrade and te: these header lines go no further. At most 32; null when none. */
  connectionNames: string[] | null = null;

  /** First line with this name (lower case), or -1. */
  indexOf(lowerName: string): number {
    for (let i = 0; i < this.count; i++) if (this.isNamed(i, lowerName)) return i;
    return -1;
  }

  /** First line of this kind at or after `from`, or -1. */
  indexOfKind(kind: number, from = 0): number {
    for (let i = from; i < this.count; i++) if (this.kinds[i] === kind) return i;
    return -1;
  }

  /** Value of the first line with this name (lower case). */
  value(lowerName: string): string | undefined {
    const index = this.indexOf(lowerName);
    return index === -1 ? undefined : this.valueAt(index);
  }

  /** 0 <= i < count. */
  valueAt(i: number): string {
    return this.text.slice(this.offsets[i * 5 + 2], this.offsets[i * 5 + 3]);
  }

  /** As sent, not lower-cased. 0 <= i < count. */
  nameAt(i: number): string {
    return this.text.slice(this.offsets[i * 5], this.offsets[i * 5 + 1]);
  }

  /** True for a line that a proxy does not forward: hop-by-hop by itself (HOP_BY_HOP) or named in Connection. */
  dropped(i: number): boolean {
    if (HOP_BY_HOP[this.kinds[i]!] === 1) return true;
    return this.connectionNames !== null && this.isNominated(i, this.connectionNames);
  }

  /** Joins the values of all Upgrade lines. */
  joinUpgrade(first: number): string {
    let joined = this.valueAt(first);
    for (
      let i = this.indexOfKind(HeaderKind.UPGRADE, first + 1);
      i !== -1;
      i = this.indexOfKind(HeaderKind.UPGRADE, i + 1)
    ) {
      joined += `, ${this.valueAt(i)}`;
    }
    return joined;
  }

  private isNominated(i: number, names: string[]): boolean {
    for (const name of names) if (this.isNamed(i, name)) return true;
    return false;
  }

  private isNamed(i: number, lowerName: string): boolean {
    const start = this.offsets[i * 5]!;
    const length = lowerName.length;
    if (this.offsets[i * 5 + 1]! - start !== length) return false;
    for (let k = 0; k < length; k++)
      if (TOKEN[this.text.charCodeAt(start + k)] !== lowerName.charCodeAt(k)) return false;
    return true;
  }
}

const NO_OFFSETS = new Int32Array(0);
const NO_KINDS = new Uint8Array(0);
