/** The candidates of one host: which of them has the path, without trying the others. */
import type { RequestView } from '../request-view.ts';
import { byConditions, type Candidate } from './candidate.ts';
import { normalRulePath } from './path.ts';
import { PatternIndex } from './pattern-index.ts';
import type { RuleTarget } from './rule-target.ts';

/** A segment of the configured prefixes. */
class PrefixNode {
  readonly parent: PrefixNode | null;
  /** null: none. Most tables have one prefix, and there may be thousands of tables. */
  children: Map<string, PrefixNode> | null = null;
  candidates: Candidate[] | null = null;

  constructor(parent: PrefixNode | null) {
    this.parent = parent;
  }
}

export class HostTable {
  #exact: Map<string, Candidate[]> | null = null;
  #patterns: PatternIndex | null = null;
  readonly #root = new PrefixNode(null);

  /** Candidates in the order of the file. */
  constructor(candidates: readonly Candidate[]) {
    for (const candidate of candidates) if (candidate.pattern === null) this.#add(candidate);
    if (this.#exact !== null) for (const same of this.#exact.values()) same.sort(byConditions);
    const patterns = candidates.filter((candidate) => candidate.pattern !== null);
    if (patterns.length > 0) this.#patterns = new PatternIndex(patterns.sort(byPattern));
    const nodes = [this.#root];
    for (let node = nodes.pop(); node !== undefined; node = nodes.pop()) {
      node.candidates?.sort(byConditions);
      if (node.children !== null) for (const child of node.children.values()) nodes.push(child);
    }
  }

  #add(candidate: Candidate): void {
    const { kind, value } = candidate.target.match.path;
    const path = normalRulePath(value);
    if (kind === 'exact') {
      this.#exact ??= new Map();
      const same = this.#exact.get(path);
      if (same === undefined) this.#exact.set(path, [candidate]);
      else same.push(candidate);
      return;
    }
    let node = this.#root;
    for (const segment of path.split('/')) {
      if (segment === '') continue;
      node.children ??= new Map();
      let child = node.children.get(segment);
      if (child === undefined) {
        child = new PrefixNode(node);
        node.children.set(segment, child);
      }
      node = child;
    }
    node.candidates ??= [];
    node.candidates.push(candidate);
  }

  /** `path` in normal form. The first candidate, by precedence, whose path and conditions hold. */
  find(path: string, view: RequestView): RuleTarget | null {
    if (this.#exact !== null) {
      const same = this.#exact.get(path);
      if (same !== undefined) {
        const target = first(same, view);
        if (target !== null) return target;
      }
    }
    if (this.#patterns !== null) {
      const target = this.#patterns.find(path, view);
      if (target !== null) return target;
    }
    let node: PrefixNode | null = this.#deepest(path);
    for (; node !== null; node = node.parent) {
      if (node.candidates === null) continue;
      const target = first(node.candidates, view);
      if (target !== null) return target;
    }
    return null;
  }

  /** Walks down the segments of the path as far as prefixes go. */
  #deepest(path: string): PrefixNode {
    let node = this.#root;
    let start = 1;
    while (node.children !== null && start < path.length) {
      let end = path.indexOf('/', start);
      if (end < 0) end = path.length;
      const child = node.children.get(path.slice(start, end));
      if (child === undefined) break;
      node = child;
      start = end + 1;
    }
    return node;
  }
}

/** The longer expression first. */
function byPattern(a: Candidate, b: Candidate): number {
  return b.target.match.path.value.length - a.target.match.path.value.length || byConditions(a, b);
}

function first(candidates: readonly Candidate[], view: RequestView): RuleTarget | null {
  for (let i = 0; i < candidates.length; i++) if (candidates[i]!.conditions.hold(view)) return candidates[i]!.target;
  return null;
}
