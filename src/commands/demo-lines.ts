/** What the demos tell while they run: a line for each wake and sleep, and what goes wrong. */
import { ControlClient } from '../apis/control/control-client.ts';
import type { BackendEvent } from '../model/status.ts';
import { printable } from '../telemetry/pretty-line.ts';
import type { CommandContext } from './command.ts';
import { eventLine } from './event-line.ts';
import type { Paint } from './text-table.ts';

/** A line per event until the program ends. Never rejects. */
export async function tellEvents(
  context: CommandContext,
  stateDir: string,
  signal: AbortSignal,
  paint: Paint,
  onEvent: (event: BackendEvent) => void = () => {},
): Promise<void> {
  try {
    for await (const event of new ControlClient({ stateDir }).events({ signal })) {
      if (event.kind !== 'instance') context.out(`${eventLine(event, paint)}\n`);
      onEvent(event);
    }
  } catch (error) {
    if (!signal.aborted) context.err(`dormouse: the live lines have ended: ${(error as Error).message}\n`);
  }
}

/** Of the program log only what went wrong, apart from what is told as an event anyway. */
export function tellTrouble(context: CommandContext, line: string, paint: Paint): void {
  const { level, msg, event, reason, error } = JSON.parse(line) as Record<string, unknown>;
  if ((level !== 'warn' && level !== 'error') || event !== undefined) return;
  const detail = reason ?? (typeof error === 'string' ? error : (error as { message?: unknown } | undefined)?.message);
  context.err(
    `${paint(String(level), level === 'warn' ? 'yellow' : 'red')} ${printable(String(msg))}${detail === undefined ? '' : `: ${printable(String(detail))}`}\n`,
  );
}
