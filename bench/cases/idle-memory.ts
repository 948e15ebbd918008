/** Memory of a Dormouse that has nothing to do: three sleeping backends, one worker. */
import { setTimeout as delay } from 'node:timers/promises';
import type { BenchCase } from '../case.ts';
import { commandLine, processTree, pssBytes, rssBytes } from '../measure/process-tree.ts';
import { withDormouse } from './running-dormouse.ts';

const SETTLE_MS = 3000;

export const idleMemory: BenchCase = {
  name: 'idle-memory',
  summary: 'RSS of supervisor and one worker, idle',
  programs: ['taskset'],
  byDefault: true,
  async run(context) {
    const names = ['one', 'two', 'three'];
    const configuration = {
      backends: Object.fromEntries(names.map((name) => [name, { process: { command: ['sleep', '1d'] } }])),
      routes: names.map((name) => ({ hosts: [`${name}.example`], backend: name })),
    };
    // The first start after a change compiles; what is measured is every other one.
    await withDormouse(context, configuration, () => delay(SETTLE_MS), { name: 'warm-up' });
    return await withDormouse(context, configuration, async (dormouse) => {
      await delay(SETTLE_MS);
      const pids = processTree(dormouse.program.pid);
      const megabytes = (bytes: number): string => (bytes / 1e6).toFixed(1);
      const row = (name: string, of: readonly number[]): string[] => [
        name,
        megabytes(rssBytes(of)),
        megabytes(pssBytes(of)),
      ];
      return {
        tables: [
          {
            id: 'idle-memory',
            title: 'Memory, idle',
            note: `MB, ${SETTLE_MS / 1000} s after the start, three sleeping backends. RSS counts pages that processes share once for each; PSS once.`,
            columns: ['process', 'RSS', 'PSS'],
            rows: [
              ...pids.map((pid) => row(pid === dormouse.program.pid ? 'supervisor' : roleOf(commandLine(pid)), [pid])),
              row('together', pids),
            ],
          },
        ],
        failures: [],
      };
    });
  },
};

function roleOf(command: string): string {
  return command.includes('worker') ? 'worker' : command.split(' ').slice(-2).join(' ');
}
