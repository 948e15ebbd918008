/** `dormouse backend show NAME`. */
import { adminClient, namespaceOf } from '../admin-connection.ts';
import type { CommandContext, CommandOptions } from '../command.ts';
import { oneLines } from './backend-view.ts';

export async function run(context: CommandContext, args: readonly string[], options: CommandOptions): Promise<number> {
  const client = await adminClient(context, options);
  const view = await client.get(args[0]!, namespaceOf(options));
  context.out(options.json === true ? `${JSON.stringify(view, null, 2)}\n` : `${oneLines(view).join('\n')}\n`);
  return 0;
}
