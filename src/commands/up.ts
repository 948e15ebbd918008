/** `dormouse up`: the one place where all parts of a machine are put together, and taken apart in the reverse order. */
import { randomBytes } from 'node:crypto';
import { hostname } from 'node:os';
import { resolve } from 'node:path';
import { isDeepStrictEqual } from 'node:util';
// Not from its index, which would load the client too.
import { ControlServer } from '../apis/control/control-server.ts';
// Not from its index, which would load zod and yaml: see load-config-apart.ts.
import { toGatewayConfig } from '../config/gateway-config.ts';
import { Controller } from '../controller/index.ts';
import { addFamilies } from '../controller/metrics.ts';
import { createBus } from '../events/create-bus.ts';
import { tapWorker } from '../events/link-tap.ts';
import { TrafficEvents } from '../events/traffic-events.ts';
import { createDrivers, endOrphans, stateMarker } from '../drivers/index.ts';
import type { Config } from '../model/config.ts';
import { DormouseError } from '../model/errors.ts';
import type { MetricFamily } from '../model/metrics.ts';
import { systemClock, type Logger } from '../model/ports.ts';
import type { BackendEvent, Status } from '../model/status.ts';
import { awaitLeftWorkers } from '../supervisor/leftover-workers.ts';
import { StateLock } from '../supervisor/state-lock.ts';
import { Supervisor } from '../supervisor/supervisor.ts';
import { TicketKeys } from '../supervisor/ticket-keys.ts';
import { createLogger } from '../telemetry/logger.ts';
import { isPretty, logDestination, type LogDestination } from '../telemetry/log-destination.ts';
import { startObserveServer, type ObserveServer } from '../telemetry/observe-server.ts';
import { processMetrics } from '../telemetry/process-metrics.ts';
import { renderMetrics } from '../telemetry/render.ts';
import { TraceExporter } from '../telemetry/trace-exporter.ts';
import { causeText } from './cause-text.ts';
import { ClusterDrivers } from './cluster-drivers.ts';
import { ConfigWatch } from './config-watch.ts';
import { loadConfigApart } from './load-config-apart.ts';
import { packageVersion } from './package-version.ts';
import { makeFolder } from './make-folder.ts';
import { Reloads } from './reloads.ts';
import { workerSpawner } from './spawn-worker.ts';
import { StopRequest } from './stop-request.ts';
import { SupervisorPlugins } from './supervisor-plugins.ts';
import { eventLine, greeting, type Greeting } from './up-lines.ts';
import { configFamilies, workerFamilies } from './up-metrics.ts';
import { UpAdmin } from './up-admin.ts';
import { upTarget } from './up-target.ts';

export interface UpOptions {
  /** Path of dormouse.yaml. */
  config: string;
  env: Readonly<Record<string, string | undefined>>;
  /** Told once when everything runs. */
  onReady?: (greeting: Greeting) => void;
}

export interface UpIo {
  stdout: { write(text: string): unknown; isTTY?: boolean };
  stderr: { write(text: string): unknown };
  /** Whether a terminal is attached to any of the standard streams. */
  hasTerminal: boolean;
  /** Where the program log goes; standard error when left out. */
  log?: LogDestination;
}

/** Workers of a killed supervisor end within the drain's bound and this, ms. */
const LEFTOVER_GRACE_MS = 2000;
/** After a fault of the program itself nobody is waited for longer than this, ms. */
const FAULT_DRAIN_MS = 5000;
/** How long the last traces may take to be exported, ms. */
const TRACES_WITHIN_MS = 2000;
/** The same for the last traffic events. */
const EVENTS_WITHIN_MS = 2000;

/** Runs until it is told to end. Resolves with the exit code: 0 when it was told to, 1 when it could not start or failed. */
export async function runUp(options: UpOptions, io: UpIo): Promise<number> {
  try {
    return await up(options, io);
  } catch (error) {
    const own = error instanceof DormouseError && error.userFault;
    const text = own ? error.message : error instanceof Error ? (error.stack ?? error.message) : String(error);
    io.stderr.write(`${text}\n`);
    return 1;
  }
}

async function up({ config: configPath, env, onReady }: UpOptions, io: UpIo): Promise<number> {
  const clock = systemClock;
  const startedAtMs = clock.wallMs();
  const version = packageVersion();
  const file = resolve(configPath);
  const first = await loadConfigApart(configPath, { env });
  let { config } = first;

  const { level, format } = config.telemetry.log;
  const ownLog = io.log === undefined ? logDestination(2) : null;
  const logOptions = { level, format, destination: io.log ?? ownLog!, colours: env.NO_COLOR === undefined };
  const logger = createLogger(logOptions);
  const pretty = isPretty(logOptions, logOptions.destination);
  for (const warning of first.warnings) logger.warn(warning);

  const inForce: Status['config'] = { version: 0, file, appliedAtMs: 0, lastError: null };
  let ready = false;
  const reloads = new Reloads(reload);
  const plugins = new SupervisorPlugins({
    clock,
    logger,
    collect: families,
    triggered: (backend, demand) => controller.triggered(backend, demand),
    idle: (backend, verdict) => controller.idleVerdict(backend, verdict),
  });

  await using closing = new AsyncDisposableStack();
  closing.defer(() => ownLog?.close());
  // Before everything else, so that it is undone last: a signal must hurry the end, not cut it.
  const stop = closing.use(
    new StopRequest({
      signals: process,
      hasTerminal: io.hasTerminal,
      reload: () => void reloads.request().catch(() => {}),
      fault: (error) =>
        logger.error('a fault of dormouse ends it', { error: error instanceof Error ? error.stack : error }),
      claims: (error, origin) => plugins.claims(error, origin),
    }),
  );

  const { stateDir } = config;
  const lock = lockState(stateDir, startedAtMs);
  closing.defer(() => lock.release());
  const left = lock.leftWorkers();
  await awaitLeftWorkers(left, {
    withinMs: config.shutdown.drainMs + LEFTOVER_GRACE_MS,
    logger,
    signal: stop.stopping,
  });
  const marker = await stateMarker(stateDir);
  const { ended } = await endOrphans({ stateDir, marker, logger, clock });
  if (ended > 0) logger.info('ended instances that a former run left behind', { ended });

  const traceToken = randomBytes(16).toString('hex');
  const traces = new TraceExporter({ logger, version, nowMs: clock.nowMs, random: Math.random });
  closing.defer(() => traces.close(TRACES_WITHIN_MS));
  const cluster = new ClusterDrivers({ env, logger });
  closing.defer(() => cluster.close());
  const events = new TrafficEvents({
    gateway: hostname(),
    clock,
    logger,
    random: Math.random,
    createBus: (of) => createBus(of, { logger, gateway: hostname() }),
  });
  closing.defer(() => events.close(EVENTS_WITHIN_MS));
  const controller = new Controller({
    clock,
    logger,
    traces,
    createDriver: createDrivers({ logger, clock, stateDir, marker, environment: env, cluster: cluster.create }),
  });
  const ticketKeys = new TicketKeys((keys) => controller.setTicketKeys(keys));
  closing.defer(() => ticketKeys.close());
  const supervisor = new Supervisor({
    logger,
    clock,
    platform: process.platform,
    spawnWorker: workerSpawner({ stateDir, env, level, format: pretty ? 'pretty' : 'json' }),
    onProcesses: (pids) => lock.recordWorkers(pids),
  });
  await supervisor.prepare(config);
  closing.defer(() => supervisor.abandon());

  const admin = await UpAdmin.open({
    stateDir,
    clock,
    logger,
    controller,
    reload: () => reloads.request(),
    causeText,
    onTraffic: (listener) => {
      const reader = { group: 'admin', consumer: 'admin', backend: null, from: 'new' } as const;
      const subscription = events.memory.subscribe(reader, (batch) => {
        for (const { event, ack } of batch) {
          listener(event);
          ack();
        }
      });
      subscription.ready.catch(() => {});
      return () => void subscription.close();
    },
  });
  const control = new ControlServer({
    stateDir,
    logger,
    clock,
    admin,
    target: upTarget({
      controller,
      supervisor,
      clock,
      version,
      startedAtMs,
      config: () => inForce,
      reload: () => reloads.request(),
      traceToken,
    }),
  });
  await control.start();
  closing.defer(() => control.close());
  closing.defer(() => admin.close());
  let observe = await startObserve(config);
  closing.defer(() => observe?.close());
  (await admin.prepare(config)).apply();
  controller.onEvent((event) => tellEvent(logger, event));
  closing.defer(() => controller.close());
  await cluster.prepare(config);
  const firstParts = await plugins.prepare(config);
  closing.defer(() => plugins.close());

  closing.defer(() =>
    supervisor.shutdown(
      stop.faulty ? Math.min(config.shutdown.drainMs, FAULT_DRAIN_MS) : config.shutdown.drainMs,
      stop.hurry,
    ),
  );
  try {
    await stop.unlessStopped(events.configure(config.events));
    await stop.unlessStopped(supervisor.start((id, link) => controller.attach(id, tapWorker(link, id, events))));
    traces.configure(config.telemetry.traces);
    await stop.unlessStopped(controller.configure(config, toGatewayConfig(config, traceToken)));
  } catch (error) {
    if (!stop.stopping.aborted) throw error;
    logger.info('ending before the start was complete', { reason: stop.reason });
    return stop.faulty ? 1 : 0;
  }
  plugins.apply(config, firstParts);
  admin.target.restorePins();
  inForce.version = 1;
  inForce.appliedAtMs = clock.wallMs();
  ready = true;

  const watch = new ConfigWatch(file, { changed: () => void reloads.request().catch(() => {}), logger });
  watch.also(config.plugins);
  await watch.start();
  closing.defer(() => watch.close());
  const told: Greeting = {
    version,
    pid: process.pid,
    config: file,
    listeners: supervisor.addresses(),
    observe: observe?.address ?? null,
    admin: admin.address,
    backends: config.backends.map((backend) => backend.name),
    stateDir,
    control: control.path ?? '',
    startedInMs: Math.round(performance.now()),
  };
  if (pretty) io.stdout.write(greeting(told));
  else logger.info('dormouse is up', { ...told, backends: told.backends.length });
  onReady?.(told);

  await stop.requested();
  ready = false;
  const { delayMs } = config.shutdown;
  if (delayMs > 0 && !stop.faulty) {
    // Whoever looks at /readyz has this long to send its requests elsewhere; those that come meanwhile are served.
    logger.info('ending soon: not ready any more', { reason: stop.reason, delayMs });
    await stop.linger(delayMs);
  }
  logger.info('ending: requests that were accepted are answered first; once more ends at once', {
    reason: stop.reason,
    drainMs: config.shutdown.drainMs,
  });
  await Promise.race([
    reloads.idle(),
    new Promise((done) => stop.hurry.addEventListener('abort', done, { once: true })),
  ]);
  return stop.faulty ? 1 : 0;

  /** The file as it is now: checked first, then applied as a whole; when anything is wrong, everything stays as it is. */
  async function reload(): Promise<{ version: number }> {
    try {
      if (!ready)
        throw new DormouseError('DORMOUSE_CLOSING', 'dormouse is starting or ending; reload it later.', {
          userFault: true,
        });
      const { config: loaded, warnings } = await loadConfigApart(configPath, {
        env,
        entries: admin.target.entries(),
      });
      for (const warning of warnings) logger.warn(warning);
      warnOfLater(logger, config, loaded);
      const next: Config = { ...loaded, stateDir, telemetry: { ...loaded.telemetry, log: config.telemetry.log } };
      if (!isDeepStrictEqual(next, config)) await change(next);
      else admin.renew();
      inForce.lastError = null;
      return { version: inForce.version };
    } catch (error) {
      // Who asked for a change over the admin API is told: the file is as it was.
      if (admin.target.isTrying) throw error;
      inForce.lastError = error instanceof Error ? error.message : String(error);
      logger.error('the configuration was not applied, the former one stays in force', {
        file,
        reason: inForce.lastError,
      });
      throw error;
    }
  }

  async function change(next: Config): Promise<void> {
    const beganMs = clock.nowMs();
    const movesObserve = !isDeepStrictEqual(next.observe, config.observe);
    await cluster.prepare(next);
    const parts = await plugins.prepare(next);
    const nextObserve = movesObserve ? await startObserve(next) : observe;
    const nextAdmin = await admin.prepare(next).catch(async (error: unknown) => {
      if (movesObserve) await nextObserve?.close();
      throw error;
    });
    try {
      await supervisor.prepare(next);
      await controller.configure(next, toGatewayConfig(next, traceToken));
      traces.configure(next.telemetry.traces);
      await events.configure(next.events);
    } catch (error) {
      supervisor.abandon();
      if (movesObserve) await nextObserve?.close();
      await nextAdmin.abandon();
      throw error;
    }
    nextAdmin.apply();
    if (movesObserve) {
      void observe?.close();
      observe = nextObserve;
    }
    config = next;
    plugins.apply(next, parts);
    watch.also(next.plugins);
    inForce.version++;
    inForce.appliedAtMs = clock.wallMs();
    // Workers that can't be added are tried again and again; the configuration is in force in the others.
    await supervisor
      .apply(next)
      .catch((error: Error) => logger.error('not all workers run', { reason: error.message }));
    logger.info('configuration applied', {
      version: inForce.version,
      tookMs: Math.round(clock.nowMs() - beganMs),
      listeners: supervisor.addresses().map(({ name, address }) => `${name} ${address}`),
      backends: next.backends.length,
    });
  }

  async function startObserve(of: Config): Promise<ObserveServer | null> {
    if (of.observe === null) return null;
    return startObserveServer({ address: of.observe.address, metrics, ready: readiness, logger });
  }

  async function families(): Promise<MetricFamily[]> {
    const { metrics: counted, gateways } = await controller.collect(stop.hurry);
    const own = processMetrics({ version, role: 'supervisor', startedAtMs });
    return addFamilies([
      counted,
      own,
      workerFamilies(supervisor.workers(), gateways),
      configFamilies(inForce),
      traces.families(),
      events.families(),
      admin.families(),
      plugins.families(),
    ]);
  }

  async function metrics(): Promise<string> {
    return renderMetrics([await families()]);
  }

  function readiness(): { ready: boolean; reasons: string[] } {
    if (stop.stopping.aborted) return { ready: false, reasons: ['it is ending'] };
    if (!ready) return { ready: false, reasons: ['it is starting'] };
    const runs = supervisor.workers().some((worker) => worker.state === 'running');
    return { ready: runs, reasons: runs ? [] : ['no worker runs'] };
  }
}

function lockState(stateDir: string, wallMs: number): StateLock {
  try {
    makeFolder(stateDir, 0o700);
  } catch (error) {
    throw new DormouseError(
      'DORMOUSE_STATE_DIR',
      `The state folder ${stateDir} cannot be made: ${(error as Error).message}. Set stateDir to a folder that this user may write.`,
      { cause: error, userFault: true },
    );
  }
  return StateLock.acquire(stateDir, wallMs);
}

function tellEvent(logger: Logger, event: BackendEvent): void {
  const { level, text, fields } = eventLine(event);
  logger[level](text, fields);
}

/** Keys that are read once. */
function warnOfLater(logger: Logger, now: Config, next: Config): void {
  if (next.stateDir !== now.stateDir)
    logger.warn('another stateDir is used from the next start on; until then, commands need --state-dir', {
      stateDir: now.stateDir,
      commands: `dormouse status --state-dir ${now.stateDir}`,
    });
  if (!isDeepStrictEqual(next.telemetry.log, now.telemetry.log)) {
    logger.warn('a change of telemetry.log is used from the next start on');
  }
}
