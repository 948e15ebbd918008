/** How rewrite changes a query. What it doesn't name stays byte for byte, in its order. */
import { queryFields } from '../routing/query.ts';

export interface QueryChangeOptions {
  /** Replaced where it first stands, else appended; further ones of the name go. */
  set: Record<string, string>;
  /** Appended. */
  add: Record<string, string[]>;
  remove: string[];
}

/** From a raw query (without the question mark) to the new one. */
export type QueryChange = (query: string) => string;

/** null when there is nothing to do. */
export function compileQueryChange(options: QueryChangeOptions): QueryChange | null {
  const removed = new Set(options.remove);
  const set = new Map(Object.entries(options.set).map(([name, value]) => [name, field(name, value)]));
  const added = Object.entries(options.add).flatMap(([name, values]) => values.map((value) => field(name, value)));
  if (removed.size === 0 && set.size === 0) {
    if (added.length === 0) return null;
    const tail = added.join('&');
    return (query) => (query === '' ? tail : `${query}&${tail}`);
  }
  return (query) => {
    const out: string[] = [];
    const left = new Map(set);
    for (const { text, name } of queryFields(query)) {
      if (removed.has(name)) continue;
      if (!set.has(name)) out.push(text);
      else {
        const replacement = left.get(name);
        if (replacement !== undefined) out.push(replacement);
        left.delete(name);
      }
    }
    return out.concat([...left.values()], added).join('&');
  };
}

function field(name: string, value: string): string {
  return `${encodeURIComponent(name)}=${encodeURIComponent(value)}`;
}
