import type { RequestView } from '../request-view.ts';
import type { Candidate } from './candidate.ts';
import type { RuleTarget } from './rule-target.ts';

/** Candidates whose path is an expression, in order of precedence; `ranks[i]` is the place of `candidates[i]` among all of them. */
class Ranked {
  readonly candidates: Candidate[] = [];
  readonly ranks: number[] = [];

  add(candidate: Candidate, rank: number): void {
    this.candidates.push(candidate);
    this.ranks.push(rank);
  }
}

const NONE = new Ranked();

/**
 * The expressions of one host. An expression that begins with a literal segment (`/users/[0-9]+`) is only looked at for paths that begin
 * with it, so that thousands of such routes cost no more than a few; those that don't are tried for every path.
 */
export class PatternIndex {
  readonly #bySegment = new Map<string, Ranked>();
  readonly #loose = new Ranked();

  /** `candidates`: in order of precedence. */
  constructor(candidates: readonly Candidate[]) {
    candidates.forEach((candidate, rank) => {
      const segment = /^\/([^/]+)\//.exec(candidate.pattern!.literalPrefix)?.[1];
      if (segment === undefined) {
        this.#loose.add(candidate, rank);
        return;
      }
      let ranked = this.#bySegment.get(segment);
      if (ranked === undefined) {
        ranked = new Ranked();
        this.#bySegment.set(segment, ranked);
      }
      ranked.add(candidate, rank);
    });
  }

  /** The first candidate, by precedence, whose expression and conditions hold. Both lists are walked at once, in the order of their ranks. */
  find(path: string, view: RequestView): RuleTarget | null {
    const slash = path.indexOf('/', 1);
    const own = (slash < 0 ? undefined : this.#bySegment.get(path.slice(1, slash))) ?? NONE;
    const loose = this.#loose;
    let i = 0;
    let k = 0;
    while (i < own.ranks.length || k < loose.ranks.length) {
      const takesOwn = k === loose.ranks.length || (i < own.ranks.length && own.ranks[i]! < loose.ranks[k]!);
      const candidate = takesOwn ? own.candidates[i++]! : loose.candidates[k++]!;
      const pattern = candidate.pattern!;
      if (path.startsWith(pattern.literalPrefix) && pattern.matches(path) && candidate.conditions.hold(view))
        return candidate.target;
    }
    return null;
  }
}
