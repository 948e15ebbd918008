// Where the messages are. Both kinds of source are used in the same way:
//
//   push(texts)   appends messages, each { id, text }
//   take(signal)  the next message, first in first out: { id, text, done() }; waits for one; null when the signal has aborted meanwhile. Until
//                 done() has resolved the message is in flight: it belongs to this worker, and to another one when this worker is dead.
//   stats()       { depth, inFlight, taken, done, returned, repeated, late }, see docs/queue-demo.md
//   close()
export async function openSource({ connection, queue }, options = {}) {
  const url = URL.parse(connection);
  if (url?.protocol !== 'redis:' && url?.protocol !== 'rediss:') {
    console.error('--connection has to be redis://host:port');
    process.exit(2);
  }
  try {
    const { ListSource } = await import('./list-source.js');
    return await ListSource.open(connection, queue, options);
  } catch (error) {
    // Without user and password.
    console.error(`no queue at ${url.protocol}//${url.host}: ${error.message || error.code}`);
    process.exit(1);
  }
}
