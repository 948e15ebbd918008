/** `dormouse wake NAME`: waits until it is awake and says how long that took. */
import { DormouseError } from '../model/errors.ts';
import { printable } from '../telemetry/pretty-line.ts';
import type { CommandContext, CommandOptions } from './command.ts';
import { durationText } from './duration-text.ts';
import { runningDormouse } from './running-dormouse.ts';

export async function run(context: CommandContext, args: readonly string[], options: CommandOptions): Promise<number> {
  const name = args[0]!;
  const client = await runningDormouse(context, options);
  const waits = options.wait !== false;
  const result = await client.wake(name, waits ? {} : { waitMs: 0 });
  if (options.json === true) context.out(`${JSON.stringify(result)}\n`);
  else if (result.awake) context.out(`${printable(name)} is awake (took ${durationText(result.tookMs)})\n`);
  else if (!waits) context.out(`${printable(name)} is waking\n`);
  if (waits && !result.awake) {
    throw new DormouseError(
      'DORMOUSE_STILL_WAKING',
      `${name} is still waking after ${durationText(result.tookMs)}; see: dormouse status ${name}`,
    );
  }
  return 0;
}
