/** `dormouse rm NAME…`, `dormouse backend delete NAME…`: with what was made with them. */
import { DormouseError } from '../../model/errors.ts';
import { printable } from '../../telemetry/pretty-line.ts';
import { adminClient, namespaceOf } from '../admin-connection.ts';
import type { CommandContext, CommandOptions } from '../command.ts';

/** 1 when one of them could not be deleted, or something of it is left; the others are deleted all the same. */
export async function run(context: CommandContext, args: readonly string[], options: CommandOptions): Promise<number> {
  const client = await adminClient(context, options);
  let code = 0;
  for (const name of args) {
    try {
      const removal = await client.remove(name, namespaceOf(options));
      if (removal.left.length > 0) code = 1;
      if (options.json === true) context.out(`${JSON.stringify(removal)}\n`);
      else {
        context.out(`${printable(`${name} is gone (${removal.removed.join(', ')})`)}\n`);
        for (const left of removal.left) context.err(`${printable(`dormouse: left: ${left}`)}\n`);
      }
    } catch (error) {
      if (args.length === 1 || !(error instanceof DormouseError)) throw error;
      code = 1;
      context.err(`${printable(`dormouse: ${name}: ${error.message}`)}\n`);
    }
  }
  return code;
}
