/** `dormouse sleep NAME`: drains it, puts it to sleep, and comes back when it sleeps. */
import { printable } from '../telemetry/pretty-line.ts';
import type { CommandContext, CommandOptions } from './command.ts';
import { durationText } from './duration-text.ts';
import { runningDormouse } from './running-dormouse.ts';

export async function run(context: CommandContext, args: readonly string[], options: CommandOptions): Promise<number> {
  const name = args[0]!;
  const client = await runningDormouse(context, options);
  const began = performance.now();
  await client.sleep(name);
  const tookMs = Math.round(performance.now() - began);
  context.out(
    options.json === true
      ? `${JSON.stringify({ name, asleep: true, tookMs })}\n`
      : `${printable(name)} is asleep (took ${durationText(tookMs)})\n`,
  );
  return 0;
}
