// Where the messages are. Both kinds of source are used in the same way:
//
//   push(texts)   appends messages, each { id, text }
//   take(signal)  the next message, first in first out: { id, text, done() }; waits for one; null when the signal has aborted meanwhile. Until
//                 done() has resolved the message is in flight: it belongs to this worker, and to another one when this worker is dead.
//   stats()       { depth, inFlight, taken, done, returned, repeated, late }, see docs/queue-demo.md
//   close()
export async function openSource({ connection, queue }, options = {}) {
  const scheme = URL.parse(connection)?.protocol;
  const { ListSource } = await import('./list-source.js');
  if (scheme === 'redis:' || scheme === 'rediss:') return ListSource.open(connection, queue, options);
  console.error(`--connection has to be redis://host:port, not ${connection}`);
  process.exit(2);
}
