/** A label selector as /scale tells it, `app=x,tier in (a,b),!old`, or as the object of a workload's spec; and the pair by which pods are found quickly. */
import { compileLabelSelector, compileSelector, type Labels, type LabelSelector } from '../../kubernetes/selectors.ts';

export interface PodSelector {
  /** The same for selectors that read the same. */
  text: string;
  /** One `key=value` that every pod of it carries; null: it has none. */
  pair: string | null;
  matches(labels: Labels | undefined): boolean;
}

const PAIR = /(?:^|,)\s*([\w./-]+)\s*==?\s*([\w.-]*)\s*(?=,|$)/;

/** null for one without any requirement, which would match pods of everybody. Throws DORMOUSE_SELECTOR. */
export function parseSelector(text: string): PodSelector | null {
  if (text.trim() === '') return null;
  const pair = PAIR.exec(text);
  return { text, pair: pair === null ? null : `${pair[1]}=${pair[2]}`, matches: compileSelector(text) };
}

/** As parseSelector. */
export function selectorOf(selector: LabelSelector): PodSelector | null {
  const [pair] = Object.entries(selector.matchLabels ?? {});
  if (pair === undefined && (selector.matchExpressions ?? []).length === 0) return null;
  return {
    text: JSON.stringify(selector),
    pair: pair === undefined ? null : pair.join('='),
    matches: compileLabelSelector(selector),
  };
}
