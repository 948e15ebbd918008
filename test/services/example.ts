/** The example of `npm start`, run as a user would run it, on free ports and with a state folder of its own. */
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { freePort, startProgram, untilListening } from '../../bench/processes.ts';

const root = join(import.meta.dirname, '../..');

export interface Example {
  url: string;
  observeUrl: string;
  stateDir: string;
  [Symbol.asyncDispose](): Promise<void>;
}

export async function startExample(): Promise<Example> {
  const stateDir = mkdtempSync(join(tmpdir(), 'dormouse-example-'));
  const [port, observePort] = [await freePort(), await freePort()];
  const program = startProgram(
    ['sh', join(root, 'dormouse'), 'up', '-c', join(root, 'examples/services/dormouse.yaml')],
    {
      core: null,
      env: { DORMOUSE_PORT: String(port), DORMOUSE_OBSERVE_PORT: String(observePort), DORMOUSE_STATE: stateDir },
    },
  );
  const dispose = async (): Promise<void> => {
    await program.stop();
    rmSync(stateDir, { recursive: true, force: true });
  };
  try {
    await untilListening(program, port, 30_000);
  } catch (error) {
    await dispose();
    throw error;
  }
  return {
    url: `http://127.0.0.1:${port}`,
    observeUrl: `http://127.0.0.1:${observePort}`,
    stateDir,
    [Symbol.asyncDispose]: dispose,
  };
}
