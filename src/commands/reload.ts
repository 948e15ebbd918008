/** `dormouse reload`: a bad file changes nothing, and is told here. */
import type { CommandContext, CommandOptions } from './command.ts';
import { runningDormouse } from './running-dormouse.ts';

export async function run(context: CommandContext, _args: readonly string[], options: CommandOptions): Promise<number> {
  const client = await runningDormouse(context, options);
  const result = await client.reload();
  context.out(
    options.json === true
      ? `${JSON.stringify(result)}\n`
      : `version ${result.version} of the configuration is in force\n`,
  );
  return 0;
}
