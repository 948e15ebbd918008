/**
 * Changes of a head, recorded while filters run and carried out by whoever writes the head: leave out the received lines that
 * `removes` tells, then append `append`. One object serves all requests of a connection.
 */
import { lineValue, withoutLines } from '../header-text.ts';
import { isNamed, type HeaderLines } from '../request-view.ts';
import type { HeaderChange } from './header-change.ts';
import { changeableName, headerLine } from './header-line.ts';

/** Unions that one edit remembers; looking through them has to cost less than making one. */
const MOST_UNIONS = 32;
const NONE: readonly string[] = Object.freeze([]);

export class HeadEdit {
  /** Lower-case names of received lines to leave out. Replaced, never changed in place: it may belong to a compiled change. */
  removeNames: readonly string[] = NONE;
  /** Lines to add, each ended by CR LF. */
  append = '';
  private readonly unions = new NameUnions();

  reset(): void {
    this.removeNames = NONE;
    this.append = '';
  }

  /** A change that was compiled: usually the only one, and then nothing is copied. */
  apply(change: HeaderChange): void {
    if (this.append === '' && this.removeNames.length === 0) {
      this.removeNames = change.removeNames;
      this.append = change.append;
      return;
    }
    for (const name of change.removeNames) this.removeHeader(name);
    this.append += change.append;
  }

  /** Replaces all lines of this name by one. Throws DORMOUSE_FILTER_HEADER when the line would break the head or its framing. */
  setHeader(name: string, value: string): void {
    const line = headerLine(name, value);
    this.removeHeader(name);
    this.append += line;
  }

  /** Adds a line. Throws DORMOUSE_FILTER_HEADER when the line would break the head or its framing. */
  addHeader(name: string, value: string): void {
    this.append += headerLine(name, value);
  }

  /** Takes away the received lines of this name and those that were added before. Throws DORMOUSE_FILTER_HEADER as `setHeader` does. */
  removeHeader(name: string): void {
    const lowerName = changeableName(name);
    if (this.append !== '' && lineValue(this.append, lowerName) !== undefined)
      this.append = withoutLines(this.append, [lowerName]);
    if (!this.removeNames.includes(lowerName)) this.removeNames = this.unions.of(this.removeNames, lowerName);
  }

  /** Leaves out received lines of these names (lower case, never changed in place); lines that filters before added stay. */
  removeReceived(lowerNames: readonly string[]): void {
    const present = this.removeNames;
    if (present === lowerNames) return;
    // A list of one is often made for the call, and would be known by nothing but its name.
    if (lowerNames.length === 1) this.removeNames = this.unions.of(present, lowerNames[0]!);
    else this.removeNames = present.length === 0 ? lowerNames : this.unions.of(present, lowerNames);
  }

  /** Whether the received line `index` is left out. Ask only when `removeNames` isn't empty. */
  removes(lines: HeaderLines, index: number): boolean {
    const names = this.removeNames;
    for (let i = 0; i < names.length; i++) if (isNamed(lines, index, names[i]!)) return true;
    return false;
  }
}

/** Lists of names that were put together before: the filters of a route do the same for each request, and equal lists are one object then. */
class NameUnions {
  private readonly known: { first: readonly string[]; more: readonly string[] | string; union: readonly string[] }[] =
    [];
  private next = 0;

  /** `first` and `more` are never changed in place. */
  of(first: readonly string[], more: readonly string[] | string): readonly string[] {
    for (const entry of this.known) if (entry.first === first && entry.more === more) return entry.union;
    const union = Object.freeze([...new Set(typeof more === 'string' ? [...first, more] : [...first, ...more])]);
    this.known[this.next] = { first, more, union };
    this.next = (this.next + 1) % MOST_UNIONS;
    return union;
  }
}
