/** `dormouse up`, as the command line calls it. */
import type { CommandContext, CommandOptions } from './command.ts';
import { runUp } from './up.ts';

const DEFAULT_FILE = 'dormouse.yaml';

export async function run(context: CommandContext, _args: readonly string[], options: CommandOptions): Promise<number> {
  const config = typeof options.config === 'string' ? options.config : DEFAULT_FILE;
  return runUp(
    { config, env: context.env },
    {
      stdout: { write: (text) => context.out(text), isTTY: context.terminal.isTTY },
      stderr: { write: (text) => context.err(text) },
      hasTerminal: context.terminal.attached,
    },
  );
}
