/** `dormouse backend update NAME`: changes what flags and the file say, or with --replace everything. */
import { printable } from '../../telemetry/pretty-line.ts';
import { adminClient, namespaceOf, usage } from '../admin-connection.ts';
import type { CommandContext, CommandOptions } from '../command.ts';
import { specOfFile, withFlags } from './spec-input.ts';

export async function run(context: CommandContext, args: readonly string[], options: CommandOptions): Promise<number> {
  const name = args[0]!;
  const { name: _name, ...spec } = withFlags(await specOfFile(context, options), options);
  if (Object.keys(spec).length === 0)
    throw usage('there is nothing to change; write --set scale.max=3, or -f with a file');
  const client = await adminClient(context, options);
  const namespace = namespaceOf(options);
  const view =
    options.replace === true ? await client.replace(name, namespace, spec) : await client.patch(name, namespace, spec);
  context.out(options.json === true ? `${JSON.stringify(view, null, 2)}\n` : `${printable(view.name)} is changed\n`);
  return 0;
}
