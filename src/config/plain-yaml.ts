/**
 * The part of YAML that most files are written in, read in one pass: block mappings and lists by indentation, flow collections on one line, plain and simply
 * quoted scalars, comments. Ten times as fast as the full parser, and without its document in memory.
 *
 * It never guesses: whatever it does not know for certain (anchors, tags, block and multi-line scalars, escapes, tabs, every error) makes it give up, and the full
 * parser decides. That both agree wherever this one answers is a property test.
 */
import { MAX_DEPTH } from './plain-data.ts';
import type { Mapping } from './plain-data.ts';

/** The data, or undefined when the full parser is needed. */
export function readPlainYaml(text: string): Mapping | undefined {
  if (/[\t\r\ufeff]/.test(text)) return undefined;
  try {
    return new PlainReader(text).document();
  } catch (reason) {
    if (reason instanceof GiveUp) return undefined;
    throw reason;
  }
}

class GiveUp extends Error {}

const SPACE = 0x20;
const HASH = 0x23;
const KEY = /([A-Za-z0-9_][A-Za-z0-9_./-]{0,199}):(?= |\n|$)/y;
const FLOW_PLAIN = /[^,[\]{}\n]*/y;
/** What YAML's core schema takes for a number. */
const NUMERIC =
  /^(?:[-+]?(?:\d+(?:\.\d*)?|\.\d+)(?:[eE][-+]?\d+)?|0o[0-7]+|0x[0-9a-fA-F]+|[-+]?\.(?:inf|Inf|INF)|\.(?:nan|NaN|NAN))$/;

class PlainReader {
  readonly #text: string;
  /** The line under the cursor: its first character that is not a space, its end, its indentation. Blank and comment lines are never here. */
  #start = 0;
  #end = -1;
  #indent = -1;

  constructor(text: string) {
    this.#text = text;
  }

  document(): Mapping {
    this.#nextLine();
    if (this.#indent !== 0) throw new GiveUp();
    const data = this.#mapping(0, 0);
    if ((this.#indent as number) !== -1) throw new GiveUp();
    return data;
  }

  /** On to the next line with content; afterwards #indent is -1 at the end of the text. */
  #nextLine(): void {
    const text = this.#text;
    let at = this.#end + 1;
    while (at < text.length) {
      let end = text.indexOf('\n', at);
      if (end < 0) end = text.length;
      let first = at;
      while (first < end && text.charCodeAt(first) === SPACE) first++;
      if (first < end && text.charCodeAt(first) !== HASH) {
        this.#start = first;
        this.#end = end;
        this.#indent = first - at;
        return;
      }
      at = end + 1;
    }
    this.#end = text.length;
    this.#indent = -1;
  }

  /** Starts at a key in column `indent` of the current line. */
  #mapping(indent: number, depth: number): Mapping {
    if (depth > MAX_DEPTH) throw new GiveUp();
    const mapping: Mapping = {};
    for (;;) {
      KEY.lastIndex = this.#start;
      const match = KEY.exec(this.#text);
      if (match === null) throw new GiveUp();
      const key = match[1]!;
      if (key === '__proto__' || /^(?:null|Null|NULL)$/.test(key) || Object.hasOwn(mapping, key)) throw new GiveUp();
      mapping[key] = this.#value(KEY.lastIndex, indent, true, depth);
      if (this.#indent < indent) return mapping;
      if (this.#indent > indent) throw new GiveUp();
    }
  }

  /** Starts at a dash in column `indent` of the current line. */
  #list(indent: number, depth: number): unknown[] {
    if (depth > MAX_DEPTH) throw new GiveUp();
    const list: unknown[] = [];
    for (;;) {
      const after = this.#skipSpaces(this.#start + 1);
      KEY.lastIndex = after;
      if (after < this.#end && KEY.test(this.#text)) {
        // A mapping that begins on the dash's line; its keys align with the first one.
        const column = indent + (after - this.#start);
        this.#start = after;
        this.#indent = column;
        list.push(this.#mapping(column, depth + 1));
      } else list.push(this.#value(this.#start + 1, indent, false, depth));
      if (this.#indent < indent || (this.#indent === indent && !this.#atDash())) return list;
      if (this.#indent > indent) throw new GiveUp();
    }
  }

  /** What stands after a colon or dash that ends at `at`; leaves the cursor on the line after the value. */
  #value(at: number, indent: number, inMapping: boolean, depth: number): unknown {
    const first = this.#skipSpaces(at);
    if (first >= this.#end || (this.#text.charCodeAt(first) === HASH && first > at)) {
      this.#nextLine();
      // A list may stand in the column of the key that it belongs to.
      if (this.#indent > indent)
        return this.#atDash() ? this.#list(this.#indent, depth + 1) : this.#mapping(this.#indent, depth + 1);
      return inMapping && this.#indent === indent && this.#atDash() ? this.#list(indent, depth + 1) : null;
    }
    if (first === at) throw new GiveUp();
    const value = this.#inline(first, depth);
    this.#nextLine();
    return value;
  }

  #atDash(): boolean {
    if (this.#text[this.#start] !== '-') return false;
    return this.#start + 1 === this.#end || this.#text.charCodeAt(this.#start + 1) === SPACE;
  }

  /** A scalar or flow collection that takes the rest of the line. */
  #inline(at: number, depth: number): unknown {
    const char = this.#text[at]!;
    if (char === '[' || char === '{' || char === '"' || char === "'") {
      const cursor = { at };
      const value = char === '[' || char === '{' ? this.#flow(cursor, depth + 1) : this.#quoted(cursor);
      const rest = this.#skipSpaces(cursor.at);
      if (rest < this.#end && (rest === cursor.at || this.#text.charCodeAt(rest) !== HASH)) throw new GiveUp();
      return value;
    }
    let plain = this.#text.slice(at, this.#end);
    const comment = plain.indexOf(' #');
    if (comment >= 0) plain = plain.slice(0, comment);
    return plainScalar(plain);
  }

  #flow(cursor: { at: number }, depth: number): unknown {
    if (depth > MAX_DEPTH) throw new GiveUp();
    const list = this.#text[cursor.at] === '[';
    const close = list ? ']' : '}';
    const items: unknown[] = [];
    const mapping: Mapping = {};
    cursor.at = this.#skipSpaces(cursor.at + 1);
    if (this.#text[cursor.at] === close) {
      cursor.at++;
      return list ? items : mapping;
    }
    for (;;) {
      if (list) items.push(this.#flowItem(cursor, depth));
      else {
        KEY.lastIndex = cursor.at;
        const key = KEY.exec(this.#text)?.[1];
        if (key === undefined || key === '__proto__' || /^(?:null|Null|NULL)$/.test(key) || Object.hasOwn(mapping, key))
          throw new GiveUp();
        cursor.at = this.#skipSpaces(KEY.lastIndex);
        mapping[key] = this.#flowItem(cursor, depth);
      }
      cursor.at = this.#skipSpaces(cursor.at);
      const next = this.#text[cursor.at];
      if (next === close) {
        cursor.at++;
        return list ? items : mapping;
      }
      if (next !== ',') throw new GiveUp();
      cursor.at = this.#skipSpaces(cursor.at + 1);
    }
  }

  #flowItem(cursor: { at: number }, depth: number): unknown {
    const char = this.#text[cursor.at];
    if (char === '[' || char === '{') return this.#flow(cursor, depth + 1);
    if (char === '"' || char === "'") return this.#quoted(cursor);
    FLOW_PLAIN.lastIndex = cursor.at;
    const plain = FLOW_PLAIN.exec(this.#text)![0];
    cursor.at += plain.length;
    if (cursor.at >= this.#end || plain.includes(' #')) throw new GiveUp();
    return plainScalar(plain);
  }

  #quoted(cursor: { at: number }): string {
    const quote = this.#text[cursor.at]!;
    const close = this.#text.indexOf(quote, cursor.at + 1);
    if (close < 0 || close >= this.#end) throw new GiveUp();
    const content = this.#text.slice(cursor.at + 1, close);
    if (quote === '"' ? content.includes('\\') : this.#text[close + 1] === "'") throw new GiveUp();
    cursor.at = close + 1;
    return content;
  }

  #skipSpaces(at: number): number {
    while (at < this.#end && this.#text.charCodeAt(at) === SPACE) at++;
    return at;
  }
}

function plainScalar(raw: string): string | number | boolean | null {
  let end = raw.length;
  while (end > 0 && raw.charCodeAt(end - 1) === SPACE) end--;
  const plain = end === raw.length ? raw : raw.slice(0, end);
  if (!/^(?:[^\s\-?:,[\]{}#&*!|>'"%@`]|-[^\s,[\]{}])/.test(plain) || plain.endsWith(':') || plain.includes(': '))
    throw new GiveUp();
  if (/^[-+.0-9]/.test(plain)) {
    if (!NUMERIC.test(plain)) return plain;
    const value = Number(plain);
    // Spellings that JavaScript would print otherwise (0x10, 1.0, 007) are the full parser's, which keeps them.
    if (String(value) !== plain) throw new GiveUp();
    return value;
  }
  switch (plain) {
    case 'true':
      return true;
    case 'false':
      return false;
    case 'null':
    case '~':
      return null;
    case 'True':
    case 'TRUE':
    case 'False':
    case 'FALSE':
    case 'Null':
    case 'NULL':
      throw new GiveUp();
    default:
      return plain;
  }
}
