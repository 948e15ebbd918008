/** What may stand where somebody has pressed Tab. */
import { adminClient } from './admin-connection.ts';
import type { CommandContext, CommandDefinition, CommandOptions } from './command.ts';

/** Nobody waits longer for names, ms. */
const NAMES_WITHIN_MS = 1000;
const SHELLS = ['bash', 'zsh', 'fish'];

interface Option {
  /** `--json`, `-c`. */
  names: string[];
  takesValue: boolean;
}

/** `words`: what stands after `dormouse`, up to the cursor; the last is being written ('' for a new one). Nothing: the shell completes files. */
export async function candidates(
  context: CommandContext,
  words: readonly string[],
  commands: readonly CommandDefinition[],
): Promise<string[]> {
  const current = words.at(-1) ?? '';
  const before = words.slice(0, -1);
  const found = await possible(context, before, current, commands);
  return [...new Set(found)].filter((candidate) => candidate.startsWith(current)).toSorted();
}

async function possible(
  context: CommandContext,
  before: readonly string[],
  current: string,
  commands: readonly CommandDefinition[],
): Promise<string[]> {
  const [first, second] = before;
  if (first === undefined) return ['help', ...commands.map(({ path }) => path[0])];
  if (first === 'help') return before.length === 1 ? commands.map(({ path }) => path[0]) : [];
  const named = commands.filter(({ path }) => path[0] === first);
  const single = named.find(({ path }) => path[1] === undefined);
  if (single === undefined && second === undefined) return named.map(({ path }) => path[1]!);
  const command = single ?? named.find(({ path }) => path[1] === second);
  if (command === undefined) return [];
  return inCommand(context, command, before.slice(command.path.length), current);
}

async function inCommand(
  context: CommandContext,
  command: CommandDefinition,
  words: readonly string[],
  current: string,
): Promise<string[]> {
  if (words.includes('--')) return [];
  const options = optionsOf(command);
  const last = options.find(({ names }) => names.includes(words.at(-1) ?? ''));
  if (last?.takesValue === true) return [];
  if (current.startsWith('-')) return options.flatMap(({ names }) => names.filter((name) => name.startsWith('--')));
  const [argument = ''] = command.arguments?.[0] ?? [];
  if (command.path[0] === 'completion') return SHELLS;
  if (command.path[0] === 'demo' && command.path[1] === 'queue') return ['up', 'down', 'status'];
  const isMany = argument.endsWith('...>');
  const given = positionals(words, options);
  if (!/^[<[]name/.test(argument) || command.path[1] === 'create' || (given > 0 && !isMany)) return [];
  return names(context, valuesOf(words, options));
}

function optionsOf({ options = [] }: CommandDefinition): Option[] {
  const known = options.map(([flags]) => ({
    names: flags.split(/, |\s/).filter((part) => part.startsWith('-')),
    takesValue: flags.includes('<'),
  }));
  return [...known, { names: ['-h', '--help'], takesValue: false }];
}

function positionals(words: readonly string[], options: readonly Option[]): number {
  return words.filter((word, index) => {
    if (word.startsWith('-')) return false;
    return options.find(({ names }) => names.includes(words[index - 1] ?? ''))?.takesValue !== true;
  }).length;
}

/** What is already there of the options that say which dormouse is meant. */
function valuesOf(words: readonly string[], options: readonly Option[]): CommandOptions {
  const values: Record<string, string> = {};
  for (const [index, word] of words.entries()) {
    const option = options.find(({ names }) => names.includes(word));
    const value = words[index + 1];
    if (option?.takesValue !== true || value === undefined) continue;
    const name = option.names.find((each) => each.startsWith('--'))!.slice(2);
    values[name.replaceAll(/-(\w)/g, (_all, letter: string) => letter.toUpperCase())] = value;
  }
  return values;
}

async function names(context: CommandContext, options: CommandOptions): Promise<string[]> {
  try {
    const { items } = await (await adminClient(context, options, NAMES_WITHIN_MS)).list();
    return items.map(({ name }) => name);
  } catch {
    // It does not run, or there is no file here: there are no names to offer.
    return [];
  }
}
