/** Arguments in, exit code out: 0, 1 failed, 2 used wrongly. */
import { Command, CommanderError } from 'commander';
import { DormouseError } from '../model/errors.ts';
import type { CommandContext, CommandDefinition, CommandOptions } from './command.ts';
import { packageVersion } from './package-version.ts';

const FAILED = 1;
const USED_WRONGLY = 2;

const GROUPS: Readonly<Record<string, string>> = {
  backend: 'make, show, change and delete backends while dormouse runs',
  demo: 'run a ready-made example',
  queue: 'append messages to a queue, or count them',
};

/** `args` without the interpreter and the script. Never throws. */
export async function runCli(
  args: readonly string[],
  commands: readonly CommandDefinition[],
  context: CommandContext,
): Promise<number> {
  let exitCode = 0;
  const program = newCommand('dormouse', context)
    .description('Puts HTTP services to sleep while nobody needs them and wakes them on the first request.')
    .version(`dormouse ${packageVersion()}`, '-V, --version', 'print the version')
    .helpCommand('help [command]', 'show the help of a command');
  const groups = new Map<string, Command>();
  for (const definition of commands) {
    const [first, second] = definition.path;
    let parent = program;
    if (second !== undefined) {
      parent = groups.get(first) ?? newCommand(first, context).description(GROUPS[first] ?? first);
      if (!groups.has(first)) program.addCommand(parent);
      groups.set(first, parent);
    }
    parent.addCommand(commandOf(definition, context, (code) => (exitCode = code)));
  }
  try {
    await program.parseAsync(withoutHelpOfNothing(args, commands), { from: 'user' });
    return exitCode;
  } catch (error) {
    if (error instanceof CommanderError) {
      const shown = error.code === 'commander.helpDisplayed' || error.code === 'commander.version';
      // `dormouse help` ends with commander.help and 0, `dormouse` alone with the same code and 1.
      return shown || (error.code === 'commander.help' && error.exitCode === 0) ? 0 : USED_WRONGLY;
    }
    context.err(failureText(error, args.includes('--json')));
    return error instanceof DormouseError && error.code === 'DORMOUSE_USAGE' ? USED_WRONGLY : FAILED;
  }
}

/** `bogus --help` would show the help of everything and count as a success: the unknown command alone is what there is to say. */
function withoutHelpOfNothing(args: readonly string[], commands: readonly CommandDefinition[]): string[] {
  const [first, second] = args;
  if (first === undefined || first.startsWith('-') || first === 'help') return [...args];
  const named = commands.filter(({ path }) => path[0] === first);
  if (named.length === 0) return [first];
  if (second === undefined || second.startsWith('-') || second === 'help') return [...args];
  return named.every(({ path }) => path[1] !== undefined && path[1] !== second) ? [first, second] : [...args];
}

function commandOf(
  definition: CommandDefinition,
  context: CommandContext,
  finish: (exitCode: number) => void,
): Command {
  const command = newCommand(definition.path.at(-1)!, context)
    .summary(definition.summary)
    .description(sentence(definition.summary));
  for (const [name, description] of definition.arguments ?? []) command.argument(name, description);
  for (const [flags, description, many] of definition.options ?? []) {
    if (many === undefined) command.option(flags, description);
    else command.option(flags, description, (value: string, before: string[] = []) => [...before, value]);
  }
  if (definition.examples !== undefined)
    command.addHelpText('after', `\nExamples:\n${definition.examples.map((line) => `  ${line}\n`).join('')}`);
  command.action(async () => {
    const { run } = await definition.load();
    finish(
      await run(
        context,
        // What may be given several times comes as a list.
        command.processedArgs.flat().filter((value) => value !== undefined) as string[],
        command.opts<CommandOptions>(),
      ),
    );
  });
  return command;
}

function newCommand(name: string, context: CommandContext): Command {
  return new Command(name)
    .allowExcessArguments(false)
    .showSuggestionAfterError(true)
    .exitOverride()
    .configureOutput({
      writeOut: (text) => context.out(text),
      writeErr: (text) => context.err(text),
      getOutHelpWidth: () => context.terminal.size().columns || 100,
      outputError: (text, write) => write(text.replace(/^error: /, 'dormouse: ')),
    });
}

/** A sentence and no stack for what is somebody's to mend; a stack for a fault of ours. With --json the same as one line of JSON. */
export function failureText(error: unknown, json: boolean): string {
  if (json) {
    const code = error instanceof DormouseError ? error.code : 'DORMOUSE_INTERNAL';
    return `${JSON.stringify({ code, detail: error instanceof Error ? error.message : String(error) })}\n`;
  }
  if (error instanceof DormouseError) return `dormouse: ${error.message}\n`;
  return `dormouse: this is a fault of dormouse:\n${error instanceof Error ? error.stack : String(error)}\n`;
}

function sentence(text: string): string {
  return `${text.charAt(0).toUpperCase()}${text.slice(1)}.`;
}
