// Where the messages are. Both kinds of source are used in the same way:
//
//   push(texts)   appends messages, each { id, text }
//   take(signal)  the next message, first in first out: { id, text, done() }; waits for one; null when the signal has aborted meanwhile. Until
//                 done() has resolved the message is in flight: it belongs to this worker, and to another one when this worker is dead.
//   stats()       { depth, inFlight, taken, done, returned, repeated, late }, see docs/queue-demo.md
//   close()
const list = async (...all) => (await import('./list-source.js')).ListSource.open(...all);
const stream = async (...all) => (await import('./stream-source.js')).StreamSource.open(...all);
const KINDS = { 'redis:': list, 'rediss:': list, 'nats:': stream };

export async function openSource({ connection, queue }, options = {}) {
  const url = URL.parse(connection);
  const open = url === null ? undefined : KINDS[url.protocol];
  if (open === undefined) {
    console.error('--connection has to be redis://host:port or nats://host:port');
    process.exit(2);
  }
  try {
    return await open(connection, queue, options);
  } catch (error) {
    // Without user and password.
    console.error(`no queue at ${url.protocol}//${url.host}: ${error.message || error.code}`);
    process.exit(1);
  }
}
