/** One gateway of a cluster, in one process: what `dormouse gateway` runs. */
import type { EventEmitter } from 'node:events';
import { homedir } from 'node:os';
import { createBus } from '../events/create-bus.ts';
import { tapGateway } from '../events/link-tap.ts';
import { TrafficEvents } from '../events/traffic-events.ts';
import { strategies } from '../gateway/balancing/registry.ts';
import { loadFilters } from '../gateway/filters/registry.ts';
import { Gateway } from '../gateway/gateway.ts';
import { ownSockets } from '../gateway/listener-sockets.ts';
import type { Informer } from '../kubernetes/client.ts';
import type { EndpointSlice } from '../kubernetes/endpoint-slices.ts';
import { dialLink } from '../link/grpc-client.ts';
import { ReconnectingLink, type LinkState } from '../link/reconnecting.ts';
import type { MetricFamily } from '../model/metrics.ts';
import { systemClock, type Logger } from '../model/ports.ts';
import { createAccessLog } from '../telemetry/access-log.ts';
import { startObserveServer } from '../telemetry/observe-server.ts';
import { processMetrics } from '../telemetry/process-metrics.ts';
import { renderMetrics } from '../telemetry/render.ts';
import { connectionsFor, descriptorLimit } from './descriptor-limit.ts';
import { OwnEndpoints } from './gateway-endpoints.ts';
import type { GatewayFlags } from './gateway-flags.ts';
import { linkCredentials, operatorAddresses } from './gateway-operators.ts';
import { StopRequest } from './stop-request.ts';

export interface GatewayProcessIo {
  logger: Logger;
  /** `process`, or what a test uses instead. */
  signals: EventEmitter;
  hasTerminal: boolean;
  version: string;
  /** Told once, when it observes and looks for operators. */
  onStarted?: (started: { observe: { host: string; port: number }; gateway: Gateway }) => void;
}

/** How long the last traffic events may take to be published, ms. */
const EVENTS_WITHIN_MS = 2000;

/** Runs until SIGTERM or SIGINT, then leaves: 0, or 1 after a fault of the program. Rejects with DORMOUSE_OBSERVE_ADDRESS. */
export async function runGateway(flags: GatewayFlags, io: GatewayProcessIo): Promise<number> {
  const { logger } = io;
  const startedAtMs = systemClock.wallMs();
  using stop = new StopRequest({
    signals: io.signals,
    hasTerminal: io.hasTerminal,
    reload: () => logger.info('the configuration comes from the operator: there is nothing to reload', {}),
    fault: (error) =>
      logger.error('a fault of dormouse ends this gateway', {
        error: error instanceof Error ? (error.stack ?? error.message) : String(error),
      }),
  });
  const operators: ReconnectingLink = new ReconnectingLink({
    resolve: (signal) => operatorAddresses(flags.operator, signal),
    dial: async (address, signal) =>
      dialLink({
        address,
        serverName: flags.operator.host,
        credentials: await linkCredentials(flags.certificates, systemClock),
        gateway: flags.name,
        logger,
        signal,
      }),
    onLeader: () => gateway.relinked(),
    clock: systemClock,
    random: Math.random,
    logger,
  });
  const link = flags.watchSlices
    ? new OwnEndpoints({
        link: operators,
        led: () => operators.state.leader !== null,
        watch: watchSlices(logger),
        logger,
      })
    : operators;
  const events = new TrafficEvents({
    gateway: flags.name,
    clock: systemClock,
    logger,
    random: Math.random,
    createBus: (of) => createBus(of, { logger, gateway: flags.name }),
  });
  const gateway: Gateway = new Gateway({
    id: flags.name,
    link: tapGateway(link, flags.name, events, (message) => {
      void events
        .configure(message.config.events)
        .catch((error: Error) => logger.error('traffic events go nowhere', { reason: error.message }));
    }),
    sockets: ownSockets,
    logger,
    clock: systemClock,
    random: Math.random,
    createAccessLog: (config) => createAccessLog(config, { logger }),
    strategies,
    loadFilters,
    // Packages are not in the image.
    plugins: null,
    maxConnections: connectionsFor(descriptorLimit()),
    onUnconfigured: () => logger.error('the configuration was refused; waiting for another one, see the operator', {}),
  });
  const observe = await startObserveServer({
    address: flags.observe,
    metrics: async () =>
      renderMetrics([
        gateway.families(),
        events.families(),
        processMetrics({ version: io.version, role: 'gateway', startedAtMs }),
        linkFamilies(operators.state),
        [ownFamily(link instanceof OwnEndpoints && link.isWatching)],
      ]),
    ready: () => readiness(gateway, stop.stopping.aborted),
    logger,
  });
  const linkClosed = new Promise<void>((resolve) => link.onClose(resolve));
  gateway.start();
  operators.start();
  logger.info('a gateway has started', {
    gateway: flags.name,
    operator: `${flags.operator.host}:${flags.operator.port}`,
  });
  io.onStarted?.({ observe: observe.address, gateway });

  await Promise.race([stop.requested(), gateway.closed]);
  if (stop.stopping.aborted) {
    logger.info('leaving', { reason: stop.reason, delayMs: flags.delayMs, drainMs: flags.drainMs });
    gateway.leave();
    await stop.linger(flags.delayMs);
    gateway.drain(flags.drainMs);
    const hurry = (): void => gateway.drain(0);
    if (stop.hurry.aborted) hurry();
    else stop.hurry.addEventListener('abort', hurry, { once: true });
    await gateway.closed;
  }
  await linkClosed;
  await events.close(EVENTS_WITHIN_MS);
  await observe.close();
  logger.info('a gateway has ended', {});
  return stop.faulty ? 1 : 0;
}

/** As the pod's service account. Loaded only when it is needed: a gateway is small. */
function watchSlices(logger: Logger): (signal: AbortSignal) => Promise<Informer<EndpointSlice>> {
  return async (signal) => {
    const { createClient } = await import('../kubernetes/api-client.ts');
    const { loadClusterConfig } = await import('../kubernetes/cluster-config.ts');
    const { ENDPOINT_SLICES } = await import('../kubernetes/resources.ts');
    const config = await loadClusterConfig({ env: process.env, home: homedir(), clock: systemClock });
    const client = createClient(config, { logger, clock: systemClock, random: Math.random });
    signal.addEventListener('abort', () => void client.close().catch(() => {}), { once: true });
    const slices = client.informer<EndpointSlice>(ENDPOINT_SLICES, { trim: trimSlice });
    slices.start(signal);
    return slices;
  };
}

function trimSlice({ apiVersion, kind, metadata, addressType, endpoints, ports }: EndpointSlice): EndpointSlice {
  const { name, namespace = '', uid, resourceVersion, labels = {} } = metadata;
  return {
    apiVersion,
    kind,
    metadata: { name, namespace, uid, resourceVersion, labels },
    addressType,
    endpoints: (endpoints ?? []).map(({ addresses, conditions = {}, targetRef }) => ({
      addresses,
      conditions,
      ...(targetRef === undefined ? {} : { targetRef }),
    })),
    ports,
  };
}

/** Never asks whether an operator is there: without one it serves on. */
function readiness(gateway: Gateway, stopping: boolean): { ready: boolean; reasons: string[] } {
  if (stopping) return { ready: false, reasons: ['it is leaving'] };
  if (!gateway.isConfigured) return { ready: false, reasons: ['no operator has sent a configuration yet'] };
  return { ready: true, reasons: [] };
}

function ownFamily(isWatching: boolean): MetricFamily {
  return {
    name: 'dormouse_link_own_endpoints',
    help: '1 while this gateway watches EndpointSlices itself, since no operator leads.',
    type: 'gauge',
    series: [{ labels: {}, value: isWatching ? 1 : 0 }],
  };
}

function linkFamilies({ operators, connected, leader, relinks }: LinkState): MetricFamily[] {
  return [
    {
      name: 'dormouse_link_operators',
      help: 'Operators that this gateway knows of, by whether it has a stream to them.',
      type: 'gauge',
      series: [
        { labels: { state: 'connected' }, value: connected },
        { labels: { state: 'away' }, value: operators - connected },
      ],
    },
    {
      name: 'dormouse_link_leader',
      help: '1 while this gateway has a stream to the operator that leads.',
      type: 'gauge',
      series: [{ labels: {}, value: leader === null ? 0 : 1 }],
    },
    {
      name: 'dormouse_link_leader_changes_total',
      help: 'How often another operator led, or the same one after its stream was lost.',
      type: 'counter',
      series: [{ labels: {}, value: relinks }],
    },
  ];
}
