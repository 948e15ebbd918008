/** What a command is: data for the command line, and a module that is loaded only when it runs. */

export interface CommandDefinition {
  /** `['status']`, `['demo', 'services']`. */
  path: readonly [string] | readonly [string, string];
  summary: string;
  /** As commander writes them: `<name>` must be given, `[name]` may be. */
  arguments?: readonly (readonly [name: string, description: string])[];
  /** `many`: it may be given several times, each time with one value. */
  options?: readonly (readonly [flags: string, description: string, many?: 'many'])[];
  /** Shown below the help, one command line each. */
  examples?: readonly string[];
  load: () => Promise<{ run: RunCommand }>;
}

/** Resolves with the exit code: 0, or 1 when it failed. What went wrong on purpose is thrown as a DormouseError and printed in one place. */
export type RunCommand = (context: CommandContext, args: readonly string[], options: CommandOptions) => Promise<number>;

/** What commander made of the options: `--no-wait` is `wait: false`. */
export type CommandOptions = Readonly<Record<string, unknown>>;

/** What a command sees of the outside: nothing else reads the environment, the working folder or the terminal. */
export interface CommandContext {
  readonly env: Readonly<Record<string, string | undefined>>;
  readonly cwd: string;
  /** To standard output, without a newline of its own. */
  out(text: string): void;
  /** To standard error. */
  err(text: string): void;
  /** Standard input; null: it is a terminal, whose keys `terminal.onKey` gives. */
  input(): AsyncIterable<Uint8Array> | null;
  readonly terminal: Terminal;
  /** Aborted by the first Ctrl-C or SIGTERM. Commands that never ask for it end at once by these. */
  interrupted(): AbortSignal;
}

export interface Terminal {
  /** Standard output is one. */
  readonly isTTY: boolean;
  /** Any of the standard streams is one: somebody started this by hand. */
  readonly attached: boolean;
  /** A terminal, and NO_COLOR is not set. */
  readonly colours: boolean;
  /** Measured anew each time; 0 when it is no terminal. */
  size(): { columns: number; rows: number };
  /** Keys that are pressed, while the result has not been called. */
  onKey(listener: (key: string) => void): () => void;
}
