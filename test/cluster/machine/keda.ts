/** KEDA from its own manifests, with images of our own build and certificates of the cluster's authority instead of rotated ones. */
import { existsSync, mkdirSync, readFileSync, renameSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { parseAllDocuments } from 'yaml';
import { applyObjects, kubectl, openAuthority } from './control-plane.ts';
import { KEDA_IMAGES } from './images.ts';
import { CACHE_FOLDER, CLUSTER_DOMAIN } from './places.ts';
import { moduleFiles, program, programsFolder } from './programs.ts';
import { run } from './run.ts';

export const KEDA_NAMESPACE = 'keda';
export const KEDA_DEPLOYMENTS = ['keda-operator', 'keda-metrics-apiserver', 'keda-admission'] as const;

const CERTIFICATE_SECRET = 'kedaorg-certs';
const HOSTS = ['keda-operator', 'keda-metrics-apiserver', 'keda-admission-webhooks'].flatMap((name) =>
  ['', `.${KEDA_NAMESPACE}`, `.${KEDA_NAMESPACE}.svc`, `.${KEDA_NAMESPACE}.svc.${CLUSTER_DOMAIN}`].map(
    (end) => name + end,
  ),
);

interface KubernetesObject {
  kind: string;
  metadata: { name: string };
  spec?: Record<string, unknown>;
  webhooks?: { clientConfig: { caBundle?: string } }[];
}

interface Container {
  image: string;
  imagePullPolicy: string;
  args: string[];
  resources?: unknown;
  livenessProbe?: Record<string, unknown>;
  readinessProbe?: Record<string, unknown>;
}

/** Applies everything; the pods become ready later. Its images must be loaded. */
export async function installKeda(): Promise<void> {
  const objects = await kedaObjects();
  const crds = objects.filter(({ kind }) => kind === 'CustomResourceDefinition');
  const first = objects.filter(({ kind }) => kind === 'Namespace');
  const rest = objects.filter((object) => !crds.includes(object) && !first.includes(object));
  await applyObjects([...crds, ...first]);
  await applyObjects([...(await certificateSecret()), ...rest]);
}

/** Resolves when its operator, metrics server and webhooks answer. */
export async function untilKedaReady(timeoutMs = 120_000): Promise<void> {
  const limit = `--timeout=${Math.ceil(timeoutMs / 1000)}s`;
  const deployments = KEDA_DEPLOYMENTS.map((name) => `deployment/${name}`);
  await kubectl(
    ['-n', KEDA_NAMESPACE, 'wait', '--for=condition=Available', limit, ...deployments],
    undefined,
    timeoutMs,
  );
  const service = 'apiservice/v1beta1.external.metrics.k8s.io';
  await kubectl(['wait', '--for=condition=Available', limit, service], undefined, timeoutMs);
}

async function kedaObjects(): Promise<KubernetesObject[]> {
  const authority = (await openAuthority()).files.certificate;
  const bundle = readFileSync(authority).toString('base64');
  const objects = parseAllDocuments(readFileSync(await manifests(), 'utf8')).map(
    (document) => document.toJS() as KubernetesObject,
  );
  for (const object of objects) {
    if (object.kind === 'Deployment') object.spec = ourDeployment(object.spec!);
    if (object.kind === 'APIService') object.spec!['caBundle'] = bundle;
    for (const webhook of object.webhooks ?? []) webhook.clientConfig.caBundle = bundle;
  }
  return objects;
}

/** What kustomize makes of the module's config/default; kept, since that takes a second. */
async function manifests(): Promise<string> {
  const file = join(CACHE_FOLDER, `${programsFolder('keda').split('/').at(-1)}.yaml`);
  if (existsSync(file)) return file;
  const folder = join(await moduleFiles('keda', 'github.com/kedacore/keda/v2'), 'config/default');
  const text = await run([program('kubectl'), 'kustomize', folder]);
  mkdirSync(CACHE_FOLDER, { recursive: true });
  writeFileSync(`${file}.${process.pid}`, text);
  renameSync(`${file}.${process.pid}`, file);
  return file;
}

/** Only what a machine without a registry needs, and what lets it start at once: KEDA's probes wait for 20 s before they ask. */
function ourDeployment(spec: Record<string, unknown>): Record<string, unknown> {
  const { template } = spec as { template: { spec: { containers: Container[] } } };
  for (const container of template.spec.containers) {
    const name = /([^/:]+)(?::[^/]*)?$/.exec(container.image)?.[1] ?? '';
    if (!(name in KEDA_IMAGES))
      throw new Error(`KEDA's manifests name an image that is not built here: ${container.image}`);
    container.image = KEDA_IMAGES[name as keyof typeof KEDA_IMAGES];
    container.imagePullPolicy = 'Never';
    container.args = container.args.map((arg) =>
      arg.startsWith('--enable-cert-rotation') ? `${arg.split('=')[0]}=false` : arg,
    );
    delete container.resources;
    for (const probe of [container.livenessProbe, container.readinessProbe]) delete probe?.['initialDelaySeconds'];
    if (container.readinessProbe) container.readinessProbe['periodSeconds'] = 1;
    if (container.livenessProbe) container.livenessProbe['failureThreshold'] = 10;
  }
  return spec;
}

async function certificateSecret(): Promise<object[]> {
  const authority = await openAuthority();
  const pair = await authority.issue({ name: 'keda', commonName: `keda-operator.${KEDA_NAMESPACE}.svc`, hosts: HOSTS });
  const encoded = (file: string): string => readFileSync(file).toString('base64');
  return [
    {
      apiVersion: 'v1',
      kind: 'Secret',
      metadata: { name: CERTIFICATE_SECRET, namespace: KEDA_NAMESPACE },
      data: {
        'ca.crt': encoded(authority.files.certificate),
        'tls.crt': encoded(pair.certificate),
        'tls.key': encoded(pair.key),
      },
    },
  ];
}
