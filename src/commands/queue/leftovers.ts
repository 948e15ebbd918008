/** What a queue demo that was killed has left: its server, and workers. */
import { systemClock, type Logger } from '../../model/ports.ts';
import { endOrphans, stateMarker } from '../../drivers/index.ts';
import { readDemoState } from './demo-state.ts';
import { stateDirOf } from './local-flow.ts';
import { endLeftServer } from './server.ts';

const SILENT: Logger = {
  debug() {},
  info() {},
  warn() {},
  error() {},
  child: () => SILENT,
};

/** Ends it; call it only when the demo's dormouse is dead. Gives the number of processes that were ended. */
export async function clearLeftovers(folder: string): Promise<number> {
  const state = readDemoState(folder);
  if (state === null) return 0;
  const stateDir = stateDirOf(folder);
  const { ended } = await endOrphans({
    stateDir,
    marker: await stateMarker(stateDir),
    logger: SILENT,
    clock: systemClock,
  });
  const server = state.server !== null && (await endLeftServer(state.server.pid, folder));
  return ended + (server ? 1 : 0);
}
