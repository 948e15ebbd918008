/** Which queue a command means: the one that it names, or that of the demo which runs on this machine. */
import { DormouseError } from '../../model/errors.ts';
import type { CommandContext, CommandOptions } from '../command.ts';
import { shownCommand } from '../shown-command.ts';
import { demoFolder, runningDemo } from './demo-state.ts';

const STANDARD_QUEUE = 'queue-demo';

/** Throws DORMOUSE_DEMO_NOT_RUNNING, DORMOUSE_QUEUE. */
export function queueOf(context: CommandContext, options: CommandOptions): { connection: string; queue: string } {
  const named = typeof options.queue === 'string' ? options.queue : null;
  if (typeof options.connection === 'string') return { connection: options.connection, queue: named ?? STANDARD_QUEUE };
  const demo = runningDemo(demoFolder(context, options), shownCommand(context.cwd));
  if (demo.source === 'cron') {
    const text = 'the demo that runs is a schedule, which has no queue; --source list or --source stream has one';
    throw new DormouseError('DORMOUSE_QUEUE', text, { userFault: true });
  }
  return { connection: demo.connection, queue: named ?? demo.queue };
}
