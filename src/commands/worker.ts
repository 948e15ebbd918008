/**
 * One worker process: a gateway whose sockets and controller are in the supervisor, which starts this file. It stands apart from the
 * other commands because every module that it loads costs memory in each worker: no commander, no zod, no yaml, no pino.
 */
import { flushCompileCache } from 'node:module';
import { pathToFileURL } from 'node:url';
import { strategies } from '../gateway/balancing/registry.ts';
import { loadFilters } from '../gateway/filters/registry.ts';
import { Gateway } from '../gateway/gateway.ts';
import { workerIpcLink } from '../link/ipc.ts';
import { systemClock } from '../model/ports.ts';
import { PluginFailures } from '../plugins/plugin-failures.ts';
import { HandedSockets } from '../supervisor/handed-sockets.ts';
import { createAccessLog } from '../telemetry/access-log.ts';
import { createLineLogger } from '../telemetry/line-logger.ts';
import { logDestination } from '../telemetry/log-destination.ts';
import { connectionsFor, descriptorLimit } from './descriptor-limit.ts';
import { readWorkerArguments } from './worker-arguments.ts';

/**
 * A worker whose first configuration was refused ends after this, ms, and the next one tries again: a certificate may be half written just when a worker is replaced. At a start
 * everything ends before.
 */
const UNCONFIGURED_MS = 1000;
/** After the first seconds most of what a worker runs has been compiled, ms. */
const COMPILED_AFTER_MS = 5000;

/** Runs until the supervisor says shutdown, or is gone: then it accepts no more, finishes within the configured bound and ends. */
export async function runWorker(argv: readonly string[]): Promise<void> {
  const { id, level, format } = readWorkerArguments(argv);
  process.title = `dormouse ${id}`;
  const logger = createLineLogger({ level, format, destination: logDestination(2), fields: { worker: id } });
  const failures = new PluginFailures({ logger, clock: systemClock });
  const die = (error: unknown, origin: 'uncaughtException' | 'unhandledRejection'): void => {
    if (failures.claims(error, origin)) return;
    const text = error instanceof Error ? (error.stack ?? error.message) : String(error);
    logger.error('a fault of dormouse ends this worker; it is replaced', { error: text });
    process.exit(1);
  };
  process.on('uncaughtException', die);
  process.on('unhandledRejection', (error) => die(error, 'unhandledRejection'));
  // A terminal sends these to the whole group; what they mean is the supervisor's decision.
  process.on('SIGINT', () => {});
  process.on('SIGHUP', () => {});

  const sockets = new HandedSockets(process, logger);
  process.on('SIGTERM', () => sockets.leave());
  const gateway = new Gateway({
    id,
    link: workerIpcLink(process, logger),
    sockets,
    logger,
    clock: systemClock,
    random: Math.random,
    createAccessLog: (config) => createAccessLog(config, { logger }),
    strategies,
    loadFilters,
    plugins: {
      // Not before there is one: most configurations have none.
      parts: async (plugins, own) => {
        const { gatewayParts } = await import('../plugins/gateway-plugins.ts');
        return gatewayParts(plugins, own, { failures, logger });
      },
      families: () => failures.families(),
    },
    maxConnections: connectionsFor(descriptorLimit()),
    onUnconfigured: () => setTimeout(() => process.exit(1), UNCONFIGURED_MS),
  });
  gateway.start();
  // Otherwise written at an orderly end only: a worker that replaces a killed one shall find it too.
  setTimeout(() => flushCompileCache(), COMPILED_AFTER_MS).unref();
  await gateway.closed;
  process.exit(0);
}

if (import.meta.url === pathToFileURL(process.argv[1] ?? '').href) await runWorker(process.argv.slice(2));
