/**
 * Keys and values of dormouse.yaml that are named and planned, and refused until their feature is there. To make one available, give it to the schema
 * and take it out of here. A value equal to the documented default says nothing, so it is accepted and dropped.
 */
import type { Path, Problem } from './config-error.ts';
import { isMapping } from './plain-data.ts';
import { readDuration } from './schema/scalars.ts';

interface PlannedKey {
  /** `*` is any name, `[]` every item of a list. */
  at: string;
  /** The documented default, accepted silently. */
  standard: unknown;
}

export const PLANNED_KEYS: readonly PlannedKey[] = [];

interface PlannedNode {
  children: Map<string, PlannedNode>;
  planned?: PlannedKey;
}

/**
 * Takes the planned keys out of `data` (in place) and tells which of them ask for something. The cost is one look-up per planned key and
 * entry, not per value.
 */
export function takeOutPlannedKeys(data: unknown): Problem[] {
  const problems: Problem[] = [];
  const path: (string | number)[] = [];

  const visit = (value: unknown, node: PlannedNode): void => {
    const items = node.children.get('[]');
    if (items !== undefined && Array.isArray(value)) {
      for (let index = 0; index < value.length; index++) {
        path.push(index);
        visit(value[index], items);
        path.pop();
      }
      return;
    }
    if (!isMapping(value)) return;
    const any = node.children.get('*');
    if (any !== undefined) {
      for (const name in value) {
        path.push(name);
        visit(value[name], any);
        path.pop();
      }
      return;
    }
    for (const [name, child] of node.children) {
      const entry = value[name];
      if (entry === undefined) continue;
      path.push(name);
      if (child.planned === undefined) visit(entry, child);
      else {
        delete value[name];
        if (!saysNothing(entry, child.planned.standard)) problems.push(notYet(path));
      }
      path.pop();
    }
  };

  visit(data, plannedTree());
  return problems;
}

function notYet(path: Path): Problem {
  return {
    path: [...path],
    message: 'not yet available',
    hint: 'remove it: it is planned for a later version',
    atKey: true,
  };
}

/** The names of planned keys directly under a path, for "did you mean". */
export function plannedKeysUnder(path: Path): string[] {
  let node: PlannedNode | undefined = plannedTree();
  for (const part of path) {
    node = node.children.get(typeof part === 'number' ? '[]' : part) ?? node.children.get('*');
    if (node === undefined) return [];
  }
  return [...node.children.keys()].filter((name) => name !== '*' && name !== '[]');
}

function plannedTree(): PlannedNode {
  const root: PlannedNode = { children: new Map() };
  for (const planned of PLANNED_KEYS) {
    let node = root;
    for (const part of planned.at.split('.')) {
      let child = node.children.get(part);
      if (child === undefined) node.children.set(part, (child = { children: new Map() }));
      node = child;
    }
    node.planned = planned;
  }
  return root;
}

/** True when `value` asks for nothing but `standard`: equal, or a mapping whose keys are each equal, durations compared as such. */
function saysNothing(value: unknown, standard: unknown): boolean {
  if (value === undefined || value === null) return true;
  if (Array.isArray(standard)) {
    return (
      Array.isArray(value) &&
      value.length === standard.length &&
      value.every((item, index) => saysNothing(item, standard[index]))
    );
  }
  if (isMapping(standard)) {
    return (
      isMapping(value) &&
      Object.keys(value).every((name) => Object.hasOwn(standard, name) && saysNothing(value[name], standard[name]))
    );
  }
  if (value === standard) return true;
  if (standard === 'off') return value === false;
  if (typeof standard !== 'string') return false;
  const ms = readDuration(standard);
  return typeof ms === 'number' && ms === readDuration(value);
}
