/** The access log: a line per exchange, written in batches, never waited for. */
import type { AccessLog, AccessRecord } from '../model/access.ts';
import { noAccessLog } from '../model/access.ts';
import type { Config } from '../model/config.ts';
import type { Clock, Logger } from '../model/ports.ts';
import { commonFormat, jsonFormat, type FormatLine } from './access-format.ts';
import { LineOutput } from './line-output.ts';

export interface AccessLogOptions {
  /** Told, at most once in 10 s, that lines had to be dropped. */
  logger?: Logger;
  clock?: Clock;
  /** The descriptors of `file: stdout` and `file: stderr`: 1 and 2. */
  stdout?: number;
  stderr?: number;
  /** Most bytes that wait for a slow reader or disk. */
  limitBytes?: number;
  flushBytes?: number;
  flushMs?: number;
}

/** What createAccessLog gives: the port, and what a process does with a file. */
export interface FileAccessLog extends AccessLog {
  /** Opens the file again, after a rotation. (It is seen by itself within a second of writing, too.) */
  reopen(): void;
  /** Lines that were lost because nobody took them. */
  readonly dropped: number;
}

/**
 * Gathers 32 kB or 200 ms of lines and writes them at once; at most 1 MiB waits for a slow reader, the rest is dropped and counted. Throws
 * DORMOUSE_LOG_FILE when the file cannot be opened.
 */
export function createAccessLog(
  config: Config['telemetry']['accessLog'],
  options: AccessLogOptions = {},
): FileAccessLog {
  if (config.format === 'off') return { ...noAccessLog, reopen() {}, dropped: 0 };
  const output = new LineOutput({ ...options, target: targetOf(config.file, options) });
  const redact = config.redact.map((name) => name.toLowerCase());
  const make = config.format === 'json' ? jsonFormat : commonFormat;
  return new LineAccessLog(output, make({ redact, longest: Math.min(output.wholeLineBytes, 8192) }));
}

function targetOf(file: string, options: AccessLogOptions): number | string {
  if (file === 'stdout') return options.stdout ?? 1;
  return file === 'stderr' ? (options.stderr ?? 2) : file;
}

class LineAccessLog implements FileAccessLog {
  readonly #output: LineOutput;
  readonly #format: FormatLine;

  constructor(output: LineOutput, format: FormatLine) {
    this.#output = output;
    this.#format = format;
  }

  record(entry: AccessRecord): void {
    this.#output.writeAscii(this.#format(entry));
  }

  reopen(): void {
    this.#output.reopen();
  }

  close(): Promise<void> {
    return this.#output.close();
  }

  get dropped(): number {
    return this.#output.dropped;
  }
}
