/** One benchmark. What it needs from outside comes in its context, so that a sample and a full run are the same code. */
import type { Table } from './report.ts';

export interface BenchContext {
  /** A folder of this case's own, removed afterwards. */
  dir: string;
  /** Cores of the proxy and of load and backend. On a machine with one core both are null. */
  proxyCore: number | null;
  loadCore: number | null;
  /** A number given on the command line for this name, or the default. */
  number(name: string, fallback: number): number;
  /** A line about how far it is. */
  progress(text: string): void;
}

export interface BenchCase {
  name: string;
  summary: string;
  /** Programs from the distribution's packages. */
  programs: readonly string[];
  /** Part of `npm run bench` without names. */
  byDefault: boolean;
  run(context: BenchContext): Promise<{ tables: Table[]; failures: string[] }>;
}
