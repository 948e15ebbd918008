/** `dormouse admin`: the admin API of a cluster. What it makes are objects; the operator does the rest. */
import { readFile } from 'node:fs/promises';
import { resolve } from 'node:path';
import { AdminApi } from '../apis/admin/admin-api.ts';
import type { FieldError } from '../apis/admin/admin-error.ts';
import { AdminServer } from '../apis/admin/admin-server.ts';
import { ClusterTarget } from '../apis/admin/cluster/cluster-target.ts';
import { pointerOf } from '../apis/admin/machine/config-issues.ts';
import { ObjectCompiler, parseConfig } from '../config/index.ts';
import { createClient } from '../kubernetes/api-client.ts';
import type { AdminConfig } from '../model/config.ts';
import { DormouseError } from '../model/errors.ts';
import { systemClock } from '../model/ports.ts';
import { createLogger } from '../telemetry/logger.ts';
import { logDestination } from '../telemetry/log-destination.ts';
import { startObserveServer } from '../telemetry/observe-server.ts';
import { processMetrics } from '../telemetry/process-metrics.ts';
import { renderMetrics } from '../telemetry/render.ts';
import { readAdminFlags } from './admin-options.ts';
import { clusterAccess } from './cluster-access.ts';
import type { CommandContext, CommandOptions } from './command.ts';
import { packageVersion } from './package-version.ts';
import { defaultRegistry } from './registry.ts';

/** Certificates are renewed in place. */
const RENEW_MS = 300_000;
/** What is under way has this long to end. */
const END_MS = 20_000;

export async function run(context: CommandContext, _args: readonly string[], options: CommandOptions): Promise<number> {
  const flags = readAdminFlags(options);
  const config = await readSettings(resolve(context.cwd, flags.settings), context);
  const clock = systemClock;
  const startedAtMs = clock.wallMs();
  const destination = logDestination(2);
  const logger = createLogger({
    level: flags.logLevel,
    format: 'auto',
    destination,
    colours: context.terminal.colours,
  });
  const stopping = context.interrupted();
  await using closing = new AsyncDisposableStack();
  closing.defer(() => destination.close());
  const version = packageVersion();
  const cluster = await clusterAccess(context, flags);
  const client = createClient(cluster, { logger, clock, random: Math.random, userAgent: `dormouse-admin/${version}` });
  closing.defer(() => client.close());

  const target = new ClusterTarget({
    client,
    namespaces: flags.namespaces,
    settings: { gateway: flags.gateway, scaleBy: flags.scaleBy },
    check: checkOf(new ObjectCompiler(defaultRegistry())),
    clock,
    logger,
  });
  const api = new AdminApi({ target, logger, clock });
  const server = await AdminServer.start({ config, ownToken: null, api, logger, clock });
  closing.defer(() => server.close());
  const ended = new AbortController();
  const watching = target.run(ended.signal);
  closing.defer(async () => {
    ended.abort();
    api.close();
    await Promise.race([watching, new Promise((done) => setTimeout(done, END_MS).unref())]);
  });
  const renewal = setInterval(() => {
    try {
      server.reconfigure(config, null);
    } catch (error) {
      logger.error('the certificate could not be read anew; the former one stays', { reason: String(error) });
    }
  }, RENEW_MS).unref();
  closing.defer(() => clearInterval(renewal));
  if (flags.observe !== null) {
    const observe = await startObserveServer({
      address: flags.observe,
      metrics: async () => renderMetrics([processMetrics({ version, role: 'admin', startedAtMs }), server.families()]),
      ready: () => ({ ready: !stopping.aborted, reasons: stopping.aborted ? ['it is ending'] : [] }),
      logger,
    });
    closing.defer(() => observe.close());
  }
  const { host, port } = server.address;
  logger.info('the admin API is up', { version, cluster: cluster.source, namespaces: flags.namespaces, host, port });
  await new Promise<void>((resolveEnd) => {
    if (stopping.aborted) resolveEnd();
    else stopping.addEventListener('abort', () => resolveEnd(), { once: true });
  });
  logger.info('ending: what is under way is finished by the next one');
  return 0;
}

/** Pointers into the body: a Backend's settings stand at its top. */
function checkOf(compiler: ObjectCompiler) {
  return (object: { metadata: { name: string; namespace?: string }; spec?: unknown }): FieldError[] => {
    const compiled = compiler.backend(object);
    if (!('problems' in compiled)) return [];
    return compiled.problems.map(({ path, message, hint }) => ({
      field: pointerOf(path.replace(/^spec/, `backends.${object.metadata.name}`), object.metadata.name) ?? '',
      detail: message,
      next: hint === '' ? 'correct it' : hint,
    }));
  };
}

async function readSettings(file: string, { env }: CommandContext): Promise<AdminConfig> {
  let text: string;
  try {
    text = await readFile(file, 'utf8');
  } catch (error) {
    const reason = error instanceof Error ? error.message : String(error);
    throw new DormouseError('DORMOUSE_USAGE', `--settings: ${file} can't be read: ${reason}`, { userFault: true });
  }
  const given = {
    workers: 1,
    observe: 'off',
    listeners: [{ name: 'none', address: '127.0.0.1:1' }],
    backends: { none: { servers: ['http://127.0.0.1:1'] } },
    routes: [{ backend: 'none' }],
  };
  const { admin } = parseConfig(text, { file, env, registry: defaultRegistry(), part: { keys: ['admin'], given } });
  if (admin?.tokens == null)
    throw new DormouseError(
      'DORMOUSE_USAGE',
      `--settings: ${file} has no admin.tokens; without them nobody is let in`,
      {
        userFault: true,
      },
    );
  return admin;
}
