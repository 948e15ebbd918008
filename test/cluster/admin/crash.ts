/**
 * One change of the admin API in a process that is killed before one of its steps. argv: kubeconfig, namespace, Gateway's name, what to do (`create`, `update`, `delete`), name,
 * and before which write (from 1) it kills itself; 0: never. Prints the steps that it came to.
 */
import { createClient } from '../../../src/kubernetes/api-client.ts';
import { loadClusterConfig } from '../../../src/kubernetes/cluster-config.ts';
import { ClusterTarget } from '../../../src/apis/admin/cluster/cluster-target.ts';
import { silentLogger, systemClock } from '../../../src/model/ports.ts';
import { specOf } from './spec.ts';

const [, , kubeconfig = '', namespace = '', gateway = '', action, name = '', killAt] = process.argv;
const config = await loadClusterConfig({ env: { KUBECONFIG: kubeconfig }, home: '/', clock: systemClock });
const client = createClient(config, { logger: silentLogger, clock: systemClock, random: Math.random });
let step = 0;
const target = new ClusterTarget({
  client,
  namespaces: [namespace],
  settings: { gateway: { namespace, name: gateway, sectionName: null }, scaleBy: 'dormouse' },
  check: () => [],
  clock: systemClock,
  logger: silentLogger,
  beforeStep: (what) => {
    step++;
    process.stdout.write(`${step} ${what}\n`);
    if (step === Number(killAt)) process.kill(process.pid, 'SIGKILL');
  },
});
const address = { name, namespace };
if (action === 'create') await target.create({ name, ...specOf(name) }, 'the-same-key');
else if (action === 'update')
  await target.update(address, (spec) => ({ ...spec, env: { NAME: 'changed' }, hosts: [`${name}.changed.example`] }));
else await target.remove(address);
await client.close();
