/** `dormouse demo queue up` on this machine: starts Redis (or NATS), then dormouse with the example's configuration, and says what to try. */
import { join } from 'node:path';
import { DormouseError } from '../../model/errors.ts';
import type { CommandContext, CommandOptions } from '../command.ts';
import { tellEvents, tellTrouble } from '../demo-lines.ts';
import { shownCommand } from '../shown-command.ts';
import { painter, type Paint } from '../text-table.ts';
import { runUp } from '../up.ts';
import {
  demoFolder,
  isAlive,
  ownFolder,
  readDemoState,
  removeDemoFolder,
  writeDemoState,
  SOURCES,
  type SourceKind,
} from './demo-state.ts';
import { clearLeftovers } from './leftovers.ts';
import { stateDirOf } from './local-flow.ts';
import { QUEUE_DEMO, flagsOf, loadOf, readStats } from './programs.ts';
import { NATS, REDIS, startServer, type QueueServer } from './server.ts';

const QUEUE = 'queue-demo';
const CONFIGS: Readonly<Record<SourceKind, string>> = {
  list: 'dormouse.yaml',
  stream: 'stream.yaml',
  cron: 'schedule.yaml',
};

export async function run(context: CommandContext, _args: readonly string[], options: CommandOptions): Promise<number> {
  const source = sourceOf(options);
  const { work, perWorker } = loadOf(options);
  const folder = demoFolder(context, options);
  const before = readDemoState(folder);
  if (before !== null && isAlive(before.pid)) {
    const text = `the queue demo runs already (process ${before.pid}); end it with: ${shownCommand(context.cwd)} demo queue down`;
    throw new DormouseError('DORMOUSE_ALREADY_RUNNING', text, { userFault: true });
  }
  ownFolder(folder);
  await clearLeftovers(folder);
  const paint = painter(context.terminal.colours);
  // Until dormouse runs, which takes the signals over: a Ctrl-C must not leave the server behind.
  const stopping = context.interrupted();
  let server: QueueServer | null = null;
  let telling: Promise<void> = Promise.resolve();
  let wasReady = false;
  const told = new AbortController();
  try {
    server = await serverOf(source, folder, context, stopping);
    const connection = connectionOf(source, server);
    // Before anything else: whoever clears up after this program has to know of its server.
    writeDemoState(folder, {
      pid: process.pid,
      source,
      connection,
      queue: QUEUE,
      server: server === null ? null : { pid: server.pid, port: server.port },
      startedAtMs: Date.now(),
    });
    // Makes the stream and its consumer, which the trigger looks at.
    if (source === 'stream') await readStats(flagsOf({ connection, queue: QUEUE }), stopping);
    if (stopping.aborted) return 0;
    const exitCode = await runUp(
      {
        config: join(QUEUE_DEMO, CONFIGS[source]),
        env: {
          ...context.env,
          ...(server === null ? {} : { QUEUE_DEMO_PORT: String(server.port) }),
          ...(work === '' ? {} : { QUEUE_DEMO_WORK: work }),
          ...(perWorker === null ? {} : { QUEUE_DEMO_LENGTH: String(perWorker) }),
          QUEUE_DEMO_CONNECTION: connection,
          QUEUE_DEMO_QUEUE: QUEUE,
          QUEUE_DEMO_STATE: stateDirOf(folder),
          DORMOUSE_NODE: context.env.DORMOUSE_NODE ?? process.execPath,
        },
        onReady: ({ stateDir }) => {
          wasReady = true;
          context.out(guidance(source, server, shownCommand(context.cwd), folderFlag(options), paint));
          telling = tellEvents(context, stateDir, told.signal, paint);
        },
      },
      {
        stdout: { write() {}, isTTY: false },
        stderr: { write: (text) => context.err(text) },
        hasTerminal: context.terminal.attached,
        log: { isTTY: false, write: (line) => tellTrouble(context, line, paint) },
      },
    );
    return exitCode;
  } finally {
    told.abort();
    await telling;
    await server?.stop();
    removeDemoFolder(folder);
    if (wasReady) context.out('\nEnded; nothing is left running.\n');
  }
}

function sourceOf({ source = 'list' }: CommandOptions): SourceKind {
  const found = SOURCES.find((one) => one === source);
  if (found !== undefined) return found;
  const text = `--source has to be ${SOURCES.join(', ')}, not "${String(source)}"`;
  throw new DormouseError('DORMOUSE_USAGE', text, { userFault: true });
}

function serverOf(
  source: SourceKind,
  folder: string,
  { env }: CommandContext,
  signal: AbortSignal,
): Promise<QueueServer | null> {
  switch (source) {
    case 'list':
      return startServer(REDIS, folder, env, signal);
    case 'stream':
      return startServer(NATS, folder, env, signal);
    case 'cron':
      return Promise.resolve(null);
  }
}

function connectionOf(source: SourceKind, server: QueueServer | null): string {
  if (server === null) return '';
  return `${source === 'list' ? 'redis' : 'nats'}://127.0.0.1:${server.port}`;
}

function folderFlag({ folder }: CommandOptions): string {
  return typeof folder === 'string' ? ` --folder ${folder}` : '';
}

function guidance(
  source: SourceKind,
  server: QueueServer | null,
  command: string,
  folder: string,
  paint: Paint,
): string {
  const status: [string, string] = [`${command} demo queue status --watch${folder}`, 'the flow, live'];
  const down: [string, string] = [`${command} demo queue down${folder}`, 'or Ctrl-C here'];
  const tries: [line: string, what: string][] =
    source === 'cron'
      ? [status, down]
      : [
          [`${command} queue enqueue 200${folder}`, '200 messages: workers start, 20 at most, and go again'],
          status,
          [`${command} queue depth${folder}`, 'how many messages wait'],
          [`${command} queue enqueue 20 --delay 500${folder}`, 'one after the other'],
          down,
        ];
  const width = Math.max(...tries.map(([line]) => line.length));
  const where =
    source === 'cron'
      ? 'A worker runs in every second minute, by the clock.'
      : `A queue (${source === 'list' ? 'Redis list' : 'JetStream'}, port ${server?.port}) and its workers, of which none runs.\nThe first message starts one, more start the more messages wait; 10 seconds after the last one they are gone.`;
  return (
    `${paint('Dormouse is up.', 'bold')} ${where}\n\n` +
    'Try, in another terminal:\n' +
    tries.map(([line, what]) => `  ${line.padEnd(width)}  ${paint(what, 'dim')}\n`).join('') +
    '\nCtrl-C ends it. What happens:\n\n'
  );
}
