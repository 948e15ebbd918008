// Appends messages to the queue: producer.js --count 200, or producer.js --count 3 "a text of my own".
import { randomBytes } from 'node:crypto';
import { setTimeout as delay } from 'node:timers/promises';
import { QUEUE_FLAGS, numberOf, readFlags } from './flags.js';
import { openSource } from './source.js';

const flags = readFlags(
  'producer.js [flags] [message]',
  {
    ...QUEUE_FLAGS,
    prefix: { value: 'demo', help: 'what the ids of the messages begin with: PREFIX-BATCH-NUMBER' },
    count: { value: '100', help: 'how many' },
    delay: { value: '0', help: 'ms between one and the next' },
  },
  1,
);
const count = numberOf(flags, 'count', 1, 1_000_000);
const delayMs = numberOf(flags, 'delay', 0, 3_600_000);
const batch = randomBytes(4).toString('hex');
const idOf = (number) => `${flags.prefix}-${batch}-${number}`;
const messageOf = (number) => ({ id: idOf(number), text: flags.positionals[0] ?? idOf(number) });

const source = await openSource(flags, { stays: false });
const AT_ONCE = 10_000;
for (let from = 1; from <= count;) {
  const size = delayMs > 0 ? 1 : Math.min(AT_ONCE, count - from + 1);
  await source.push(Array.from({ length: size }, (_, index) => messageOf(from + index)));
  from += size;
  if (delayMs > 0 && from <= count) await delay(delayMs);
}
console.log(
  `${count} ${count === 1 ? 'message' : 'messages'} appended to ${flags.queue}: ${idOf(1)}${count > 1 ? ` to ${idOf(count)}` : ''}`,
);
await source.close();
