/** Backends of the admin API on a terminal. */
import type { BackendView } from '../../apis/admin/admin-target.ts';
import { printable } from '../../telemetry/pretty-line.ts';
import type { CommandContext } from '../command.ts';
import { painter, tableLines, type Cell, type Colour } from '../text-table.ts';

const COLOURS: Readonly<Record<string, Colour>> = { awake: 'green', waking: 'yellow', 'falling-asleep': 'yellow' };

export function listLines(context: CommandContext, items: readonly BackendView[]): string[] {
  if (items.length === 0) return ['there are no backends; make one with: dormouse run --name NAME -- COMMAND'];
  const onCluster = items.some(({ namespace }) => namespace !== undefined);
  const columns = [
    { title: 'NAME' },
    ...(onCluster ? [{ title: 'NAMESPACE' }] : []),
    { title: 'STATE' },
    { title: 'READY', right: true },
    { title: 'FROM' },
    { title: 'HOSTS' },
    { title: 'WHY' },
  ];
  const rows = items.map(({ name, namespace, origin, spec, status }): Cell[] => [
    { text: name },
    ...(onCluster ? [{ text: namespace ?? '' }] : []),
    cell(status.state),
    { text: `${status.instances}/${status.desired}` },
    { text: origin },
    { text: hostsOf(spec) },
    { text: status.problems[0] ?? status.why },
  ]);
  return tableLines(columns, rows, painter(context.terminal.colours), context.terminal.size().columns);
}

export function oneLines({ name, namespace, origin, createdAt, spec, status }: BackendView): string[] {
  const rows: [string, string][] = [
    ['name', name],
    ...(namespace === undefined ? [] : [['namespace', namespace] as [string, string]]),
    ['from', originText(origin)],
    ...(createdAt === null ? [] : [['made', createdAt] as [string, string]]),
    ['state', `${status.state}${status.since === null ? '' : ` since ${status.since}`}`],
    ['why', status.why],
    ...status.awakeBecause.map((reason) => ['awake because', reason] as [string, string]),
    ...(status.awakeUntil === null ? [] : [['kept awake until', status.awakeUntil] as [string, string]]),
    ['instances', `${status.instances} ready, ${status.desired} wanted`],
    ...status.problems.map((problem) => ['problem', problem] as [string, string]),
  ];
  const lines = rows.map(([title, value]) => `${title.padEnd(18)}${printable(value)}`);
  if (spec === null) return lines;
  return [
    ...lines,
    'spec',
    ...JSON.stringify(spec, null, 2)
      .split('\n')
      .map((line) => `  ${line}`),
  ];
}

function originText(origin: BackendView['origin']): string {
  switch (origin) {
    case 'api':
      return 'the admin API';
    case 'file':
      return 'the configuration file';
    case 'cluster':
      return 'a Backend object that somebody else made';
  }
}

function cell(state: string): Cell {
  const colour = COLOURS[state];
  return colour === undefined ? { text: state } : { text: state, colour };
}

export function hostsOf(spec: Record<string, unknown> | null): string {
  const hosts = spec?.['hosts'];
  return Array.isArray(hosts) ? hosts.map(String).join(', ') : '';
}
