/** `dormouse top`: the busiest backends first, with their instances, on the whole screen. */
import { DormouseError } from '../model/errors.ts';
import type { BackendStatus, Status } from '../model/status.ts';
import type { CommandContext, CommandOptions } from './command.ts';
import { followStatus } from './follow-status.ts';
import { LiveScreen } from './live-screen.ts';
import { runningDormouse } from './running-dormouse.ts';
import { backendTable, headLines, type ViewOptions } from './status-view.ts';
import { tableLines, painter, type Column } from './text-table.ts';

export async function run(context: CommandContext, _args: readonly string[], options: CommandOptions): Promise<number> {
  if (!context.terminal.isTTY) {
    throw new DormouseError(
      'DORMOUSE_USAGE',
      'top needs a terminal; for a file or a pipe use: dormouse status --watch',
      { userFault: true },
    );
  }
  const client = await runningDormouse(context, options);
  // Told before the screen is taken.
  await client.status();
  using screen = new LiveScreen(context);
  for await (const seen of followStatus(client, screen.ended)) {
    const view = { nowMs: Date.now(), colours: context.terminal.colours, width: context.terminal.size().columns };
    screen.draw('status' in seen ? topLines(seen.status, view) : [seen.problem]);
  }
  return 0;
}

export function topLines(status: Status, view: ViewOptions): string[] {
  const paint = painter(view.colours);
  const count = (phase: BackendStatus['phase']): number =>
    status.backends.filter((backend) => backend.crash === null && backend.phase === phase).length;
  const crashing = status.backends.filter((backend) => backend.crash !== null).length;
  const sum = `${count('awake')} awake, ${count('waking')} waking, ${count('falling-asleep')} falling asleep, ${count('asleep')} asleep, ${crashing} crashing`;
  return [
    ...headLines(status, view),
    crashing > 0 ? paint(sum, 'red') : sum,
    '',
    ...workerTable(status, view),
    '',
    ...backendTable(status.backends.toSorted(busiestFirst), view),
    '',
    paint('q: quit', 'dim'),
  ];
}

/** What needs a look first: crashing, held, in flight, rate, then whoever is up. */
function busiestFirst(a: BackendStatus, b: BackendStatus): number {
  return (
    Number(b.crash !== null) - Number(a.crash !== null) ||
    b.demand.held - a.demand.held ||
    b.demand.inFlight - a.demand.inFlight ||
    b.demand.requestsPerSecond - a.demand.requestsPerSecond ||
    Number(b.phase !== 'asleep') - Number(a.phase !== 'asleep') ||
    b.lastActivityMs - a.lastActivityMs ||
    (a.name < b.name ? -1 : 1)
  );
}

function workerTable(status: Status, view: ViewOptions): string[] {
  const columns: Column[] = [
    { title: 'WORKER' },
    { title: 'STATE' },
    { title: 'PID', right: true },
    { title: 'CONNECTIONS', right: true },
    { title: 'MEMORY', right: true },
    { title: 'RESTARTS', right: true },
  ];
  const rows = status.workers.map((worker) => [
    { text: worker.id },
    { text: worker.state },
    { text: String(worker.pid) },
    { text: String(worker.connections) },
    { text: `${Math.round(worker.rssBytes / 1e6)} MB` },
    { text: String(worker.restarts) },
  ]);
  return tableLines(columns, rows, painter(view.colours), view.width);
}
