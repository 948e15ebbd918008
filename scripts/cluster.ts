/**
 * `npm run cluster -- COMMAND`: a real Kubernetes on this machine, for tests (docs/test-cluster.md).
 *
 *   up [--nodes N] [--proxy-mode nftables|iptables] [--no-keda] [--no-gateway-api] [--control-plane-only]
 *   down
 *   status
 *   kubeconfig                    prints the path of the administrator's
 *   kubectl -- ARGUMENT…          the kubectl that was built for it, as the administrator
 *   load-image FILE.tar NAME      into all nodes, under this name
 *   load-image app|dormouse       builds the test application's image, or Dormouse's from this checkout, and loads it
 *   build [MODULE…]               only the programs, into the cache
 *   logs PART                     the end of a process' log: kube-apiserver, kubelet-1, containerd-1 …
 */
import { spawnSync } from 'node:child_process';
import { existsSync } from 'node:fs';
import { parseArgs } from 'node:util';
import { takeDown } from '../test/cluster/machine/down.ts';
import { loadImage } from '../test/cluster/machine/image.ts';
import { buildAppImage, buildDormouseImage } from '../test/cluster/machine/images.ts';
import { ADMIN_KUBECONFIG } from '../test/cluster/machine/places.ts';
import { ensureBuilt, MODULE_NAMES, program, type ModuleName } from '../test/cluster/machine/programs.ts';
import { readState, withLock } from '../test/cluster/machine/state.ts';
import { statusText } from '../test/cluster/machine/status.ts';
import { bringUp, type UpOptions } from '../test/cluster/machine/up.ts';

class UsageError extends Error {}

const LOG_LINES = '200';

async function main(): Promise<number> {
  const { values, positionals } = parseArgs({
    allowPositionals: true,
    allowNegative: true,
    options: {
      nodes: { type: 'string' },
      'proxy-mode': { type: 'string' },
      keda: { type: 'boolean' },
      'gateway-api': { type: 'boolean' },
      'control-plane-only': { type: 'boolean' },
    },
  });
  const [command, ...rest] = positionals;
  switch (command) {
    case 'up':
      return up(wantedBy(values));
    case 'down':
      await withLock(takeDown);
      console.log('down');
      return 0;
    case 'status': {
      const { text, healthy } = await statusText();
      console.log(text);
      return healthy ? 0 : 1;
    }
    case 'kubeconfig':
      needsCluster();
      console.log(ADMIN_KUBECONFIG);
      return 0;
    case 'kubectl':
      needsCluster();
      return (
        spawnSync(program('kubectl'), [`--kubeconfig=${ADMIN_KUBECONFIG}`, ...rest], { stdio: 'inherit' }).status ?? 1
      );
    case 'load-image':
      return load(rest);
    case 'build':
      await ensureBuilt(rest.length === 0 ? MODULE_NAMES : rest.map(moduleName));
      return 0;
    case 'logs':
      return logs(rest);
    default:
      throw new UsageError(
        'usage: npm run cluster -- up|down|status|kubeconfig|kubectl|load-image|build|logs (docs/test-cluster.md)',
      );
  }
}

interface Flags {
  nodes?: string | undefined;
  'proxy-mode'?: string | undefined;
  keda?: boolean | undefined;
  'gateway-api'?: boolean | undefined;
  'control-plane-only'?: boolean | undefined;
}

function wantedBy(flags: Flags): Partial<UpOptions> {
  const mode = flags['proxy-mode'];
  if (mode !== undefined && mode !== 'nftables' && mode !== 'iptables')
    throw new UsageError(`--proxy-mode is nftables or iptables, not '${mode}'`);
  if (flags.nodes !== undefined && !/^[1-4]$/.test(flags.nodes))
    throw new UsageError(`--nodes is a number from 1 to 4, not '${flags.nodes}'`);
  return {
    ...(flags.nodes === undefined ? {} : { nodes: Number(flags.nodes) }),
    ...(mode === undefined ? {} : { proxyMode: mode }),
    ...(flags.keda === undefined ? {} : { keda: flags.keda }),
    ...(flags['gateway-api'] === undefined ? {} : { gatewayApi: flags['gateway-api'] }),
    ...(flags['control-plane-only'] ? { nodes: 0, keda: false } : {}),
  };
}

async function up(wanted: Partial<UpOptions>): Promise<number> {
  const { steps, seconds } = await bringUp(wanted);
  const what = steps.length === 0 ? 'is up already' : `is up (${steps.join(', ')})`;
  console.log(`the cluster ${what}, ${seconds.toFixed(1)} s\nexport KUBECONFIG=${ADMIN_KUBECONFIG}`);
  return 0;
}

async function load([file, name]: string[]): Promise<number> {
  needsCluster();
  if (file === 'app') await loadImage(await buildAppImage());
  else if (file === 'dormouse') await loadImage(await buildDormouseImage());
  else if (file === undefined || name === undefined)
    throw new UsageError('usage: npm run cluster -- load-image FILE.tar NAME, or load-image app|dormouse');
  else if (!existsSync(file)) throw new UsageError(`there is no file ${file}`);
  else await loadImage({ archive: file, name });
  return 0;
}

function logs([part]: string[]): number {
  const processes = needsCluster().processes;
  const record = processes[part ?? ''];
  if (record === undefined) throw new UsageError(`logs of which part? ${Object.keys(processes).join(', ')}`);
  return spawnSync('tail', ['-n', LOG_LINES, record.logFile], { stdio: 'inherit' }).status ?? 1;
}

function needsCluster() {
  const state = readState();
  if (state === null) throw new UsageError("no cluster is up: 'npm run cluster -- up' first");
  return state;
}

function moduleName(name: string): ModuleName {
  const found = MODULE_NAMES.find((known) => known === name);
  if (found === undefined) throw new UsageError(`build which of ${MODULE_NAMES.join(', ')}? Not '${name}'`);
  return found;
}

try {
  process.exitCode = await main();
} catch (error) {
  const isUsers = error instanceof UsageError || (error as { code?: string }).code?.startsWith('ERR_PARSE_ARGS');
  console.error(error instanceof Error ? error.message : String(error));
  if (error instanceof Error && error.cause instanceof Error) console.error(error.cause.message);
  process.exitCode = isUsers ? 2 : 1;
}
