/** The queue demo of a cluster: its manifests (examples/queue-demo/kubernetes), where they go, and a client. */
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { readYaml } from '../../config/read-yaml.ts';
import { createClient, type ApiClient } from '../../kubernetes/api-client.ts';
import type { KubernetesObject, Resource } from '../../kubernetes/client.ts';
import { DormouseError } from '../../model/errors.ts';
import { silentLogger, systemClock } from '../../model/ports.ts';
import { clusterAccess } from '../cluster-access.ts';
import type { CommandContext, CommandOptions } from '../command.ts';
import { packageVersion } from '../package-version.ts';
import { SOURCES, type SourceKind } from './demo-state.ts';
import { QUEUE_DEMO, loadOf } from './programs.ts';

export const PART_OF = 'app.kubernetes.io/part-of';
export const DEMO = 'dormouse-queue-demo';
const STANDARD_NAMESPACE = 'queue-demo';
const FILES: Readonly<Record<SourceKind, string>> = {
  list: 'list.yaml',
  stream: 'stream.yaml',
  cron: 'schedule.yaml',
};
/** The images that the manifests name, which options replace. */
const OWN_IMAGE = /^dormouse:/;
const MANIFEST_NAMESPACE = 'queue-demo';
const SCALERS = ['dormouse', 'hpa', 'keda'];
const DNS_LABEL = /^[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?$/;

export interface DemoCluster extends AsyncDisposable {
  client: ApiClient;
  namespace: string;
  /** Aborted by Ctrl-C. */
  signal: AbortSignal;
}

/** Throws DORMOUSE_USAGE, and what clusterAccess throws. */
export async function openCluster(context: CommandContext, options: CommandOptions): Promise<DemoCluster> {
  const namespace = typeof options.namespace === 'string' ? options.namespace : STANDARD_NAMESPACE;
  if (!DNS_LABEL.test(namespace)) throw usage(`--namespace: "${namespace}" is no name of a namespace`);
  const config = await clusterAccess(context, options);
  const client = createClient(config, {
    logger: silentLogger,
    clock: systemClock,
    random: Math.random,
    userAgent: 'dormouse-queue-demo',
  });
  return { client, namespace, signal: context.interrupted(), [Symbol.asyncDispose]: () => client.close() };
}

export interface Placing {
  namespace: string;
  source: SourceKind;
  /** --image, --server-image, --by. */
  options: CommandOptions;
}

/** The objects of the demo, in the order in which they are to be made. Throws DORMOUSE_USAGE. */
export function demoObjects({ namespace, source, options }: Placing): KubernetesObject[] {
  const list = manifest(FILES[source]) as { items: KubernetesObject[] };
  const by = options.by ?? 'dormouse';
  if (typeof by !== 'string' || !SCALERS.includes(by))
    throw usage(`--by has to be ${SCALERS.join(', ')}, not "${String(by)}"`);
  const { work, perWorker } = loadOf(options);
  return list.items.map((item) => {
    const object = placed(item, namespace, options) as KubernetesObject & { spec: { scale: Record<string, unknown> } };
    if (object.kind === 'Backend' && by !== 'dormouse') object.spec.scale.by = by;
    return withLoad(object, work, perWorker) as KubernetesObject;
  });
}

/** A copy with another length of work and another number of messages for a worker. */
function withLoad(value: unknown, work: string, perWorker: number | null): unknown {
  if (Array.isArray(value)) return value.map((item) => withLoad(item, work, perWorker));
  if (typeof value !== 'object' || value === null) return value;
  const copy = Object.fromEntries(Object.entries(value).map(([key, item]) => [key, withLoad(item, work, perWorker)]));
  if (work !== '' && copy.name === 'QUEUE_DEMO_WORK') copy.value = work;
  for (const key of ['listLength', 'lagThreshold']) if (perWorker !== null && key in copy) copy[key] = perWorker;
  return copy;
}

/** A Job that appends messages. */
export function producerJob(namespace: string, options: CommandOptions, args: string[], connection: string): object {
  const job = placed(manifest('producer.yaml'), namespace, options) as {
    spec: { template: { spec: { containers: { args: string[]; env: { name: string; value: string }[] }[] } } };
  };
  const container = job.spec.template.spec.containers[0]!;
  container.args = args;
  container.env = [{ name: 'QUEUE_DEMO_CONNECTION', value: connection }];
  return job;
}

function manifest(file: string): unknown {
  const read = readYaml(readFileSync(join(QUEUE_DEMO, 'kubernetes', file), 'utf8'));
  if ('problems' in read) throw new Error(`${file}: ${read.problems[0]?.message}`);
  return read.data;
}

/** A copy in this namespace, with these images. */
function placed(value: unknown, namespace: string, options: CommandOptions): unknown {
  const own = typeof options.image === 'string' ? options.image : `dormouse:${packageVersion()}`;
  const server = typeof options.serverImage === 'string' ? options.serverImage : null;
  const copy = (part: unknown, key: string): unknown => {
    if (Array.isArray(part)) return part.map((item) => copy(item, ''));
    if (typeof part === 'object' && part !== null)
      return Object.fromEntries(Object.entries(part).map(([name, item]) => [name, copy(item, name)]));
    if (typeof part !== 'string') return part;
    if (key === 'image') return OWN_IMAGE.test(part) ? own : (server ?? part);
    if (key === 'namespace') return namespace;
    return part.replace(`.${MANIFEST_NAMESPACE}.svc`, `.${namespace}.svc`);
  };
  const result = copy(value, '') as { kind?: string; metadata?: { name?: string } };
  if (result.kind === 'Namespace' && result.metadata !== undefined) result.metadata.name = namespace;
  return result;
}

/** Where the cluster keeps this kind. Throws DORMOUSE_DEMO_KIND for one that it doesn't have. */
export async function resourceOf({ client, signal }: DemoCluster, object: KubernetesObject): Promise<Resource> {
  const { apiVersion, kind } = object;
  const resource = await client.resourceOf(apiVersion, kind, signal);
  if (resource !== null) return resource;
  const next =
    kind === 'Backend'
      ? 'install dormouse there first: dormouse install | kubectl apply --server-side -f -'
      : 'see which version it has';
  throw new DormouseError('DORMOUSE_DEMO_KIND', `the cluster has no kind ${kind} (${apiVersion}): ${next}`, {
    userFault: true,
  });
}

export function sourceOf({ source = 'list' }: CommandOptions): SourceKind {
  const found = SOURCES.find((one) => one === source);
  if (found !== undefined) return found;
  throw usage(`--source has to be ${SOURCES.join(', ')}, not "${String(source)}"`);
}

function usage(text: string): DormouseError {
  return new DormouseError('DORMOUSE_USAGE', text, { userFault: true });
}
