/**
 * `npm run cluster -- up|down|status|kubeconfig|load-image FILE.tar NAME|logs PART`: a real Kubernetes on this machine, for tests (docs/test-cluster.md).
 */
import { parseArgs } from 'node:util';
import { takeDown } from '../test/cluster/machine/down.ts';
import { bringUp, type UpOptions } from '../test/cluster/machine/up.ts';

async function main(): Promise<number> {
  const { values, positionals } = parseArgs({
    allowPositionals: true,
    options: {
      nodes: { type: 'string' },
      'proxy-mode': { type: 'string' },
      keda: { type: 'boolean' },
      'no-keda': { type: 'boolean' },
      'gateway-api': { type: 'boolean' },
      'control-plane-only': { type: 'boolean' },
    },
  });
  const [command] = positionals;
  if (command === 'up') {
    const wanted: Partial<UpOptions> = {};
    if (values['control-plane-only']) Object.assign(wanted, { nodes: 0, keda: false });
    const { steps, seconds } = await bringUp(wanted);
    console.log(steps, seconds);
    return 0;
  }
  if (command === 'down') {
    await takeDown();
    return 0;
  }
  return 2;
}

process.exitCode = await main();
