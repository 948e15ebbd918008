/**
 * `npm run test:gateway-conformance [-- OPTION-OF-THE-SUITE…]`: the Gateway API's own conformance suite against the gateways of this checkout, as its profiles GATEWAY-HTTP and
 * GATEWAY-GRPC have it, with the extended features that GatewayClass.status names. Exit code 0: every test has passed but those that are known not to. Its images can't be
 * fetched here: its echo server and CoreDNS are built from their Go modules and loaded under the names that its manifests have.
 *
 * `-- -run-test HTTPRouteWeight` runs one test alone.
 */
import { existsSync, mkdtempSync, readFileSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { parse } from 'yaml';
import { SUPPORTED_FEATURES } from '../../../../src/operator/gateway-api/supported-features.ts';
import { installDormouse } from '../../fixtures/installation.ts';
import { takeDown } from '../../machine/down.ts';
import { buildConformanceImages } from '../../machine/images.ts';
import { ensureCluster, loadImage, until, type Cluster } from '../../machine/index.ts';
import { ensureBuilt, moduleFiles, program } from '../../machine/programs.ts';
import { runToEnd } from '../../machine/run.ts';
import { withLock } from '../../machine/state.ts';
import { bringUp } from '../../machine/up.ts';

const PROFILES = 'GATEWAY-HTTP,GATEWAY-GRPC';
/** What belongs to other profiles: their tests want a port for TLS that other Gateways of the suite have for HTTPS, and every Gateway here has the same address. */
const OTHER_PROFILES: ReadonlySet<string> = new Set(['TLSRoute', 'TCPRoute']);
/** Tests that can't pass, and why. */
const KNOWN: ReadonlyMap<string, string> = new Map([
  [
    'HTTPRouteMultipleGateways',
    'two Gateways with the same port and no hostnames need an address each; here all have the same',
  ],
]);
/** Seconds. Changes are in force within one: nothing is gained by waiting for minutes for what will not come. */
const TIMEOUTS = 'GatewayMustHaveCondition:30;HTTPRouteMustHaveCondition:20;GatewayListenersMustHaveConditions:20';
const NAMESPACES = ['gateway-conformance-infra', 'gateway-conformance-app-backend', 'gateway-conformance-web-backend'];
const RUN_MS = 40 * 60_000;
/** Ports of listeners in the suite besides 80 and 443. */
const PORTS = [8080, 8081, 8090, 8443, 8883];

async function main(args: readonly string[]): Promise<number> {
  const { steps } = await bringUp({});
  const cluster = await ensureCluster();
  try {
    await prepare(cluster);
    return await runSuite(cluster, args);
  } finally {
    if (steps.includes('control plane')) await withLock(takeDown);
    else await cluster.kubectl(['delete', 'namespaces', '--ignore-not-found', '--wait=false', ...NAMESPACES]);
  }
}

async function prepare(cluster: Cluster): Promise<void> {
  await ensureBuilt(['gateway-conformance']);
  const folder = await moduleFiles('gateway-conformance', 'sigs.k8s.io/gateway-api/conformance');
  const names = (text: string): string[] => Array.from(text.matchAll(/^\s*image: (\S+)$/gm), (match) => match[1]!);
  const wanted = [...new Set(names(readFileSync(join(folder, 'base/manifests.yaml'), 'utf8')))];
  for (const image of await buildConformanceImages(wanted)) await loadImage(image);
  // Rights to read Secrets are given in namespaces that are there.
  await until(
    'namespaces of an earlier run are gone',
    async () => {
      const { stdout } = await cluster.kubectl(['get', 'namespaces', '-o', 'name']);
      return NAMESPACES.every((name) => !stdout.includes(name));
    },
    { timeoutMs: 120_000, everyMs: 500 },
  );
  await cluster.apply(NAMESPACES.map((name) => ({ apiVersion: 'v1', kind: 'Namespace', metadata: { name } })));
  await installDormouse(cluster, {
    values: {
      gatewayApi: { secretNamespaces: NAMESPACES },
      gateway: { service: { extraPorts: PORTS.map((port) => ({ name: `port-${port}`, port })) } },
    },
  });
}

/** Gateways of all Gateways are the same here, so tests that run beside each other would see each other's routes: one after the other. */
async function runSuite(cluster: Cluster, args: readonly string[]): Promise<number> {
  const folder = mkdtempSync(join(tmpdir(), 'dormouse-conformance-'));
  const log = join(folder, 'log.txt');
  const report = join(folder, 'report.yaml');
  const command = [
    program('gateway-conformance'),
    ...['-test.run', '^TestConformance$', '-test.timeout', `${RUN_MS / 1000}s`, '-test.v'],
    ...['-gateway-class', 'dormouse', '-conformance-profiles', PROFILES],
    ...['-supported-features', SUPPORTED_FEATURES.filter((feature) => !OTHER_PROFILES.has(feature)).join(',')],
    ...['-disable-parallel-tests', '-timeout-config-overrides', TIMEOUTS],
    ...['-cleanup-base-resources=false', '-report-output', report, '-organization', 'dormouse', '-project', 'dormouse'],
    ...['-url', 'https://dormouse.dev', '-version', 'v0.1.0', '-contact', 'https://dormouse.dev'],
    ...args,
  ];
  const startedAtMs = performance.now();
  console.log(`The suite's own output: ${log}`);
  const { stdout, stderr } = await runToEnd(command, {
    env: { KUBECONFIG: cluster.kubeconfigPath },
    timeoutMs: RUN_MS + 60_000,
  });
  writeFileSync(log, stdout + stderr);
  if (!existsSync(report)) {
    console.error(`The suite did not come to its end:\n${(stderr || stdout).slice(-2000)}`);
    return 1;
  }
  console.log(`${((performance.now() - startedAtMs) / 1000).toFixed(0)} s; report: ${report}`);
  return summarize(parse(readFileSync(report, 'utf8')) as Report);
}

interface Report {
  gatewayAPIVersion: string;
  profiles: { name: string; core?: Outcome; extended?: Outcome }[];
}

interface Outcome {
  failedTests?: string[];
  statistics: { Passed: number; Failed: number; Skipped: number };
}

/** 0: nothing failed but what is known to. */
function summarize({ gatewayAPIVersion, profiles }: Report): number {
  const failed = new Set<string>();
  for (const { name, ...parts } of profiles) {
    for (const part of ['core', 'extended'] as const) {
      const outcome = parts[part];
      if (outcome === undefined) continue;
      const { Passed, Failed, Skipped } = outcome.statistics;
      const names = outcome.failedTests ?? [];
      for (const one of names) failed.add(one);
      console.log(
        `${gatewayAPIVersion} ${name} ${part}: ${Passed} passed, ${Failed} failed, ${Skipped} skipped${names.length === 0 ? '' : ` (${names.join(', ')})`}`,
      );
    }
  }
  for (const name of failed) if (KNOWN.has(name)) console.log(`known: ${name}: ${KNOWN.get(name)}`);
  return [...failed].every((name) => KNOWN.has(name)) ? 0 : 1;
}

process.exitCode = await main(process.argv.slice(2));
