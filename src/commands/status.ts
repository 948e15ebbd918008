/** `dormouse status [NAME]`: once, or with --watch as it changes. */
import type { ControlClient } from '../apis/control/control-client.ts';
import { DormouseError } from '../model/errors.ts';
import { nearestName } from '../model/nearest-name.ts';
import type { Status } from '../model/status.ts';
import type { CommandContext, CommandOptions } from './command.ts';
import { followStatus } from './follow-status.ts';
import { LiveScreen } from './live-screen.ts';
import { runningDormouse } from './running-dormouse.ts';
import { backendLines, statusLines } from './status-view.ts';
import { eventLine } from './event-line.ts';
import { painter } from './text-table.ts';

export async function run(
  context: CommandContext,
  [name]: readonly string[],
  options: CommandOptions,
): Promise<number> {
  const client = await runningDormouse(context, options);
  if (options.watch !== true) {
    const status = await client.status();
    context.out(
      options.json === true
        ? `${JSON.stringify(jsonOf(status, name), null, 2)}\n`
        : `${text(context, status, name).join('\n')}\n`,
    );
    return 0;
  }
  if (options.json === true) return watchJson(context, client, name);
  return context.terminal.isTTY ? watchScreen(context, client, name) : watchLines(context, client, name);
}

function text(context: CommandContext, status: Status, name: string | undefined): string[] {
  const view = { nowMs: Date.now(), colours: context.terminal.colours, width: context.terminal.size().columns };
  return name === undefined ? statusLines(status, view) : backendLines(oneOf(status, name), view);
}

function jsonOf(status: Status, name: string | undefined): unknown {
  return name === undefined ? status : oneOf(status, name);
}

function oneOf(status: Status, name: string): Status['backends'][number] {
  const found = status.backends.find((backend) => backend.name === name);
  if (found !== undefined) return found;
  const nearest = nearestName(
    name,
    status.backends.map((backend) => backend.name),
  );
  const hint = nearest === null ? 'dormouse status lists them' : `did you mean "${nearest}"?`;
  throw new DormouseError('DORMOUSE_BACKEND_UNKNOWN', `there is no backend "${name}"; ${hint}`, { userFault: true });
}

async function watchScreen(context: CommandContext, client: ControlClient, name: string | undefined): Promise<number> {
  using screen = new LiveScreen(context);
  for await (const seen of followStatus(client, screen.ended)) {
    screen.draw('status' in seen ? text(context, seen.status, name) : [seen.problem]);
  }
  return 0;
}

/** Into a file or a pipe: the state once, then a line per event. */
async function watchLines(context: CommandContext, client: ControlClient, name: string | undefined): Promise<number> {
  const signal = context.interrupted();
  const paint = painter(false);
  const events = client.events({ signal });
  context.out(`${text(context, await client.status({ signal }), name).join('\n')}\n`);
  for await (const event of events)
    if (name === undefined || event.backend === name) context.out(`${eventLine(event, paint)}\n`);
  return 0;
}

/** A status per line, whenever something changed and at least once a second. */
async function watchJson(context: CommandContext, client: ControlClient, name: string | undefined): Promise<number> {
  for await (const seen of followStatus(client, context.interrupted())) {
    context.out(`${JSON.stringify('status' in seen ? jsonOf(seen.status, name) : { problem: seen.problem })}\n`);
  }
  return 0;
}
