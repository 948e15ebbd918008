/** `dormouse backend list`. */
import { adminClient } from '../admin-connection.ts';
import type { CommandContext, CommandOptions } from '../command.ts';
import { listLines } from './backend-view.ts';

export async function run(context: CommandContext, _args: readonly string[], options: CommandOptions): Promise<number> {
  const { items } = await (await adminClient(context, options)).list();
  if (options.json === true) context.out(`${JSON.stringify(items, null, 2)}\n`);
  else if (options.names === true) context.out(items.map(({ name }) => `${name}\n`).join(''));
  else context.out(`${listLines(context, items).join('\n')}\n`);
  return 0;
}
