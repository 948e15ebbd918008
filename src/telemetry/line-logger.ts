/** A small Logger for workers: the same lines as the supervisor's, without loading pino (some 4 MB of memory per worker). */
import type { Logger } from '../model/ports.ts';
import { cleanFields, cleanText } from './log-fields.ts';
import { hasColours, isPretty, logDestination, type LoggerOptions } from './log-destination.ts';
import { prettyLine, type LogLevel } from './pretty-line.ts';

const RANKS = { debug: 0, info: 1, warn: 2, error: 3, silent: 4 } as const;

/** JSON lines `{"level","time","msg",…}`, or pretty ones. Never throws. */
export function createLineLogger(options: LoggerOptions): Logger {
  const destination = options.destination ?? logDestination(2);
  const pretty = isPretty(options, destination);
  const colours = hasColours(options, destination);
  const wallMs = options.wallMs ?? Date.now;
  const lowest = RANKS[options.level];

  const make = (bound: Record<string, unknown>): Logger => {
    const log = (level: LogLevel, message: string, fields?: Record<string, unknown>): void => {
      if (RANKS[level] < lowest) return;
      const all = fields === undefined ? bound : { ...bound, ...cleanFields(fields) };
      const text = cleanText(message);
      destination.write(
        pretty ? prettyLine(wallMs(), level, text, all, colours) : jsonLine(wallMs(), level, text, all),
      );
    };
    return {
      debug: (message, fields) => log('debug', message, fields),
      info: (message, fields) => log('info', message, fields),
      warn: (message, fields) => log('warn', message, fields),
      error: (message, fields) => log('error', message, fields),
      child: (fields) => make({ ...bound, ...cleanFields(fields) }),
    };
  };
  return make(cleanFields(options.fields ?? {}));
}

/** The line's own members win over fields of the same name, as pino's do. */
function jsonLine(atMs: number, level: LogLevel, message: string, fields: Record<string, unknown>): string {
  const { level: _level, time: _time, msg: _msg, ...rest } = fields;
  return `${JSON.stringify({ level, time: new Date(atMs).toISOString(), ...rest, msg: message })}\n`;
}
