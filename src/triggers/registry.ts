/** The triggers by their names in `backends.NAME.triggers`. Another one is a file, its schema and a line here. Each is loaded when one of it begins. */
import type { TriggerDefinition, TriggerRegistry } from './trigger.ts';

function later(load: () => Promise<TriggerDefinition>): TriggerDefinition {
  return {
    async start(options, signal, report, context) {
      const { start } = await load();
      if (!signal.aborted) await start(options, signal, report, context);
    },
  };
}

export const triggers: TriggerRegistry = {
  http: { start() {} },
  'redis-list': later(async () => (await import('./redis-list.ts')).redisList),
  'redis-streams': later(async () => (await import('./redis-streams.ts')).redisStreams),
  'nats-jetstream': later(async () => (await import('./nats-jetstream.ts')).natsJetStream),
  prometheus: later(async () => (await import('./prometheus.ts')).prometheus),
  cron: later(async () => (await import('./cron.ts')).cron),
  external: later(async () => (await import('./external.ts')).external),
};
