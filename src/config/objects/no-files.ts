import { problem } from '../explain.ts';
import type { Path, Problem } from '../config-error.ts';
import { NamedFiles } from '../named-files.ts';

/** Who may write an object has no say in what is read on the gateways' own file system. */
export class NoFiles extends NamedFiles {
  readonly #refused: Problem[];

  constructor(problems: Problem[]) {
    const none = (path: string): never => {
      throw new Error(`no file is read for an object: ${path}`);
    };
    super('/', { stat: none, read: none }, problems);
    this.#refused = problems;
  }

  override bytes(_written: string, at: Path): null {
    this.#refused.push(problem(at, 'names a file, which an object of a cluster can not', 'remove it'));
    return null;
  }
}
