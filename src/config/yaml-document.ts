/**
 * YAML text to plain data by way of the `yaml` package, which knows all of YAML and every place. What the data may be is narrower than YAML: one document,
 * names for keys, no tags. Aliases are copied, so their expansion is counted and bounded.
 */
import { isAlias, isMap, isScalar, isSeq, parseDocument, Scalar } from 'yaml';
import type { Document, ParsedNode } from 'yaml';
import type { Path, Problem } from './config-error.ts';
import { MAX_ISSUES, shown } from './config-error.ts';
import { AsWritten, MAX_DEPTH, MAX_VALUES, isMapping } from './plain-data.ts';
import type { Mapping } from './plain-data.ts';

type YamlDocument = Document.Parsed<ParsedNode, true> | Document.Parsed<ParsedNode, false>;

export type YamlReading = { data: unknown; document: YamlDocument } | { problems: Problem[] };

/** Never throws: what is wrong with the text is in `problems`, with offsets. */
export function readYamlDocument(text: string): YamlReading {
  let document: YamlDocument;
  try {
    // Duplicate keys are found below: the package compares every key with every other.
    document = parseDocument(text, { prettyErrors: false, uniqueKeys: false, logLevel: 'error' });
  } catch (error) {
    // Recursive descent ends in a RangeError when the text nests deeper than the stack.
    if (error instanceof RangeError) return { problems: [tooDeep([], 0)] };
    return { problems: [{ path: [], message: `not readable as YAML: ${firstLine(error)}` }] };
  }
  const faults = [...document.errors, ...document.warnings];
  const overflow = faults.find((fault) => fault.message.includes('call stack'));
  if (overflow !== undefined) return { problems: [tooDeep([], overflow.pos[0])] };
  if (faults.length > 0) return { problems: faults.map(syntaxProblem) };
  const conversion = new Conversion();
  const data = conversion.convert(document.contents);
  return conversion.problems.length > 0 ? { problems: conversion.problems } : { data, document };
}

/**
 * Offset of the place that a path leads to: the key for a mapping's entry that is missing or holds a collection, the value otherwise. As deep
 * as the path can be followed.
 */
export function offsetOf(document: YamlDocument, path: Path, atKey = false): number {
  const anchors = new Map<string, unknown>();
  let node: unknown = document.contents;
  let offset = isSeq(node) || isMap(node) ? (node.range?.[0] ?? 0) : 0;
  for (const [index, part] of path.entries()) {
    if (isAlias(node)) {
      if (anchors.size === 0) collectAnchors(document, anchors);
      node = anchors.get(node.source);
    }
    if (isMap(node)) {
      const pair = node.items.find((item) => isScalar(item.key) && keyText(item.key) === String(part));
      if (pair === undefined) return offset;
      offset = rangeStart(pair.key) ?? offset;
      node = pair.value;
      if (atKey && index === path.length - 1) return offset;
      if (isScalar(node) && node.source !== '') offset = rangeStart(node) ?? offset;
    } else if (isSeq(node)) {
      const item = node.items[Number(part)];
      if (item === undefined) return offset;
      offset = rangeStart(item) ?? offset;
      node = item;
    } else return offset;
  }
  return offset;
}

class Conversion {
  readonly problems: Problem[] = [];
  readonly #anchors = new Map<string, unknown>();
  readonly #path: (string | number)[] = [];
  #values = 0;
  #inAlias = 0;
  #stopped = false;

  convert(node: unknown): unknown {
    if (this.#stopped) return undefined;
    if (++this.#values > MAX_VALUES) {
      return this.#stop({
        path: [],
        message: `expands to more than ${MAX_VALUES} values`,
        hint: 'aliases that repeat aliases multiply: write fewer of them',
        offset: rangeStart(node) ?? 0,
      });
    }
    if (this.#path.length > MAX_DEPTH) return this.#stop(tooDeep(this.#path.slice(0, 3), rangeStart(node) ?? 0));
    if (isAlias(node)) {
      const target = this.#anchors.get(node.source);
      if (target === undefined) {
        this.#report(`no anchor &${node.source} stands before this alias`, undefined, rangeStart(node));
        return undefined;
      }
      this.#inAlias++;
      const value = this.convert(target);
      this.#inAlias--;
      return value;
    }
    const anchor = (node as { anchor?: string } | null)?.anchor;
    let value: unknown = null;
    if (isScalar(node)) value = this.#scalar(node);
    else if (isSeq(node)) {
      value = node.items.map((item, index) => {
        this.#path.push(index);
        const converted = this.convert(item);
        this.#path.pop();
        return converted;
      });
    } else if (isMap(node)) value = this.#mapping(node.items);
    // An alias inside its own anchor finds nothing, since the anchor is known only now.
    if (anchor !== undefined && this.#inAlias === 0) this.#anchors.set(anchor, node);
    return value;
  }

  #scalar(node: Scalar): unknown {
    const value = node.value;
    if (typeof value === 'string' || value === null) return value;
    if (typeof value === 'number' || typeof value === 'boolean') {
      return node.source === undefined || node.source === String(value) ? value : new AsWritten(value, node.source);
    }
    this.#report('this kind of value has no use here', 'write plain text, a number, true or false', rangeStart(node));
    return undefined;
  }

  #mapping(items: readonly { key: unknown; value: unknown }[]): Mapping {
    const result: Mapping = {};
    const merged: Mapping[] = [];
    const seen = new Set<string>();
    for (const { key, value } of items) {
      if (!isScalar(key)) {
        this.#report('a key must be a plain word', undefined, rangeStart(key));
        continue;
      }
      const name = keyText(key);
      this.#path.push(name);
      if (name === '<<' && key.type === Scalar.PLAIN) merged.push(...this.#merges(value));
      else if (name === '__proto__') this.#report('unknown key', undefined, rangeStart(key));
      else if (seen.has(name)) this.#report('is given twice', 'keep one of them', rangeStart(key));
      else {
        seen.add(name);
        result[name] = this.convert(value);
      }
      this.#path.pop();
    }
    for (const source of merged) {
      for (const [name, value] of Object.entries(source)) if (!(name in result)) result[name] = value;
    }
    return result;
  }

  #merges(node: unknown): Mapping[] {
    const value = this.convert(node);
    const sources: unknown[] = Array.isArray(value) ? value : [value];
    const bad = sources.filter((source) => !isMapping(source));
    if (bad.length === 0) return sources as Mapping[];
    // An alias that found nothing has been reported.
    if (!this.#stopped && bad[0] !== undefined)
      this.#report(`expected a mapping to merge, got ${shown(bad[0])}`, undefined, rangeStart(node));
    return [];
  }

  #report(message: string, hint: string | undefined, offset: number | undefined): void {
    const problem: Problem = { path: [...this.#path], message, offset: offset ?? 0 };
    if (hint !== undefined) problem.hint = hint;
    this.problems.push(problem);
    if (this.problems.length > MAX_ISSUES * 5) this.#stopped = true;
  }

  #stop(problem: Problem): undefined {
    this.#stopped = true;
    this.problems.push(problem);
    return undefined;
  }
}

function tooDeep(path: Path, offset: number): Problem {
  return {
    path,
    message: `nests more than ${MAX_DEPTH} levels deep`,
    hint: 'check the indentation and the brackets',
    offset,
  };
}

function keyText(key: Scalar): string {
  if (key.value === null) return '';
  return typeof key.value === 'string' ? key.value : (key.source ?? String(key.value));
}

function collectAnchors(document: YamlDocument, anchors: Map<string, unknown>): void {
  const open: unknown[] = [document.contents];
  while (open.length > 0) {
    const node = open.pop();
    const anchor = (node as { anchor?: string } | null)?.anchor;
    if (anchor !== undefined && !anchors.has(anchor)) anchors.set(anchor, node);
    if (isMap(node)) for (const pair of node.items) open.push(pair.value);
    else if (isSeq(node)) open.push(...node.items);
  }
}

function rangeStart(node: unknown): number | undefined {
  return (node as { range?: [number, number, number] | null } | null)?.range?.[0];
}

function firstLine(error: unknown): string {
  const message = error instanceof Error ? error.message : String(error);
  return message.split('\n', 1)[0]!;
}

/** The parser's own words where they are clear; otherwise ours. */
const SYNTAX: Readonly<Record<string, { message?: string; hint?: string }>> = {
  ALIAS_PROPS: { hint: 'an alias (*name) stands alone' },
  BAD_ALIAS: { hint: 'put text that starts with * or & in quotes' },
  BAD_INDENT: { hint: 'close the bracket, or align the keys of one mapping in one column' },
  BLOCK_IN_FLOW: { hint: 'close the [ or { first' },
  KEY_OVER_1024_CHARS: { hint: 'is a colon meant as text? Put the text in quotes' },
  MISSING_CHAR: { hint: 'check the quotes, brackets and colons on this line and the one before' },
  MULTILINE_IMPLICIT_KEY: {
    message: 'a key must stand on one line',
    hint: 'is a colon missing after it, or the line before not closed?',
  },
  MULTIPLE_DOCS: { message: 'more than one document', hint: 'remove the --- and what follows it' },
  TAB_AS_INDENT: { message: 'tabs are not allowed as indentation', hint: 'use spaces' },
  TAG_RESOLVE_FAILED: {
    message: 'tags (!name) have no use here',
    hint: 'remove it; put text that starts with ! in quotes',
  },
  UNEXPECTED_TOKEN: { hint: 'put text that contains : # { } [ ] or starts with a special character in quotes' },
};

function syntaxProblem(fault: { code: string; pos: [number, number]; message: string }): Problem {
  const known = SYNTAX[fault.code];
  const message = known?.message ?? firstLine(fault);
  const problem: Problem = { path: [], message: `not valid YAML: ${message}`, offset: fault.pos[0] };
  if (known?.hint !== undefined) problem.hint = known.hint;
  return problem;
}
