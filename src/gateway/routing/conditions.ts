/** The conditions of a match beside its host and path: method, headers, query. Compiled once per match. */
import type { MatchConfig, ValueMatch } from '../../model/config.ts';
import { joinedValue, type RequestView } from '../request-view.ts';
import { Pattern } from './pattern.ts';
import { queryValue } from './query.ts';

interface ValueCondition {
  name: string;
  exact: string;
  /** null: compare with `exact`. */
  pattern: Pattern | null;
}

export class Conditions {
  readonly #methods: string[] | null;
  readonly #headers: ValueCondition[] | null;
  readonly #query: ValueCondition[] | null;

  constructor(match: MatchConfig, place: string) {
    this.#methods = match.methods.length === 0 ? null : match.methods;
    this.#headers = compile(match.headers, `${place}.headers`, latin1);
    this.#query = compile(match.query, `${place}.query`, (value) => value);
  }

  /** True when every condition holds. Costs nothing when there is none. */
  hold(view: RequestView): boolean {
    if (this.#methods !== null && !this.#methods.includes(view.method)) return false;
    if (this.#headers !== null) {
      for (const condition of this.#headers) {
        const value = joinedValue(view, condition.name);
        if (value === undefined) return false;
        if (condition.pattern === null ? value !== condition.exact : !condition.pattern.matchesLatin1(value))
          return false;
      }
    }
    if (this.#query !== null) {
      for (const condition of this.#query) {
        const value = queryValue(view.query, condition.name);
        if (value === null) return false;
        if (condition.pattern === null ? value !== condition.exact : !condition.pattern.matches(value)) return false;
      }
    }
    return true;
  }
}

function compile(matches: ValueMatch[], place: string, encode: (value: string) => string): ValueCondition[] | null {
  if (matches.length === 0) return null;
  return matches.map(({ name, kind, value }) => ({
    name,
    exact: encode(value),
    pattern: kind === 'regex' ? new Pattern(value, `${place}.${name}`) : null,
  }));
}

/** Header values are read as latin1: what the file says in UTF-8 is compared byte by byte. */
function latin1(value: string): string {
  return Buffer.from(value, 'utf8').toString('latin1');
}
