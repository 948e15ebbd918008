/** The supervisor's program log, on pino. Workers use line-logger.ts, which writes the same lines. */
import { pino, type Logger as Pino } from 'pino';
import type { Logger } from '../model/ports.ts';
import { cleanFields, cleanText } from './log-fields.ts';
import { isPretty, logDestination, type LoggerOptions } from './log-destination.ts';
import { createLineLogger } from './line-logger.ts';

/** `format: auto` is pretty on a terminal and JSON otherwise; colours on a terminal only. Secrets are left out by the names of their fields. */
export function createLogger(options: LoggerOptions): Logger {
  const destination = options.destination ?? logDestination(2);
  // Pretty lines are for people: the speed of pino is no matter there, and its JSON would have to be parsed again.
  if (isPretty(options, destination)) return createLineLogger({ ...options, destination });
  const wallMs = options.wallMs ?? Date.now;
  const instance = pino(
    {
      level: options.level,
      // pino would add the process id and the host name.
      base: null,
      timestamp: () => `,"time":"${new Date(wallMs()).toISOString()}"`,
      formatters: { level: (label) => ({ level: label }) },
    },
    { write: (line: string) => destination.write(line) },
  );
  return wrap(options.fields === undefined ? instance : instance.child(withoutOwn(cleanFields(options.fields))));
}

function wrap(instance: Pino): Logger {
  const log = (level: 'debug' | 'info' | 'warn' | 'error', message: string, fields?: Record<string, unknown>): void => {
    if (!instance.isLevelEnabled(level)) return;
    if (fields === undefined) instance[level](cleanText(message));
    else instance[level](withoutOwn(cleanFields(fields)), cleanText(message));
  };
  return {
    debug: (message, fields) => log('debug', message, fields),
    info: (message, fields) => log('info', message, fields),
    warn: (message, fields) => log('warn', message, fields),
    error: (message, fields) => log('error', message, fields),
    child: (fields) => wrap(instance.child(withoutOwn(cleanFields(fields)))),
  };
}

/** A field named like one of the line's own members would appear twice. */
function withoutOwn(fields: Record<string, unknown>): Record<string, unknown> {
  const { level: _level, time: _time, msg: _msg, ...rest } = fields;
  return rest;
}
