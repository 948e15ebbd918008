import { MAX_ISSUES, dotted } from '../config-error.ts';
import type { Path, Problem } from '../config-error.ts';

/** One thing that is wrong with an object of a cluster. */
export interface ObjectProblem {
  /** Where it stands: `spec.idle.prometheus.threshold`. */
  path: string;
  message: string;
  /** What to do about it; may be empty. */
  hint: string;
}

/** Like a line of the file's errors, with the path in the place of line and column. */
export function renderObjectProblem({ path, message, hint }: ObjectProblem): string {
  return `${path}: ${message}${hint === '' ? '' : `; ${hint}`}`;
}

/** At most 20, each once. `base`: where the schema has what is the object's spec. */
export function objectProblems(problems: readonly Problem[], base: Path): ObjectProblem[] {
  const found = new Map<string, ObjectProblem>();
  for (const { path, message, hint = '' } of problems) {
    if (found.size >= MAX_ISSUES) break;
    const one = { path: dotted(['spec', ...path.slice(base.length)]), message, hint };
    found.set(renderObjectProblem(one), one);
  }
  return [...found.values()];
}
