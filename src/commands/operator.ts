/** `dormouse operator`: the controller of a cluster, put together here. */
import { randomBytes } from 'node:crypto';
import { hostname } from 'node:os';
import { setFlagsFromString } from 'node:v8';
import { ObjectCompiler, renderObjectProblem } from '../config/index.ts';
import { createKubernetesDrivers, trimPod, trimWorkload } from '../drivers/kubernetes/index.ts';
import type { SharedInformers, Workload } from '../drivers/kubernetes/index.ts';
import { IdleSources, sharedIdleDeps, type IdleSourcesDeps } from '../idle/idle-sources.ts';
import { createClient } from '../kubernetes/api-client.ts';
import type { Informer, KubernetesClient, Resource, Scale } from '../kubernetes/client.ts';
import { EventRecorder } from '../kubernetes/events.ts';
import { serveLinks } from '../link/grpc-server.ts';
import type { BackendConfig, KubernetesConfig } from '../model/config.ts';
import { DormouseError } from '../model/errors.ts';
import { systemClock, type Clock, type Logger } from '../model/ports.ts';
import type { IdleWatch } from '../operator/backends.ts';
import { certificateChecks, documentedDefaults, patternProblem, podPorts } from '../operator/gateway-api/index.ts';
import { LinkCertificates } from '../operator/link-certificates.ts';
import { Operator, type OperatorOptions } from '../operator/operator.ts';
import { triggers } from '../triggers/registry.ts';
import { TriggerRunner } from '../triggers/trigger-runner.ts';
import { TicketKeys } from '../supervisor/ticket-keys.ts';
import { createLogger } from '../telemetry/logger.ts';
import { logDestination } from '../telemetry/log-destination.ts';
import { startObserveServer } from '../telemetry/observe-server.ts';
import { processMetrics } from '../telemetry/process-metrics.ts';
import { renderMetrics } from '../telemetry/render.ts';
import { TraceExporter } from '../telemetry/trace-exporter.ts';
import { causeText } from './cause-text.ts';
import { clusterAccess } from './cluster-access.ts';
import type { CommandContext, CommandOptions } from './command.ts';
import { EXTERNAL_METRICS_SERVICE } from './operator-external-metrics.ts';
import { OperatorScaling } from './operator-scaling.ts';
import { readOperatorFlags, type OperatorFlags } from './operator-options.ts';
import { readSettings } from './operator-settings.ts';
import { readTriggerSecret } from './trigger-secrets.ts';
import { packageVersion } from './package-version.ts';
import { defaultRegistry } from './registry.ts';
import { pause } from '../model/pause.ts';

const METRICS_MS = 3000;

/** How long the last traces may take to be exported, ms. */
const TRACES_WITHIN_MS = 2000;

export async function run(context: CommandContext, _args: readonly string[], options: CommandOptions): Promise<number> {
  // Thousands of objects that rarely change: a heap that grows slowly is worth more here than speed.
  setFlagsFromString('--optimize-for-size');
  const flags = readOperatorFlags(options);
  const clock = systemClock;
  const startedAtMs = clock.wallMs();
  const destination = logDestination(2);
  const logger = createLogger({
    level: flags.logLevel,
    format: 'auto',
    destination,
    colours: context.terminal.colours,
  });
  const base = await readSettings(flags.settings, context);
  const stopping = context.interrupted();
  await using closing = new AsyncDisposableStack();
  closing.defer(() => destination.close());

  const cluster = await clusterAccess(context, flags);
  const namespace = flags.namespace ?? cluster.namespace;
  const identity = `${context.env.POD_NAME ?? hostname()}-${randomBytes(4).toString('hex')}`;
  const version = packageVersion();
  const client = createClient(cluster, {
    logger,
    clock,
    random: Math.random,
    userAgent: `dormouse-operator/${version}`,
  });
  closing.defer(() => client.close());
  const leaseClient = createClient(cluster, {
    logger,
    clock,
    random: Math.random,
    userAgent: `dormouse-operator/${version} (leader election)`,
    connections: 2,
  });
  closing.defer(() => leaseClient.close());

  const certificates = new LinkCertificates({
    client,
    clock,
    logger,
    namespace,
    names: [
      flags.service,
      `${flags.service}.${namespace}`,
      `${flags.service}.${namespace}.svc`,
      `${flags.service}.${namespace}.svc.cluster.local`,
      // As the API server calls it.
      ...(flags.externalMetrics === null ? [] : [`${EXTERNAL_METRICS_SERVICE}.${namespace}.svc`]),
    ],
    authority: 'dormouse-authority',
    gateway: 'dormouse-gateway-link',
  });
  await untilPrepared(certificates, logger, stopping);
  if (stopping.aborted) return 0;

  const traces = new TraceExporter({ logger, version, nowMs: clock.nowMs, random: Math.random });
  closing.defer(() => traces.close(TRACES_WITHIN_MS));
  traces.configure(base.telemetry.traces);
  const scaling = new OperatorScaling({
    client,
    clock,
    logger,
    flags,
    namespace,
    certificates,
    leader: () => operator.leaderAddress,
    changed: () => operator.scalersChanged(),
    signal: stopping,
  });
  closing.defer(() => scaling.close());
  const recorder = new EventRecorder({
    client,
    controller: 'dormouse.dev/operator',
    instance: identity,
    logger,
    clock,
    random: Math.random,
  });
  const operator = new Operator({
    client,
    leaseClient,
    clock,
    random: Math.random,
    logger,
    identity,
    namespace,
    gatewaySelector: flags.gatewaySelector,
    gatewayPorts: flags.gatewayPorts,
    lease: flags.lease,
    gatewayService: flags.gatewayService,
    secretNamespaces: flags.secretNamespaces,
    ticketKeys: (changed) => new TicketKeys(changed),
    base,
    traces,
    ...scaling.options,
    ...parts(client, clock, logger, flags),
    event: (object, type, reason, note) => recorder.record(object, type, reason, 'Reconcile', note),
  });
  const links = await serveLinks({
    address: flags.link,
    credentials: certificates.credentials,
    onLink: (id, link) => operator.attach(id, link),
    logger,
  });
  closing.defer(() => links.close());
  await scaling.start();
  const renewed = (): void => {
    links.setCredentials(certificates.credentials);
    scaling.setCredentials();
  };
  void certificates.run(renewed, stopping);

  if (flags.observe !== null) {
    const observe = await startObserveServer({
      address: flags.observe,
      metrics: async () =>
        renderMetrics([
          processMetrics({ version, role: 'operator', startedAtMs }),
          await operator.metrics(AbortSignal.timeout(METRICS_MS)),
          traces.families(),
          scaling.families(),
        ]),
      ready: () => ({ ready: !stopping.aborted, reasons: stopping.aborted ? ['it is ending'] : [] }),
      logger,
    });
    closing.defer(() => observe.close());
  }
  logger.info('the operator is up', {
    version,
    cluster: cluster.source,
    namespace,
    identity,
    link: `${links.address.host}:${links.address.port}`,
  });
  try {
    await operator.run(stopping);
  } catch (error) {
    if (!stopping.aborted) throw error;
  }
  logger.info('ending: gateways go on by themselves, and the next leader from what is recorded');
  return 0;
}

async function untilPrepared(certificates: LinkCertificates, logger: Logger, signal: AbortSignal): Promise<void> {
  for (let waitMs = 200; ; waitMs = Math.min(5000, waitMs * 2)) {
    try {
      await certificates.prepare(signal);
      return;
    } catch (error) {
      if (signal.aborted) return;
      logger.warn('the certificates of the link could not be prepared; trying again', {
        reason: error instanceof Error ? error.message : String(error),
      });
      await pause(waitMs, signal);
      if (signal.aborted) return;
    }
  }
}

/** What gateways' pods have besides routes: their metrics, at the same port as the operator's own (the chart gives both one), and the Services that sleep in place. */
function takenPorts({ observe, gatewayPorts: { from, to } }: OperatorFlags): (port: number) => boolean {
  return (port) => port === observe?.port || (port >= from && port <= to);
}

/** What the operator is handed of other parts. */
function parts(
  client: KubernetesClient,
  clock: Clock,
  logger: Logger,
  flags: OperatorFlags,
): Pick<
  OperatorOptions,
  'compile' | 'routing' | 'watchIdle' | 'watchTriggers' | 'drivers' | 'replicas' | 'trimPod' | 'causeText'
> {
  const registry = defaultRegistry();
  const compiler = new ObjectCompiler(registry);
  const idleDeps = sharedIdleDeps({ logger, clock });
  return {
    routing: {
      controllerName: 'dormouse.dev/gateway',
      containerPort: podPorts(takenPorts(flags)),
      defaults: documentedDefaults(registry),
      compiler,
      checkPattern: patternProblem,
      checkCertificate: certificateChecks(),
    },
    causeText,
    trimPod: (pod) => trimPod(pod as never) as never,
    compile: (object) => {
      const compiled = compiler.backend(object);
      if ('problems' in compiled) return { ok: false, problems: compiled.problems.map(renderObjectProblem) };
      const other = kindOutside(flags.kinds, compiled.backend);
      return other === null ? { ok: true, backend: compiled.backend } : { ok: false, problems: [other] };
    },
    watchIdle: (backend, changed) =>
      watchIdle(backend, changed, { ...idleDeps, logger: logger.child({ backend: backend.name }) }),
    watchTriggers: (told) => {
      const runner = new TriggerRunner({
        clock,
        logger,
        onDemand: told,
        onFailure: (type, what, error) =>
          logger.error('a trigger failed', {
            type,
            what,
            reason: error instanceof Error ? error.message : String(error),
          }),
        readSecret: readTriggerSecret(client),
      });
      return {
        configure: (backends) => runner.configure(backends, triggers),
        refresh: (...asked) => runner.refresh(...asked),
        families: () => runner.families(),
        close: () => runner.close(),
      };
    },
    drivers: ({ pods, services }, replicasBefore, keda, signal) => {
      const targets = new Map<string, Informer<Workload>>();
      const informers: SharedInformers = {
        pods: pods as never,
        services: services as never,
        targets: (resource: Resource) => {
          const key = `${resource.group}/${resource.version}/${resource.plural}`;
          let informer = targets.get(key);
          if (informer === undefined) {
            informer = client.informer<Workload>(resource, { trim: trimWorkload });
            informer.start(signal);
            targets.set(key, informer);
          }
          return informer;
        },
      };
      const create = createKubernetesDrivers({
        client,
        informers,
        clock,
        logger,
        replicasBefore,
        ...(keda === null ? {} : { keda }),
      });
      signal.addEventListener('abort', () => create.close(), { once: true });
      return create;
    },
    replicas: async (kubernetes, signal) => {
      const scale = await readScale(client, kubernetes, signal);
      // What is zero is left out.
      return scale === null ? null : (scale.spec.replicas ?? 0);
    },
  };
}

/** What is wrong with a target that may not be scaled; null: nothing. `kinds`: null for any. */
export function kindOutside(kinds: readonly string[] | null, { source }: BackendConfig): string | null {
  if (kinds === null || source.driver !== 'kubernetes') return null;
  const { apiVersion, kind } = source.kubernetes.target;
  if (kinds.includes(`${apiVersion}/${kind}`)) return null;
  return `spec.kubernetes.target: ${kind} of ${apiVersion} may not be scaled, only ${kinds.join(', ')}; add it to the chart's value "kinds" (--kinds of the operator)`;
}

async function readScale(
  client: KubernetesClient,
  { namespace, target }: KubernetesConfig,
  signal: AbortSignal,
): Promise<Scale | null> {
  const resource = await client.resourceOf(target.apiVersion, target.kind, signal);
  if (resource === null) {
    throw new DormouseError(
      'DORMOUSE_TARGET_KIND',
      `this cluster has no kind ${target.kind} of ${target.apiVersion}; correct kubernetes.target`,
      { userFault: true },
    );
  }
  return client.get<Scale>(resource, { namespace, name: target.name }, { subresource: 'scale', signal });
}

function watchIdle(backend: BackendConfig, changed: () => void, deps: IdleSourcesDeps): IdleWatch {
  const ended = new AbortController();
  const sources = new IdleSources(
    { prometheus: backend.idle.prometheus, schedule: backend.idle.schedule, before: backend.wake.before },
    backend.scale.idleAfterMs,
    deps,
  );
  sources.start(ended.signal, changed);
  return {
    get verdict() {
      return sources.verdict;
    },
    // What a former leader saw last is history: it counts from the redirect as this process saw it.
    askAgain: (sinceMs, signal) => sources.askAgain(signal, systemClock.nowMs() - (systemClock.wallMs() - sinceMs)),
    stop: () => ended.abort(),
  };
}
