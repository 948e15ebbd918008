/** Reads which module imports which, from the text of the sources: enough for rules about arrows, without a compiler. */
import { readFileSync, globSync } from 'node:fs';
import { dirname, join, relative, sep } from 'node:path';

export interface ImportEdge {
  /** Path of the importing file below the root, with forward slashes. */
  from: string;
  line: number;
  /** As written: `./x.ts`, `zod`, `node:net`. */
  specifier: string;
  /** Where a relative specifier points, below the root; null for packages and node's own modules. */
  target: string | null;
  /** `import type`: gone at run time. */
  typeOnly: boolean;
  /** `import()`: loaded when that line runs. */
  later: boolean;
}

/** `import x from 'y'`, `export * from 'y'`, `import 'y'` at the start of a line, and `import('y')` anywhere. */
const STATEMENT =
  /^[ \t]*(?:import|export)\b(?<clause>[^'"`;=()]*?\bfrom)?[ \t\n]*['"](?<specifier>[^'"\n]+)['"]|\bimport\([ \t\n]*['"](?<dynamic>[^'"\n]+)['"][ \t\n]*\)/gm;

export function importsOf(path: string, source: string): ImportEdge[] {
  const edges: ImportEdge[] = [];
  for (const match of withoutComments(source).matchAll(STATEMENT)) {
    const specifier = match.groups?.['specifier'] ?? match.groups?.['dynamic'];
    if (specifier === undefined) continue;
    edges.push({
      from: path,
      line: source.slice(0, match.index).split('\n').length,
      specifier,
      target: specifier.startsWith('.') ? join(dirname(path), specifier).split(sep).join('/') : null,
      typeOnly: /^\s*type\b/.test(match.groups?.['clause'] ?? ''),
      later: match.groups?.['dynamic'] !== undefined,
    });
  }
  return edges;
}

/** Comments become spaces, so that places stay; a `//` inside a string (an address) is left alone by asking for a space or line start before it. */
function withoutComments(source: string): string {
  return source.replace(/\/\*[\s\S]*?\*\/|(?<=^|\s)\/\/.*$/gm, (comment) => comment.replace(/[^\n]/g, ' '));
}

/** Every TypeScript file below `folder`, as paths below `root`. */
export function sourcesBelow(root: string, folder: string): string[] {
  return globSync(`${folder}/**/*.ts`, { cwd: root })
    .map((path) => path.split(sep).join('/'))
    .toSorted();
}

export function readEdges(root: string, paths: readonly string[]): ImportEdge[] {
  return paths.flatMap((path) => importsOf(path, readFileSync(join(root, path), 'utf8')));
}

/**
 * What is loaded at run time when `entry` is, or may be `later`: each reached module or package with the chain of files that leads there.
 * Node's own modules are in it by their name.
 */
export function reachedFrom(root: string, entry: string, later = true): Map<string, string[]> {
  const chains = new Map<string, string[]>([[entry, [entry]]]);
  const queue = [entry];
  for (let path = queue.shift(); path !== undefined; path = queue.shift()) {
    const chain = chains.get(path) ?? [];
    for (const edge of readEdges(root, [path])) {
      const next = edge.target ?? edge.specifier;
      if (edge.typeOnly || (edge.later && !later) || chains.has(next)) continue;
      chains.set(next, [...chain, next]);
      if (edge.target !== null) queue.push(relative(root, join(root, edge.target)).split(sep).join('/'));
    }
  }
  return chains;
}
