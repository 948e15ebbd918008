/** `dormouse demo queue down` on this machine: ends the demo wherever it runs, or what a killed one has left; nothing else. */
import { setTimeout as sleep } from 'node:timers/promises';
import { DormouseError } from '../../model/errors.ts';
import type { CommandContext, CommandOptions } from '../command.ts';
import { demoFolder, isAlive, readDemoState, removeDemoFolder } from './demo-state.ts';
import { clearLeftovers } from './leftovers.ts';

/** The grace period of a worker and the drain bound, and a margin. */
const WITHIN_MS = 90_000;
const LOOK_EVERY_MS = 50;

export async function run(context: CommandContext, _args: readonly string[], options: CommandOptions): Promise<number> {
  const folder = demoFolder(context, options);
  const state = readDemoState(folder);
  const told = (removed: boolean, text: string): number => {
    context.out(options.json === true ? `${JSON.stringify({ removed })}\n` : `${text}\n`);
    return 0;
  };
  if (state === null) return told(false, 'no queue demo runs on this machine');
  if (isAlive(state.pid)) {
    process.kill(state.pid, 'SIGTERM');
    const giveUpAtMs = performance.now() + WITHIN_MS;
    while (isAlive(state.pid)) {
      if (performance.now() > giveUpAtMs) {
        const text = `process ${state.pid} has not ended within ${WITHIN_MS / 1000} s; kill it, and run this again`;
        throw new DormouseError('DORMOUSE_DEMO_STAYS', text, { userFault: true });
      }
      await sleep(LOOK_EVERY_MS);
    }
    return told(true, 'the queue demo has ended: its workers, its queue and their files are gone');
  }
  const ended = await clearLeftovers(folder);
  removeDemoFolder(folder);
  return told(true, `a queue demo that was killed had left ${ended} processes and its files; they are gone`);
}
