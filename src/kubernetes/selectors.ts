/** Label selectors, with the meaning of the API server's: https://kubernetes.io/docs/concepts/overview/working-with-objects/labels/#label-selectors */
import { DormouseError } from '../model/errors.ts';

export type Labels = Readonly<Record<string, string>>;

/** meta/v1 LabelSelector. */
export interface LabelSelector {
  matchLabels?: Labels;
  matchExpressions?: readonly { key: string; operator: string; values?: readonly string[] }[];
}

/** All of them must hold. */
interface Requirement {
  key: string;
  /** in: the label is there with one of the values; notin: it is not; exists and missing look at the key alone. */
  operator: 'in' | 'notin' | 'exists' | 'missing';
  values: ReadonlySet<string>;
}

export type Matcher = (labels: Labels | undefined) => boolean;

const NOTHING: Labels = {};
const NO_VALUES: ReadonlySet<string> = new Set();
const NAME = '[A-Za-z0-9](?:[A-Za-z0-9_.-]{0,61}[A-Za-z0-9])?';
const PREFIX = '[a-z0-9](?:[a-z0-9.-]{0,251}[a-z0-9])?';
const KEY = `(?:${PREFIX}/)?${NAME}`;
const VALUE = `(?:${NAME})?`;
const SET = new RegExp(`^(${KEY})\\s+(in|notin)\\s*\\(([^()]*)\\)$`);
const EQUAL = new RegExp(`^(${KEY})\\s*(==|=|!=)\\s*(${VALUE})$`);
const EXISTS = new RegExp(`^(!?)\\s*(${KEY})$`);
const WHOLE_VALUE = new RegExp(`^${VALUE}$`);

/** `a=b,c in (d,e),!f`. '' holds for everything. Throws DORMOUSE_SELECTOR. */
export function compileSelector(text: string): Matcher {
  const requirements: Requirement[] = [];
  if (text.trim() === '') return matcher(requirements);
  for (const part of split(text)) requirements.push(requirement(part.trim(), text));
  return matcher(requirements);
}

/** The selector of a Deployment, a NetworkPolicy … One without anything holds for everything. Throws DORMOUSE_SELECTOR for an operator that doesn't exist. */
export function compileLabelSelector(selector: LabelSelector): Matcher {
  const requirements: Requirement[] = [];
  for (const [key, value] of Object.entries(selector.matchLabels ?? NOTHING)) {
    requirements.push({ key, operator: 'in', values: new Set([value]) });
  }
  for (const { key, operator, values = [] } of selector.matchExpressions ?? []) {
    const known = { In: 'in', NotIn: 'notin', Exists: 'exists', DoesNotExist: 'missing' } as const;
    if (!Object.hasOwn(known, operator)) {
      throw failure(`"${operator}" is no operator of a label selector; there are ${Object.keys(known).join(', ')}`);
    }
    requirements.push({ key, operator: known[operator as keyof typeof known], values: new Set(values) });
  }
  return matcher(requirements);
}

/** A selector that is a map, as a Service's: each label must be there. (A Service with an empty one selects nothing: that is for the caller to see.) */
export function matchesLabels(selector: Labels, labels: Labels | undefined): boolean {
  for (const key of Object.keys(selector)) {
    if (labels === undefined || !Object.hasOwn(labels, key) || labels[key] !== selector[key]) return false;
  }
  return true;
}

/** A map as a query's `labelSelector`. */
export function selectorText(selector: Labels): string {
  return Object.entries(selector)
    .map(([key, value]) => `${key}=${value}`)
    .join(',');
}

function matcher(requirements: readonly Requirement[]): Matcher {
  return (labels = NOTHING) => requirements.every((one) => holds(one, labels));
}

function holds({ key, operator, values }: Requirement, labels: Labels): boolean {
  const there = Object.hasOwn(labels, key);
  switch (operator) {
    case 'in':
      return there && values.has(labels[key]!);
    case 'notin':
      return !there || !values.has(labels[key]!);
    case 'exists':
      return there;
    case 'missing':
      return !there;
  }
}

/** At commas that are not within brackets. */
function split(text: string): string[] {
  const parts: string[] = [];
  let start = 0;
  let inBrackets = false;
  for (let at = 0; at < text.length; at += 1) {
    const character = text[at];
    if (character === '(') inBrackets = true;
    else if (character === ')') inBrackets = false;
    else if (character === ',' && !inBrackets) {
      parts.push(text.slice(start, at));
      start = at + 1;
    }
  }
  parts.push(text.slice(start));
  return parts;
}

function requirement(part: string, whole: string): Requirement {
  const set = SET.exec(part);
  if (set !== null) {
    const values = set[3]!.split(',').map((value) => value.trim());
    for (const value of values) {
      if (!WHOLE_VALUE.test(value)) throw failure(`"${value}" in label selector "${whole}" can't be a label's value`);
    }
    return { key: set[1]!, operator: set[2] as 'in' | 'notin', values: new Set(values) };
  }
  const equal = EQUAL.exec(part);
  if (equal !== null) {
    return { key: equal[1]!, operator: equal[2] === '!=' ? 'notin' : 'in', values: new Set([equal[3]!]) };
  }
  const exists = EXISTS.exec(part);
  if (exists !== null) {
    return { key: exists[2]!, operator: exists[1] === '!' ? 'missing' : 'exists', values: NO_VALUES };
  }
  throw failure(
    `"${part}" in label selector "${whole}" is not understood; write key=value, key!=value, key in (a,b), key notin (a,b), key or !key`,
  );
}

function failure(message: string): DormouseError {
  return new DormouseError('DORMOUSE_SELECTOR', message, { userFault: true });
}
