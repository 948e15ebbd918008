import { join } from 'node:path';
import { startProgram, untilListening } from '../processes.ts';
import type { Peer } from './peer.ts';

/** The floor for anything on node:net: passes bytes between two kept-alive sockets and looks at none of them. No log, no metrics. */
export const pipePeer: Peer = {
  name: 'byte pipe on node:net',
  async start({ port, backendPort, core }) {
    const program = startProgram(
      [process.execPath, join(import.meta.dirname, 'pipe-server.ts'), String(port), String(backendPort)],
      { core },
    );
    await untilListening(program, port);
    return program;
  },
};
