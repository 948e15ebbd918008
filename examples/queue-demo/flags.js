// What all programs of the demo are told on the command line. A flag may also be given by an environment variable: QUEUE_DEMO_ and its name in capitals.
import { parseArgs } from 'node:util';

export const QUEUE_FLAGS = {
  connection: {
    value: 'redis://127.0.0.1:6379',
    help: 'where the queue is: redis://… for a list, nats://… for a stream',
  },
  queue: { value: 'queue-demo', help: 'the name of the list, or of the stream' },
};

/**
 * Flags with their values (text), and what stands beside them. Ends the program after --help (0) or a mistake (2).
 * @param {string} usage
 * @param {Record<string, { value: string, help: string }>} flags
 * @param {number} most how many arguments beside flags there may be
 */
export function readFlags(usage, flags, most = 0) {
  const options = { help: { type: 'boolean', short: 'h' } };
  for (const [name, { value }] of Object.entries(flags)) {
    const variable = `QUEUE_DEMO_${name.toUpperCase().replaceAll('-', '_')}`;
    options[name] = { type: 'string', default: process.env[variable] || value };
  }
  try {
    const { values, positionals } = parseArgs({ options, allowPositionals: true });
    if (values.help) {
      const lines = Object.entries(flags).map(
        ([name, { value, help }]) => `  --${name.padEnd(12)} ${help}${value === '' ? '' : ` (default: ${value})`}`,
      );
      console.log(`usage: ${usage}\n${lines.join('\n')}`);
      process.exit(0);
    }
    if (positionals.length > most) throw new Error(`one argument too many: ${positionals[most]}`);
    return { ...values, positionals };
  } catch (error) {
    wrong(error.message);
  }
}

/** A whole number of a flag, within its bounds. */
export function numberOf(flags, name, min, max) {
  const number = Number(flags[name]);
  if (!Number.isInteger(number) || number < min || number > max)
    wrong(`--${name} has to be a whole number from ${min} to ${max}, not ${flags[name]}`);
  return number;
}

/** `200` or `500-1500`: ms. */
export function rangeOf(flags, name) {
  const found = /^(\d{1,8})(?:-(\d{1,8}))?$/.exec(flags[name]);
  const range = found === null ? null : [Number(found[1]), Number(found[2] ?? found[1])];
  if (range === null || range[1] < range[0])
    wrong(`--${name} has to be milliseconds (200) or a range of them (500-1500), not ${flags[name]}`);
  return range;
}

function wrong(message) {
  console.error(`${message}; --help lists the flags`);
  process.exit(2);
}
