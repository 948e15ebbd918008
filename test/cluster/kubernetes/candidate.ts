/** A candidate of leader-election.test.ts in a process of its own. Prints `leads` and `ended`. Arguments: kubeconfig, namespace, name of the Lease, identity. */
import { createClient } from '../../../src/kubernetes/api-client.ts';
import { LeaderElection } from '../../../src/kubernetes/leader-election.ts';
import { silentLogger, systemClock } from '../../../src/model/ports.ts';
import { clusterConfig } from './connect.ts';

const [kubeconfig = '', namespace = '', name = '', identity = ''] = process.argv.slice(2);
const logger = silentLogger;
const client = createClient(await clusterConfig(kubeconfig), { logger, clock: systemClock, random: Math.random });
const stop = new AbortController();
process.once('SIGTERM', () => stop.abort(new Error('stopping')));
const election = new LeaderElection({
  client,
  lock: { namespace, name },
  identity,
  logger,
  clock: systemClock,
  random: Math.random,
  started: async (signal) => {
    process.stdout.write('leads\n');
    if (!signal.aborted) await new Promise((resolve) => signal.addEventListener('abort', resolve, { once: true }));
  },
  stopped: () => process.stdout.write('ended\n'),
});
election.start(stop.signal);
await election.finished();
await client.close();
