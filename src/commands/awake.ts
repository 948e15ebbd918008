/** `dormouse awake NAME --for 1h`: wakes it and keeps it awake until then; `--off` takes that back. */
import { readDurationText } from '../model/duration.ts';
import { printable } from '../telemetry/pretty-line.ts';
import { adminClient, namespaceOf, text, usage } from './admin-connection.ts';
import type { CommandContext, CommandOptions } from './command.ts';

const USUAL_FOR = '1h';

export async function run(context: CommandContext, args: readonly string[], options: CommandOptions): Promise<number> {
  const name = args[0]!;
  const until = untilOf(options);
  const client = await adminClient(context, options);
  const { awakeUntil } = await client.keepAwake(name, namespaceOf(options), until);
  if (options.json === true) context.out(`${JSON.stringify({ name, awakeUntil })}\n`);
  else if (awakeUntil === null) context.out(`${printable(name)} may sleep again\n`);
  else context.out(`${printable(name)} is kept awake until ${awakeUntil}\n`);
  return 0;
}

function untilOf(options: CommandOptions): string | null {
  const given = ['for', 'until', 'off'].filter((flag) => options[flag] !== undefined);
  if (given.length > 1) throw usage(`--${given.join(' and --')}: give one of them`);
  if (options.off === true) return null;
  const until = text(options.until);
  if (until !== undefined) return until;
  const span = text(options.for) ?? USUAL_FOR;
  const ms = readDurationText(span);
  if (ms === null || ms === 0) throw usage(`--for ${JSON.stringify(span)}: write a number with its unit: 30m, 8h, 2d`);
  return new Date(Date.now() + ms).toISOString();
}
