/** Where log lines go: standard error, unless a test wants them. */
import { isatty } from 'node:tty';
import { LineOutput } from './line-output.ts';

export interface LogDestination {
  /** One or more whole lines. Must not throw and must not wait. */
  write(lines: string): void;
  /** People read it as it comes: `format: auto` is pretty then. */
  readonly isTTY?: boolean;
}

/**
 * A descriptor (2: standard error) as a destination that survives a full disk, a closed pipe and a reader that has stopped: up to 256 kB wait, the rest
 * is lost and counted. Every line is written before `write` returns, unless the reader is behind.
 */
export function logDestination(fd: number): LogDestination & { readonly dropped: number; close(): Promise<void> } {
  const output = new LineOutput({ target: fd, flushMs: 0, limitBytes: 256 * 1024 });
  return {
    write: (lines) => output.writeText(lines),
    isTTY: isatty(fd),
    get dropped() {
      return output.dropped;
    },
    close: () => output.close(),
  };
}

export interface LoggerOptions {
  level: 'debug' | 'info' | 'warn' | 'error' | 'silent';
  /** auto: pretty on a terminal, JSON otherwise. */
  format: 'auto' | 'json' | 'pretty';
  /** Default: standard error, through logDestination. */
  destination?: LogDestination;
  /** Colours in pretty lines on a terminal; default true. Commands hand in whether NO_COLOR is unset. */
  colours?: boolean;
  /** Added to every line. */
  fields?: Record<string, unknown>;
  /** Wall clock ms. */
  wallMs?: () => number;
}

export function isPretty(options: LoggerOptions, destination: LogDestination): boolean {
  return options.format === 'pretty' || (options.format === 'auto' && destination.isTTY === true);
}

export function hasColours(options: LoggerOptions, destination: LogDestination): boolean {
  return destination.isTTY === true && options.colours !== false;
}
