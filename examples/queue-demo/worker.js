// Takes one message after the other, works on it (here: waits) and says that it is done. At SIGTERM it finishes the message that it has, and ends.
// With --batch it ends by itself after so many messages, or when there are none: a run of `scale.jobs`.
import { hostname } from 'node:os';
import { randomBytes } from 'node:crypto';
import { setTimeout as delay } from 'node:timers/promises';
import { QUEUE_FLAGS, numberOf, rangeOf, readFlags } from './flags.js';
import { openSource } from './source.js';

const flags = readFlags('worker.js [flags]', {
  ...QUEUE_FLAGS,
  work: { value: '500-1500', help: 'ms that a message takes, or from-to' },
  lease: { value: '10000', help: 'ms after which the messages of a silent worker go to others' },
  batch: { value: '0', help: 'end after so many messages; 0: go on until SIGTERM' },
  name: { value: '', help: 'its name, unlike every other worker' },
});
const [shortestMs, longestMs] = rangeOf(flags, 'work');
const leaseMs = numberOf(flags, 'lease', 300, 3_600_000);
const batch = numberOf(flags, 'batch', 0, 1_000_000);
const told = flags.name || `${process.env.INSTANCE ?? hostname()}-${randomBytes(3).toString('hex')}`;
const worker = told.replaceAll('|', '-');
const log = (text) => console.log(`${new Date().toISOString()} ${worker} ${text}`);

const ending = new AbortController();
process.on('SIGTERM', () => ending.abort());
process.on('SIGINT', () => ending.abort());

const source = await openSource(flags, { worker, leaseMs, log });
log(`waits for messages in ${flags.queue}`);
let finished = 0;
// A run that finds nothing has nothing to do.
const NOTHING_MS = 500;
while (!ending.signal.aborted && (batch === 0 || finished < batch)) {
  const patience = batch > 0 ? [AbortSignal.timeout(NOTHING_MS)] : [];
  const message = await source.take(AbortSignal.any([ending.signal, ...patience]));
  if (message === null) break;
  log(`works on ${message.id}`);
  await delay(shortestMs + Math.random() * (longestMs - shortestMs));
  const accepted = await message.done();
  finished++;
  log(accepted ? `did ${message.id}` : `did ${message.id}, which another one has been given meanwhile`);
}
await source.close();
log(`ends after ${finished} ${finished === 1 ? 'message' : 'messages'}`);
