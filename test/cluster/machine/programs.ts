/**
 * The Go programs of the cluster, built once from the modules that go/*\/go.mod and go.sum pin, into the cache. A folder's name holds the hash of what decides
 * about its content, so a changed version is built beside the old one.
 */
import { createHash } from 'node:crypto';
import { existsSync, mkdirSync, readFileSync, readdirSync, renameSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { findProgram } from '../../../bench/packages.ts';
import { CACHE_FOLDER } from './places.ts';
import { run } from './run.ts';

interface GoModule {
  folder: string;
  /** File in the cache -> package. */
  programs: Readonly<Record<string, string>>;
  /** File in the cache -> package whose tests are the program. */
  tests?: Readonly<Record<string, string>>;
  linkerFlags?: string;
}

const KUBERNETES_VERSION = '1.34.4';
const VERSION_VARIABLES = [`gitVersion=v${KUBERNETES_VERSION}`, 'gitMajor=1', 'gitMinor=34', 'gitTreeState=clean'];

/** In the order in which they are wanted. */
const MODULES = {
  etcd: { folder: 'etcd', programs: { etcd: 'go.etcd.io/etcd/server/v3' } },
  kubernetes: {
    folder: 'kubernetes',
    programs: Object.fromEntries(
      ['kube-apiserver', 'kube-controller-manager', 'kube-scheduler', 'kubelet', 'kube-proxy', 'kubectl'].map(
        (name) => [name, `k8s.io/kubernetes/cmd/${name}`],
      ),
    ),
    linkerFlags: VERSION_VARIABLES.map((variable) => `-X k8s.io/component-base/version.${variable}`).join(' '),
  },
  pause: { folder: 'pause', programs: { pause: 'dormouse.test/cluster/pause' } },
  coredns: { folder: 'coredns', programs: { coredns: 'github.com/coredns/coredns' } },
  keda: {
    folder: 'keda',
    programs: {
      keda: 'github.com/kedacore/keda/v2/cmd/operator',
      'keda-adapter': 'github.com/kedacore/keda/v2/cmd/adapter',
      'keda-admission-webhooks': 'github.com/kedacore/keda/v2/cmd/webhooks',
    },
  },
  helm: { folder: 'helm', programs: { helm: 'helm.sh/helm/v3/cmd/helm' } },
  'gateway-conformance': {
    folder: 'gateway-conformance',
    programs: { 'echo-basic': 'sigs.k8s.io/gateway-api/conformance/echo-basic' },
    tests: { 'gateway-conformance': 'sigs.k8s.io/gateway-api/conformance' },
  },
} satisfies Record<string, GoModule>;

export type ModuleName = keyof typeof MODULES;
export const MODULE_NAMES = Object.keys(MODULES) as ModuleName[];

const BUILD_TIMEOUT_MS = 40 * 60_000;

const pathOf = (module: GoModule): string => join(import.meta.dirname, 'go', module.folder);

/** Where the programs of a module are or will be. */
export function programsFolder(name: ModuleName): string {
  const module: GoModule = MODULES[name];
  const hash = createHash('sha256').update(JSON.stringify(module));
  for (const file of readdirSync(pathOf(module)).toSorted())
    hash.update(file).update(readFileSync(join(pathOf(module), file)));
  return join(CACHE_FOLDER, `${name}-${hash.digest('hex').slice(0, 12)}`);
}

export function isBuilt(name: ModuleName): boolean {
  return existsSync(programsFolder(name));
}

/** The path of one program; `ensureBuilt` must have been there before. */
export function program(name: string): string {
  const found = MODULE_NAMES.find((key) => {
    const { programs, tests = {} }: GoModule = MODULES[key];
    return name in programs || name in tests;
  });
  if (found === undefined) throw new Error(`none of the modules in ${join(import.meta.dirname, 'go')} makes ${name}`);
  return join(programsFolder(found), name);
}

/** Builds what is not in the cache, one module after the other, each with all cores. Kubernetes and KEDA take about five minutes each on two cores. */
export async function ensureBuilt(names: readonly ModuleName[]): Promise<void> {
  for (const name of names) {
    if (isBuilt(name)) continue;
    const startedAt = performance.now();
    console.error(`building ${name} (once; Kubernetes and KEDA take minutes)`);
    await build(name);
    console.error(`built ${name} in ${((performance.now() - startedAt) / 1000).toFixed(0)} s`);
  }
}

async function build(name: ModuleName): Promise<void> {
  const module: GoModule = MODULES[name];
  const target = programsFolder(name);
  const temporary = `${target}.building-${process.pid}`;
  mkdirSync(temporary, { recursive: true });
  try {
    // One call for all packages of a module compiles what they share once; programs that are to be named otherwise are renamed afterwards.
    const flags = ['-trimpath', '-ldflags', `-s -w ${module.linkerFlags ?? ''}`.trim()];
    const options = {
      cwd: pathOf(module),
      env: { CGO_ENABLED: '0', GOFLAGS: '-mod=readonly -buildvcs=false' },
      timeoutMs: BUILD_TIMEOUT_MS,
    };
    await run([goProgram(), 'build', ...flags, '-o', `${temporary}/`, ...Object.values(module.programs)], options);
    for (const [file, path] of Object.entries(module.tests ?? {}))
      await run([goProgram(), 'test', '-c', ...flags, '-o', join(temporary, file), path], options);
    for (const [file, path] of Object.entries(module.programs)) {
      const built = join(temporary, builtName(path));
      if (built !== join(temporary, file)) renameSync(built, join(temporary, file));
    }
    renameSync(temporary, target);
  } finally {
    rmSync(temporary, { recursive: true, force: true });
  }
}

/** `go build` names a program after its path's last part that is not a major version. */
function builtName(path: string): string {
  return path.split('/').findLast((part) => !/^v\d+$/.test(part)) ?? path;
}

/** The folder of a module's files (manifests, CRDs) in Go's module cache; fetched when it is not there. */
export async function moduleFiles(
  folder: 'keda' | 'gateway-api' | 'gateway-conformance',
  path: string,
): Promise<string> {
  const cwd = join(import.meta.dirname, 'go', folder);
  const list = [goProgram(), 'mod', 'download', '-json', path];
  const { Dir } = JSON.parse(await run(list, { cwd, timeoutMs: BUILD_TIMEOUT_MS })) as { Dir: string };
  return Dir;
}

function goProgram(): string {
  const found = findProgram('go', `/usr/local/go/bin:${process.env['PATH'] ?? ''}`);
  if (found === null)
    throw new Error('go is missing: install Go 1.26 or newer below /usr/local/go or on the PATH (https://go.dev/dl/)');
  return found;
}
