/** `dormouse gateway`: one gateway of a cluster. */
import { createLineLogger } from '../telemetry/line-logger.ts';
import { logDestination } from '../telemetry/log-destination.ts';
import type { CommandContext, CommandOptions } from './command.ts';
import { readGatewayFlags } from './gateway-flags.ts';
import { packageVersion } from './package-version.ts';

export async function run(context: CommandContext, _args: readonly string[], options: CommandOptions): Promise<number> {
  const flags = readGatewayFlags(options, context);
  const { level, format, name } = flags;
  const logger = createLineLogger({ level, format, destination: logDestination(2), fields: { gateway: name } });
  // Only now: wrong flags are said at once.
  const { runGateway } = await import('./gateway-process.ts');
  process.title = `dormouse gateway ${name}`;
  return runGateway(flags, {
    logger,
    signals: process,
    hasTerminal: context.terminal.attached,
    version: packageVersion(),
  });
}
