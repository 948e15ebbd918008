import type { CommandContext, CommandOptions } from './command.ts';
import { packageVersion } from './package-version.ts';

export async function run(context: CommandContext, _args: readonly string[], options: CommandOptions): Promise<number> {
  const version = packageVersion();
  const { node } = process.versions;
  context.out(
    options.json === true ? `${JSON.stringify({ version, node })}\n` : `dormouse ${version} (Node ${node})\n`,
  );
  return 0;
}
