/**
 * Sets and removes fields of a JSON text without turning it into values: what isn't named stays as it was written, numbers of any size too, and
 * nothing is ever a property of a JavaScript object.
 */
import { stringEnd, stringValue } from './json-scan.ts';

export interface JsonChange {
  /** Names of fields and positions in lists, outermost first; `-`: behind the last one of a list. */
  path: string[];
  /** JSON text; null: the field is removed. */
  json: string | null;
}

interface Node {
  children: Map<string, Node>;
  json: string | null;
  removed: boolean;
  /** It or something below is set, so that it is made when it isn't there. */
  sets: boolean;
}

/** From a valid JSON text to the new one; null: nothing in it changes. */
export type JsonEdit = (text: string) => string | null;

/** No path may lie within another one (see `overlap`). */
export function compileJsonEdit(changes: readonly JsonChange[]): JsonEdit {
  const root = node();
  for (const { path, json } of changes) {
    let at = root;
    at.sets ||= json !== null;
    for (const name of path) {
      let child = at.children.get(name);
      if (child === undefined) at.children.set(name, (child = node()));
      child.sets ||= json !== null;
      at = child;
    }
    if (json === null) at.removed = true;
    else at.json = json;
  }
  return (text) => {
    const rewriting = new Rewriting(text);
    const out = rewriting.value(skipSpace(text, 0), root);
    return rewriting.changed ? out : null;
  };
}

/** The first path that lies within another one or equals it; null when there is none. */
export function overlap(paths: readonly (readonly string[])[]): number | null {
  const texts = paths.map((path) =>
    path.map((name) => `${name.replaceAll('~', '~0').replaceAll('/', '~1')}/`).join(''),
  );
  const index = texts.findIndex((text, i) =>
    texts.some((other, k) => k !== i && text.startsWith(other) && (text !== other || k < i)),
  );
  return index < 0 ? null : index;
}

/** `/a/b` (RFC 6901) or `a.b`; null when it is neither. */
export function jsonPath(text: string): string[] | null {
  if (!text.startsWith('/')) {
    const names = text.split('.');
    return names.includes('') ? null : names;
  }
  if (/~(?![01])/.test(text)) return null;
  return text
    .slice(1)
    .split('/')
    .map((name) => name.replaceAll('~1', '/').replaceAll('~0', '~'));
}

function node(): Node {
  return { children: new Map(), json: null, removed: false, sets: false };
}

/** Goes down only where a change lies, as deep as the longest path; all else is stepped over without recursion. */
class Rewriting {
  changed = false;
  private readonly text: string;
  /** Behind the value that was read last. */
  private end = 0;

  constructor(text: string) {
    this.text = text;
  }

  /** The text of the value at `start` as it becomes. */
  value(start: number, at: Node): string {
    const code = this.text.charCodeAt(start);
    if (code === 0x7b) return this.object(start, at);
    if (code === 0x5b) return this.list(start, at);
    // Something else is in the way of what lies below: it stays.
    this.end = valueEnd(this.text, start);
    return this.text.slice(start, this.end);
  }

  private object(start: number, at: Node): string {
    const { text } = this;
    const members: string[] = [];
    const found = new Set<Node>();
    const before = this.changed;
    this.changed = false;
    let i = skipSpace(text, start + 1);
    while (text.charCodeAt(i) !== 0x7d) {
      const nameEnd = stringEnd(text, i);
      const child = at.children.get(stringValue(text, i, nameEnd));
      const valueStart = skipSpace(text, skipSpace(text, nameEnd) + 1);
      const again = child !== undefined && found.has(child);
      const made = this.child(valueStart, child, again);
      if (made === undefined) members.push(text.slice(i, this.end));
      else if (made !== null) members.push(`${text.slice(i, nameEnd)}:${made}`);
      if (child !== undefined) found.add(child);
      i = skipComma(text, this.end);
    }
    for (const [name, child] of at.children) {
      if (!child.sets || found.has(child)) continue;
      members.push(`${JSON.stringify(name)}:${build(child)}`);
      this.changed = true;
    }
    return this.finish(start, i + 1, `{${members.join(',')}}`, before);
  }

  private list(start: number, at: Node): string {
    const { text } = this;
    const items: string[] = [];
    const before = this.changed;
    this.changed = false;
    let i = skipSpace(text, start + 1);
    for (let index = 0; text.charCodeAt(i) !== 0x5d; index++) {
      const made = this.child(i, at.children.get(String(index)), false);
      if (made === undefined) items.push(text.slice(i, this.end));
      else if (made !== null) items.push(made);
      i = skipComma(text, this.end);
    }
    const behind = at.children.get('-');
    if (behind !== undefined && behind.sets) {
      items.push(build(behind));
      this.changed = true;
    }
    return this.finish(start, i + 1, `[${items.join(',')}]`, before);
  }

  /** undefined: it stays as it is; null: it goes. `again`: its name stood there before. */
  private child(start: number, child: Node | undefined, again: boolean): string | null | undefined {
    if (child === undefined) {
      this.end = valueEnd(this.text, start);
      return undefined;
    }
    if (!child.removed && child.json === null) return this.value(start, child);
    this.changed = true;
    this.end = valueEnd(this.text, start);
    return child.removed || again ? null : child.json;
  }

  /** What nothing was changed in stays as it was written. */
  private finish(start: number, end: number, made: string, before: boolean): string {
    const changed = this.changed;
    this.changed = before || changed;
    this.end = end;
    return changed ? made : this.text.slice(start, end);
  }
}

/** A value that wasn't there. */
function build(at: Node): string {
  if (at.json !== null) return at.json;
  const members: string[] = [];
  for (const [name, child] of at.children) if (child.sets) members.push(`${JSON.stringify(name)}:${build(child)}`);
  return `{${members.join(',')}}`;
}

function skipSpace(text: string, start: number): number {
  let i = start;
  for (;;) {
    const code = text.charCodeAt(i);
    if (code !== 0x20 && code !== 0x0a && code !== 0x0d && code !== 0x09) return i;
    i++;
  }
}

function skipComma(text: string, start: number): number {
  const i = skipSpace(text, start);
  return text.charCodeAt(i) === 0x2c ? skipSpace(text, i + 1) : i;
}

/** Behind the value that begins at `start`. */
function valueEnd(text: string, start: number): number {
  let depth = 0;
  let i = start;
  while (i < text.length) {
    switch (text.charCodeAt(i)) {
      case 0x22:
        i = stringEnd(text, i);
        if (depth === 0) return i;
        continue;
      case 0x7b:
      case 0x5b:
        depth++;
        break;
      case 0x7d:
      case 0x5d:
        if (depth === 0) return i;
        if (--depth === 0) return i + 1;
        break;
      case 0x2c:
      case 0x20:
      case 0x0a:
      case 0x0d:
      case 0x09:
        if (depth === 0) return i;
        break;
      default:
    }
    i++;
  }
  return i;
}
