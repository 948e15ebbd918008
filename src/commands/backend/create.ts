/** `dormouse backend create [NAME]`: of a file, of flags, or of both. */
import { printable } from '../../telemetry/pretty-line.ts';
import { adminClient, text, usage } from '../admin-connection.ts';
import type { CommandContext, CommandOptions } from '../command.ts';
import { hostsOf } from './backend-view.ts';
import { specOfFile, withFlags } from './spec-input.ts';

export async function run(context: CommandContext, args: readonly string[], options: CommandOptions): Promise<number> {
  const spec = withFlags(await specOfFile(context, options), options);
  const name = args[0] ?? spec['name'];
  if (name === undefined) throw usage('there is no name; write dormouse backend create NAME, or name: in the file');
  const namespace = text(options.namespace);
  const body = { ...spec, name, ...(namespace === undefined ? {} : { namespace }) };
  const view = await (await adminClient(context, options)).create(body);
  if (options.json === true) context.out(`${JSON.stringify(view, null, 2)}\n`);
  else {
    const hosts = hostsOf(view.spec);
    const where = hosts === '' ? '' : `; requests for ${hosts} lead to it`;
    context.out(`${printable(`${view.name} is there, ${view.status.state}${where}`)}\n`);
  }
  return 0;
}
