/** `dormouse reload`: a bad file changes nothing, and is told here. */
import { DormouseError } from '../model/errors.ts';
import type { CommandContext, CommandOptions } from './command.ts';
import { runningDormouse } from './running-dormouse.ts';

export async function run(context: CommandContext, _args: readonly string[], options: CommandOptions): Promise<number> {
  const client = await runningDormouse(context, options);
  try {
    const result = await client.reload();
    context.out(
      options.json === true
        ? `${JSON.stringify(result)}\n`
        : `version ${result.version} of the configuration is in force\n`,
    );
    return 0;
  } catch (error) {
    const invalid = error instanceof DormouseError && error.code === 'DORMOUSE_CONFIG_INVALID';
    if (!invalid || options.json === true) throw error;
    // A line per issue, in the form that check and up use.
    context.err(`${error.message}\nNothing was changed: the former configuration stays in force.\n`);
    return 1;
  }
}
