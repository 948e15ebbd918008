/**
 * `dormouse uninstall`: deletes every Backend of a cluster while its operator still runs, and waits until it has put back what it changed: Services, targets,
 * ScaledObjects. The chart's pre-delete job is this command. The installation itself is left to Helm or kubectl.
 */
import { Rejected, readDuration } from '../config/schema/scalars.ts';
import { createClient } from '../kubernetes/api-client.ts';
import { isReason } from '../kubernetes/api-error.ts';
import type { KubernetesClient } from '../kubernetes/client.ts';
import { DormouseError } from '../model/errors.ts';
import { silentLogger, systemClock } from '../model/ports.ts';
import { BACKENDS, keyOf, type BackendObject } from '../operator/backend-object.ts';
import { printable } from '../telemetry/pretty-line.ts';
import { clusterAccess } from './cluster-access.ts';
import type { CommandContext, CommandOptions } from './command.ts';
import { durationText } from './duration-text.ts';

const STANDARD_TIMEOUT = '5m';
/** Deletions at once. */
const AT_ONCE = 8;
/** Names in a message. */
const NAMED = 5;

export async function run(context: CommandContext, _args: readonly string[], options: CommandOptions): Promise<number> {
  const timeoutMs = readDuration(options.timeout ?? STANDARD_TIMEOUT);
  if (timeoutMs instanceof Rejected || timeoutMs < 1000 || timeoutMs > 86_400_000) {
    throw usage(
      `--timeout takes a duration from 1s to 24h, such as ${STANDARD_TIMEOUT}, not "${String(options.timeout)}"`,
    );
  }
  const config = await clusterAccess(context, options);
  const client = createClient(config, {
    logger: silentLogger,
    clock: systemClock,
    random: Math.random,
    userAgent: 'dormouse-uninstall',
  });
  try {
    const signal = AbortSignal.any([context.interrupted(), AbortSignal.timeout(timeoutMs)]);
    const names = await present(client, signal);
    if (names.length > 0 && options.yes !== true) {
      throw usage(
        `this would delete ${counted(names.length)} of ${config.server} (${listed(names)}) and wake what sleeps; nothing was done. To do it: dormouse uninstall --yes`,
      );
    }
    const startedAt = performance.now();
    const deleted = names.length === 0 ? 0 : await deleteAll(client, { signal, timeoutMs });
    const took = performance.now() - startedAt;
    if (options.json === true) context.out(`${JSON.stringify({ deleted, tookMs: Math.round(took) })}\n`);
    else if (deleted === 0) context.out('there are no Backends: nothing to put back\n');
    else context.out(`${counted(deleted)} deleted, everything is as it was before (took ${durationText(took)})\n`);
    return 0;
  } finally {
    await client.close();
  }
}

/** Names of all Backends; none where the cluster has no such kind. */
async function present(client: KubernetesClient, signal: AbortSignal): Promise<string[]> {
  try {
    return (await client.list<BackendObject>(BACKENDS, { signal })).items.map(keyOf);
  } catch (error) {
    if (isReason(error, 'NotFound')) return [];
    throw error;
  }
}

/**
 * Resolves with how many there were when none is left, also of those that came meanwhile. Rejects with DORMOUSE_UNINSTALL when `signal` aborts, and with
 * what the API server says when it refuses a deletion.
 */
export async function deleteAll(
  client: KubernetesClient,
  { signal, timeoutMs }: { signal: AbortSignal; timeoutMs: number },
): Promise<number> {
  const end = new AbortController();
  const backends = client.informer<BackendObject>(BACKENDS, { trim: withoutSpec });
  const seen = new Set<string>();
  const waiting: BackendObject[] = [];
  let running = 0;
  const { promise, resolve, reject } = Promise.withResolvers<void>();

  const next = (): void => {
    while (running < AT_ONCE) {
      const object = waiting.shift();
      if (object === undefined) break;
      running++;
      const { namespace, name, uid } = object.metadata;
      void client
        .delete(BACKENDS, { ...(namespace === undefined ? {} : { namespace }), name }, { uid, signal: end.signal })
        .catch((error: unknown) => {
          // A Conflict: the one that was meant is gone, and the informer tells of the other.
          if (!isReason(error, 'Conflict') && !end.signal.aborted) reject(error as Error);
        })
        .finally(() => {
          running--;
          next();
        });
    }
    if (backends.isSynced && backends.size === 0 && running === 0) resolve();
  };
  const look = (object: BackendObject): void => {
    if (object.metadata.deletionTimestamp !== undefined || seen.has(object.metadata.uid)) return;
    seen.add(object.metadata.uid);
    waiting.push(object);
  };
  const already = new Set<string>();
  backends.onChange((change) => {
    if (change.type !== 'removed') {
      if (change.object.metadata.deletionTimestamp !== undefined) already.add(change.object.metadata.uid);
      look(change.object);
    }
    next();
  });
  const abort = (): void => reject(stillThere([...backends.list()], timeoutMs));
  if (signal.aborted) abort();
  signal.addEventListener('abort', abort, { once: true });
  try {
    backends.start(end.signal);
    backends.synced(end.signal).then(next, () => {});
    await promise;
    return new Set([...seen, ...already]).size;
  } finally {
    signal.removeEventListener('abort', abort);
    end.abort();
  }
}

/** Of a thousand objects only what a message may need. */
function withoutSpec({ apiVersion, kind, metadata, status }: BackendObject): BackendObject {
  const { name, namespace, uid, resourceVersion, deletionTimestamp } = metadata;
  return {
    apiVersion,
    kind,
    metadata: {
      name,
      uid,
      resourceVersion,
      ...(namespace === undefined ? {} : { namespace }),
      ...(deletionTimestamp === undefined ? {} : { deletionTimestamp }),
    },
    spec: {},
    ...(status?.handover === undefined ? {} : { status: { handover: status.handover } }),
  };
}

function stillThere(left: readonly BackendObject[], timeoutMs: number): DormouseError {
  const names = left.map((object) => {
    const step = object.status?.handover?.step;
    return step === undefined ? keyOf(object) : `${keyOf(object)} at step ${step}`;
  });
  return new DormouseError(
    'DORMOUSE_UNINSTALL',
    left.length === 0
      ? 'stopped before it was known which Backends there are; run it again'
      : `${counted(left.length)} still there (${listed(names)}), after ${durationText(timeoutMs)} at most. The operator has to run and to reach the API server: see its log, and kubectl describe backend. ` +
          'What a GitOps tool makes again has to be taken out there first',
    { userFault: true },
  );
}

function counted(number: number): string {
  return number === 1 ? '1 Backend' : `${number} Backends`;
}

function listed(names: readonly string[]): string {
  const shown = names.slice(0, NAMED).map((name) => printable(name));
  return names.length > NAMED ? `${shown.join(', ')} and ${names.length - NAMED} more` : shown.join(', ');
}

function usage(message: string): DormouseError {
  return new DormouseError('DORMOUSE_USAGE', message, { userFault: true });
}
