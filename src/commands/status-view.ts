/** A status as text. */
import type { BackendStatus, Status } from '../model/status.ts';
import { printable } from '../telemetry/pretty-line.ts';
import { causeText } from './cause-text.ts';
import { durationText, sinceText } from './duration-text.ts';
import { cut, painter, tableLines, type Cell, type Colour, type Column } from './text-table.ts';

export interface ViewOptions {
  /** Wall clock ms. */
  nowMs: number;
  colours: boolean;
  /** Columns of the terminal; 0: as wide as it gets. */
  width: number;
}

const PHASE_COLOURS: Readonly<Record<BackendStatus['phase'], Colour>> = {
  asleep: 'blue',
  waking: 'yellow',
  awake: 'green',
  'falling-asleep': 'dim',
};

const COLUMNS: readonly Column[] = [
  { title: 'BACKEND' },
  { title: 'STATE' },
  { title: 'SINCE', right: true },
  { title: 'READY', right: true },
  { title: 'DEMAND', right: true },
  { title: 'RPS', right: true },
  { title: 'HELD', right: true },
  { title: 'LAST WAKE' },
  { title: 'WHY' },
];

/** The head, a line per backend, and what is wrong. */
export function statusLines(status: Status, options: ViewOptions): string[] {
  const lines = headLines(status, options);
  lines.push('', ...backendTable(status.backends, options));
  for (const backend of status.backends) if (backend.crash !== null) lines.push('', ...crashLines(backend, options));
  return lines;
}

export function headLines(status: Status, options: ViewOptions): string[] {
  const paint = painter(options.colours);
  const { config, workers } = status;
  const fit = fitting(options);
  const lines = [
    fit(
      `dormouse ${status.version}, pid ${status.pid}, up ${sinceText(options.nowMs - status.startedAtMs)}, ${printable(config.file)} (version ${config.version})`,
    ),
    fit(
      `listening on ${status.listeners.map((listener) => `${listener.address} (${listener.name})`).join(', ') || 'nothing'}; ${workersText(workers)}`,
    ),
  ];
  // A failed reload changes nothing, so that nobody would notice it otherwise.
  if (config.lastError !== null) {
    const [first = '', ...rest] = config.lastError.split('\n');
    lines.push(paint(fit(`the last reload failed, the version before it is in force: ${printable(first)}`), 'red'));
    for (const line of rest) lines.push(paint(fit(`  ${printable(line)}`), 'red'));
  }
  return lines;
}

export function backendTable(backends: readonly BackendStatus[], options: ViewOptions): string[] {
  if (backends.length === 0) return ['no backends'];
  return tableLines(
    COLUMNS,
    backends.map((backend) => cells(backend, options)),
    painter(options.colours),
    options.width,
  );
}

function cells(backend: BackendStatus, options: ViewOptions): Cell[] {
  const { demand, lastWoken } = backend;
  const state: Cell =
    backend.crash === null
      ? { text: backend.phase, colour: PHASE_COLOURS[backend.phase] }
      : { text: 'crashing', colour: 'red' };
  return [
    { text: backend.name, colour: 'bold' },
    state,
    { text: backend.sinceMs === 0 ? '-' : sinceText(options.nowMs - backend.sinceMs) },
    { text: readyText(backend) },
    { text: short(demand.concurrency) },
    { text: short(demand.requestsPerSecond) },
    { text: String(demand.held), ...(demand.held > 0 ? { colour: 'yellow' as const } : {}) },
    {
      text:
        lastWoken === null
          ? '-'
          : `${durationText(lastWoken.tookMs)}, ${sinceText(options.nowMs - lastWoken.atMs)} ago`,
    },
    { text: whyText(backend, options.nowMs) },
  ];
}

/** Ready, wanted and at most; of servers that somebody else runs there are as many as the file lists. */
function readyText(backend: BackendStatus): string {
  if (backend.driver === 'static') return `${readyCount(backend)}/${backend.instances.length}`;
  return `${readyCount(backend)}/${backend.desired} of ${backend.max}`;
}

/** Why it is in its state, and when that will end; for one that was woken, by whom. */
export function whyText(backend: BackendStatus, nowMs: number): string {
  if (backend.crash !== null) return backend.crash.reason;
  const trouble = [breakerText(backend.breaker), ejectionText(backend), sourcesText(backend)].filter(
    (part) => part !== '',
  );
  const parts = backend.awakeBecause.length > 0 ? [...backend.awakeBecause] : [backend.why];
  if (backend.awakeBecause.length === 0 && backend.sleepsAtMs > nowMs)
    parts.push(`sleeps in ${sinceText(backend.sleepsAtMs - nowMs)}`);
  if (backend.phase === 'awake' && backend.lastWoken !== null)
    parts.push(`woken by ${causeText(backend.lastWoken.by)}`);
  return [...trouble, ...parts].filter((part) => part !== '').join('; ');
}

/** '' while the sources of its triggers answer. One that is awake for that says so already. */
function sourcesText({ triggers = [], phase }: BackendStatus): string {
  if (phase === 'awake') return '';
  const failing = triggers.filter(({ trouble }) => trouble !== null);
  return failing.map(({ name, trouble }) => `trigger ${name} can't be asked: ${trouble?.reason}`).join('; ');
}

/** '' while the circuit breakers of all workers are closed. */
function breakerText(breaker: BackendStatus['breaker']): string {
  if (breaker === null || breaker.open + breaker.halfOpen === 0) return '';
  const all = breaker.closed + breaker.halfOpen + breaker.open;
  const states = [
    ...(breaker.open > 0 ? [`open in ${breaker.open}`] : []),
    ...(breaker.halfOpen > 0 ? [`trying in ${breaker.halfOpen}`] : []),
  ];
  return `breaker ${states.join(', ')} of ${workerCount(all)}`;
}

function workerCount(count: number): string {
  return `${count} worker${count === 1 ? '' : 's'}`;
}

function ejectionText({ instances }: BackendStatus): string {
  const ejected = instances.filter((instance) => instance.ejectedBy > 0).length;
  return ejected === 0 ? '' : `${ejected} of ${instances.length} instances ejected`;
}

/** One backend with everything that is known of it. */
export function backendLines(backend: BackendStatus, options: ViewOptions): string[] {
  const { nowMs } = options;
  const paint = painter(options.colours);
  const { demand, lastWoken } = backend;
  const ago = (atMs: number): string => (atMs === 0 ? 'never' : `${sinceText(nowMs - atMs)} ago`);
  const facts: [string, string][] = [
    ['state', `${backend.crash === null ? backend.phase : 'crashing'} for ${sinceText(nowMs - backend.sinceMs)}`],
    ['why', backend.why],
    ...backend.awakeBecause.map((reason): [string, string] => ['awake because', reason]),
    ...(backend.awakeBecause.length === 0 && backend.sleepsAtMs > nowMs
      ? [['sleeps in', sinceText(backend.sleepsAtMs - nowMs)] as [string, string]]
      : []),
    [
      'last woken',
      lastWoken === null
        ? 'never'
        : `${ago(lastWoken.atMs)} by ${causeText(lastWoken.by)}, took ${durationText(lastWoken.tookMs)}`,
    ],
    ['last slept', ago(backend.lastSleptMs)],
    ['wakes', String(backend.wakes)],
    ...(backend.breaker === null
      ? []
      : [['breaker', breakerText(backend.breaker).replace('breaker ', '') || 'closed'] as [string, string]]),
    ...triggerFacts(backend, nowMs),
    ...formulaFacts(backend),
    ...runsFacts(backend, nowMs),
    ['driver', backend.driver],
    ['instances', `${readyCount(backend)} ready, ${backend.desired} desired, ${backend.min} to ${backend.max}`],
    ['demand', `${short(demand.concurrency)} at once, ${short(demand.requestsPerSecond)} per second`],
    [
      'now',
      `${demand.inFlight} in flight, ${demand.held} held, ${demand.tunnels} tunnels; last activity ${ago(backend.lastActivityMs)}`,
    ],
  ];
  const lines = [
    paint(printable(backend.name), 'bold'),
    ...facts.map(([name, value]) => `  ${paint(name.padEnd(13), 'dim')} ${printable(value)}`),
  ];
  if (backend.instances.length > 0) lines.push('', ...instanceTable(backend, options).map((line) => `  ${line}`));
  if (backend.crash !== null) lines.push('', ...crashLines(backend, options));
  return lines;
}

/** What each trigger measured last, and what is wrong with its source. */
function triggerFacts({ triggers = [] }: BackendStatus, nowMs: number): [string, string][] {
  return triggers.flatMap(({ name, type, metric, trouble }): [string, string][] => {
    const said =
      metric === null
        ? 'nothing yet'
        : `${short(metric.value)} / ${short(metric.target)} = ${short(metric.value / metric.target)} instances, ${metric.active ? 'active' : 'not active'}, ${sinceText(nowMs - metric.atMs)} ago: ${metric.reason}`;
    const failing =
      trouble === null
        ? []
        : [`failing for ${sinceText(nowMs - trouble.sinceMs)} (${trouble.failures} times): ${trouble.reason}`];
    return [['trigger', `${name} (${type}): ${said}`], ...failing.map((text): [string, string] => ['', text])];
  });
}

function formulaFacts({ formula }: BackendStatus): [string, string][] {
  if (formula === undefined) return [];
  const result = formula.value === null ? (formula.fault ?? '') : short(formula.value);
  return [['formula', `${formula.text} = ${result}`]];
}

/** Of scale.jobs: how many have ended, and how the last ones did. */
function runsFacts({ runs }: BackendStatus, nowMs: number): [string, string][] {
  if (runs === undefined) return [];
  return [
    ['runs', `${runs.succeeded} succeeded, ${runs.failed} failed`],
    ...runs.last.map(({ id, endedAtMs, reason }): [string, string] => [
      '',
      `${id} ${reason}, ${sinceText(nowMs - endedAtMs)} ago`,
    ]),
  ];
}

export function instanceTable(backend: BackendStatus, options: ViewOptions): string[] {
  const columns: Column[] = [
    { title: 'INSTANCE' },
    { title: 'STATE' },
    { title: 'SINCE', right: true },
    { title: 'ADDRESS' },
    { title: 'PID', right: true },
    { title: 'REASON' },
  ];
  const rows = backend.instances.map((instance): Cell[] => [
    { text: instance.id },
    { text: instance.state },
    { text: instance.sinceMs === 0 ? '-' : sinceText(options.nowMs - instance.sinceMs) },
    { text: instance.address || '-' },
    { text: instance.pid === null ? '-' : String(instance.pid) },
    { text: instance.ejectedBy > 0 ? `ejected by ${workerCount(instance.ejectedBy)}` : instance.reason },
  ]);
  return tableLines(columns, rows, painter(options.colours), options.width === 0 ? 0 : options.width - 2);
}

function crashLines(backend: BackendStatus, options: ViewOptions): string[] {
  const { crash } = backend;
  if (crash === null) return [];
  const paint = painter(options.colours);
  const fit = fitting(options);
  const next = nextTryText(backend, crash.retryAtMs - options.nowMs);
  const times = crash.attempts === 1 ? 'once' : `${crash.attempts} times in a row`;
  return [
    paint(fit(`${printable(backend.name)} is crashing: ${printable(crash.reason)} (${times}; ${next})`), 'red'),
    ...(crash.lastLogLines.length === 0
      ? ['  it wrote nothing']
      : crash.lastLogLines.map((line) => fit(`  | ${printable(line)}`))),
  ];
}

/** After the back-off only a backend that must be awake is started by itself. */
function nextTryText(backend: BackendStatus, inMs: number): string {
  if (inMs > 0) return `next try in ${durationText(inMs)}`;
  return backend.phase === 'waking' || backend.min > 0 ? 'trying again' : 'the next request tries again';
}

function fitting(options: ViewOptions): (text: string) => string {
  return options.width === 0 ? (text) => text : (text) => cut(text, options.width);
}

function readyCount(backend: BackendStatus): number {
  return backend.instances.filter((instance) => instance.state === 'ready').length;
}

function workersText(workers: Status['workers']): string {
  const running = workers.filter((worker) => worker.state === 'running').length;
  const restarts = workers.reduce((sum, worker) => sum + worker.restarts, 0);
  const connections = workers.reduce((sum, worker) => sum + worker.connections, 0);
  const all = running === workers.length ? `${running}` : `${running} of ${workers.length}`;
  return `${all} worker${workers.length === 1 ? '' : 's'}${restarts > 0 ? ` (${restarts} restarted)` : ''}, ${connections} connections`;
}

/** `0`, `0.3`, `12`, `1.5k`. */
function short(value: number): string {
  if (value >= 10_000) return `${Math.round(value / 1000)}k`;
  if (value >= 1000) return `${(value / 1000).toFixed(1)}k`;
  return value >= 10 || Number.isInteger(value) ? String(Math.round(value)) : value.toFixed(1);
}
