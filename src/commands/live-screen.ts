/** A whole terminal screen that is drawn again and again, and given back as it was. */
import { cut } from './text-table.ts';
import type { CommandContext } from './command.ts';

const ENTER = '\x1b[?1049h\x1b[?25l';
const LEAVE = '\x1b[?25h\x1b[?1049l';
const HOME = '\x1b[H';
const END_OF_LINE = '\x1b[K';
const END_OF_SCREEN = '\x1b[J';

export class LiveScreen implements Disposable {
  readonly #context: CommandContext;
  readonly #quit = new AbortController();
  readonly #stopKeys: () => void;
  /** Aborted by q, Ctrl-C and SIGTERM. */
  readonly ended: AbortSignal;

  constructor(context: CommandContext) {
    this.#context = context;
    this.ended = AbortSignal.any([context.interrupted(), this.#quit.signal]);
    // In raw mode Ctrl-C is a key and no signal.
    this.#stopKeys = context.terminal.onKey((key) => {
      if (key === 'q' || key === 'Q' || key === '\x03' || key === '\x1b') this.#quit.abort();
    });
    context.out(ENTER);
  }

  /** Only what fits is shown; lines are without newlines and may have colours (then they fit already). */
  draw(lines: readonly string[]): void {
    const { columns, rows } = this.#context.terminal.size();
    const shown =
      rows > 1 && lines.length > rows - 1
        ? [...lines.slice(0, rows - 2), `… ${lines.length - rows + 2} more lines`]
        : lines;
    // oxlint-disable-next-line no-control-regex
    const fitted = shown.map((line) => (columns > 0 && !/\x1b/.test(line) ? cut(line, columns) : line) + END_OF_LINE);
    this.#context.out(`${HOME}${fitted.join('\r\n')}\r\n${END_OF_SCREEN}`);
  }

  [Symbol.dispose](): void {
    this.#stopKeys();
    this.#context.out(LEAVE);
  }
}
