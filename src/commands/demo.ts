/** `dormouse demo services`: the example in examples/services with words for newcomers: what to try, and a line for each wake and sleep. */
import { accessSync, constants } from 'node:fs';
import { tmpdir, userInfo } from 'node:os';
import { dirname, join, relative } from 'node:path';
import { fileURLToPath } from 'node:url';
import type { CommandContext } from './command.ts';
import { tellEvents, tellTrouble } from './demo-lines.ts';
import { shownCommand } from './shown-command.ts';
import { painter, type Paint } from './text-table.ts';
import { runUp } from './up.ts';

const EXAMPLE = fileURLToPath(new URL('../../examples/services/dormouse.yaml', import.meta.url));

export async function run(context: CommandContext): Promise<number> {
  const paint = painter(context.terminal.colours);
  const env: Record<string, string | undefined> = {
    ...context.env,
    DORMOUSE_NODE: context.env.DORMOUSE_NODE ?? process.execPath,
  };
  // An installed package is often in a folder that only root may write.
  const movesState = env.DORMOUSE_STATE === undefined && !isWritable(dirname(EXAMPLE));
  if (movesState) env.DORMOUSE_STATE = join(tmpdir(), `dormouse-demo-${userInfo().uid}`);

  let wasReady = false;
  const told = new AbortController();
  let telling: Promise<void> = Promise.resolve();
  const exitCode = await runUp(
    {
      config: EXAMPLE,
      env,
      onReady: ({ listeners, stateDir }) => {
        wasReady = true;
        const address = listeners[0]?.address ?? '';
        const target =
          movesState || context.env.DORMOUSE_STATE !== undefined
            ? `--state-dir ${stateDir}`
            : `-c ${shownPath(context.cwd)}`;
        context.out(guidance(`http://${address}`, `${shownCommand(context.cwd)} status ${target} --watch`, paint));
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
  told.abort();
  await telling;
  if (!wasReady && exitCode !== 0) {
    context.err('Other ports than 8080 and 8082: DORMOUSE_PORT=8090 DORMOUSE_OBSERVE_PORT=8092 npm start\n');
  } else {
    context.out(`\nEnded; nothing is left running.\n`);
  }
  return exitCode;
}

function guidance(base: string, status: string, paint: Paint): string {
  const tries: [command: string, what: string][] = [
    [`curl ${base}/api/users/123`, 'a JSON API with a database'],
    [`curl ${base}/`, 'a page; or open it in a browser'],
    [`curl ${base}/slow`, 'takes three seconds to start'],
    [`${base}/slow`, 'open it in a browser: a page that waits for it'],
    [status, 'in another terminal'],
  ];
  const width = Math.max(...tries.map(([command]) => command.length));
  return (
    `${paint('Dormouse is up.', 'bold')} Three services stand behind ${base}, and none of them runs.\n` +
    'The first request starts its service and waits for it; 20 seconds after the last one it is stopped.\n\n' +
    'Try:\n' +
    tries.map(([command, what]) => `  ${command.padEnd(width)}  ${paint(what, 'dim')}\n`).join('') +
    '\nCtrl-C ends it. What happens:\n\n'
  );
}

function shownPath(cwd: string): string {
  const path = relative(cwd, EXAMPLE);
  return path.startsWith('..') ? EXAMPLE : path;
}

function isWritable(folder: string): boolean {
  try {
    accessSync(folder, constants.W_OK);
    return true;
  } catch {
    return false;
  }
}
