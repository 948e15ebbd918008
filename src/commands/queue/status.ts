/** `dormouse demo queue status`: the way from messages to workers with a number at each stage; once, or live with --watch. */
import type { CommandContext, CommandOptions } from '../command.ts';
import { LiveScreen } from '../live-screen.ts';
import { shownCommand } from '../shown-command.ts';
import { demoFolder, runningDemo } from './demo-state.ts';
import { MAX_SAMPLES, flowLines, sampleOf, type Flow, type Sample } from './flow.ts';
import { followLocalFlow, localFlow } from './local-flow.ts';

export async function run(context: CommandContext, _args: readonly string[], options: CommandOptions): Promise<number> {
  const folder = demoFolder(context, options);
  const demo = runningDemo(folder, shownCommand(context.cwd));
  if (options.watch !== true) {
    return once(context, await localFlow(folder, demo, context.interrupted()), options);
  }
  return watch(context, (signal) => followLocalFlow(folder, demo, signal), options);
}

export function once(context: CommandContext, flow: Flow, options: CommandOptions): number {
  const { terminal } = context;
  const view = { colours: terminal.colours, width: terminal.size().columns };
  context.out(
    options.json === true ? `${JSON.stringify(flow, null, 2)}\n` : `${flowLines(flow, [], view).join('\n')}\n`,
  );
  return 0;
}

/** On a terminal a screen that is drawn again and again, otherwise a line of JSON each. */
export async function watch(
  context: CommandContext,
  follow: (signal: AbortSignal) => AsyncIterable<Flow>,
  options: CommandOptions,
): Promise<number> {
  const { terminal } = context;
  if (options.json === true || !terminal.isTTY) {
    for await (const flow of follow(context.interrupted())) context.out(`${JSON.stringify(flow)}\n`);
    return 0;
  }
  const samples: Sample[] = [];
  using screen = new LiveScreen(context);
  try {
    for await (const flow of follow(screen.ended)) {
      samples.push(sampleOf(flow));
      if (samples.length > MAX_SAMPLES) samples.shift();
      screen.draw([
        ...flowLines(flow, samples, { colours: terminal.colours, width: terminal.size().columns }),
        '',
        'q ends this view',
      ]);
    }
  } catch (error) {
    if (!screen.ended.aborted) throw error;
  }
  return 0;
}
