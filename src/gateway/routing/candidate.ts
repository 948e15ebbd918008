import { Conditions } from './conditions.ts';
import { Pattern } from './pattern.ts';
import type { RuleTarget } from './rule-target.ts';

/** One match of one rule, compiled once and shared by the tables of all its hosts and listeners. */
export class Candidate {
  readonly target: RuleTarget;
  readonly conditions: Conditions;
  /** null unless the path is a regular expression. */
  readonly pattern: Pattern | null;

  /** Throws DORMOUSE_ROUTE_PATTERN. */
  constructor(target: RuleTarget) {
    const place = `routes.${target.route}.rules[${target.ruleIndex}].matches`;
    this.target = target;
    this.conditions = new Conditions(target.match, place);
    this.pattern = target.match.path.kind === 'regex' ? new Pattern(target.match.path.value, `${place}.path`) : null;
  }
}

/** More conditions come first; what is equal keeps the order of the file, since sorting is stable. */
export function byConditions(a: Candidate, b: Candidate): number {
  const x = a.target.match;
  const y = b.target.match;
  return (
    Number(y.methods.length > 0) - Number(x.methods.length > 0) ||
    y.headers.length - x.headers.length ||
    y.query.length - x.query.length
  );
}
