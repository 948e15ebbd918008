/** The chart, rendered by a real helm, as objects. */
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { parseAllDocuments } from 'yaml';
import { ensureBuilt, program } from '../machine/programs.ts';
import { runToEnd, type RunResult } from '../machine/run.ts';

export const CHART = join(import.meta.dirname, '../../../charts/dormouse');
export const CRDS = join(CHART, 'crds');

export interface Rendered {
  apiVersion: string;
  kind: string;
  metadata: {
    name: string;
    namespace?: string;
    labels?: Record<string, string>;
    annotations?: Record<string, string>;
  };
  // oxlint-disable-next-line typescript/no-explicit-any -- whatever the kind has
  [key: string]: any;
}

const CLUSTER_SCOPED = /^(ClusterRole|ClusterRoleBinding|ValidatingAdmissionPolicy(Binding)?|GatewayClass)$/;

export async function helm(args: readonly string[], timeoutMs = 60_000): Promise<RunResult> {
  await ensureBuilt(['helm']);
  return runToEnd([program('helm'), ...args], { timeoutMs });
}

/** As helm makes it for a cluster of a version that the chart supports. Throws with what helm says. */
export async function render(
  namespace: string,
  values: object = {},
  { apiVersions = [] as readonly string[], hooks = false } = {},
): Promise<Rendered[]> {
  const { code, stdout, stderr } = await withValues(values, (file) =>
    helm([
      ...['template', 'dormouse', CHART, '--namespace', namespace, '--values', file, '--kube-version', '1.34.0'],
      ...(hooks ? [] : ['--no-hooks']),
      ...apiVersions.flatMap((version) => ['--api-versions', version]),
    ]),
  );
  if (code !== 0) throw new Error(stderr);
  return parse(stdout);
}

export async function withValues<T>(values: object, use: (file: string) => Promise<T>): Promise<T> {
  const folder = mkdtempSync(join(tmpdir(), 'dormouse-chart-'));
  try {
    const file = join(folder, 'values.json');
    writeFileSync(file, JSON.stringify(values));
    return await use(file);
  } finally {
    rmSync(folder, { recursive: true });
  }
}

/** With the version of YAML that Kubernetes reads. */
export function parse(text: string): Rendered[] {
  return parseAllDocuments(text, { version: '1.1' })
    .map((document) => document.toJS() as Rendered | null)
    .filter((object) => object !== null);
}

/**
 * The same, for a namespace of a test, beside an installation that may be there: objects of the cluster are renamed, and admission policies hold for
 * that namespace alone.
 */
export function apart(objects: readonly Rendered[], namespace: string): Rendered[] {
  const rename = (name: string): string => name.replace(/^dormouse/, namespace);
  return structuredClone(objects as Rendered[]).map((object) => {
    if (CLUSTER_SCOPED.test(object.kind)) object.metadata.name = rename(object.metadata.name);
    if (object['roleRef']?.kind === 'ClusterRole') object['roleRef'].name = rename(object['roleRef'].name);
    if (object.kind === 'ValidatingAdmissionPolicyBinding') {
      object['spec'].policyName = rename(object['spec'].policyName);
      object['spec'].matchResources = {
        namespaceSelector: { matchLabels: { 'kubernetes.io/metadata.name': namespace } },
      };
    }
    return object;
  });
}

export function isClusterScoped({ kind }: Rendered): boolean {
  return CLUSTER_SCOPED.test(kind);
}

export function find(objects: readonly Rendered[], kind: string, name: string): Rendered {
  const found = objects.find((object) => object.kind === kind && object.metadata.name === name);
  if (found === undefined) throw new Error(`the chart has no ${kind} ${name}`);
  return found;
}
