/** `dormouse check`: a summary of a valid file, every error of another. Needs no running dormouse. */
import { ConfigError, loadConfig } from '../config/index.ts';
import type { Config } from '../model/config.ts';
import type { CommandContext, CommandOptions } from './command.ts';
import { defaultRegistry } from './registry.ts';
import { configFile } from './running-dormouse.ts';

export async function run(context: CommandContext, _args: readonly string[], options: CommandOptions): Promise<number> {
  const file = configFile(context, options);
  try {
    const config = await loadConfig(file, { env: context.env, registry: defaultRegistry() });
    context.out(
      options.json === true
        ? `${JSON.stringify({ file, valid: true, issues: [], ...counts(config) })}\n`
        : summary(file, config),
    );
    return 0;
  } catch (error) {
    if (!(error instanceof ConfigError)) throw error;
    if (options.json === true) context.out(`${JSON.stringify({ file, valid: false, issues: error.issues })}\n`);
    else context.err(`${error.message}\n`);
    return 1;
  }
}

function counts(config: Config): { listeners: number; backends: number; routes: number; workers: number } {
  return {
    listeners: config.listeners.length,
    backends: config.backends.length,
    routes: config.routes.length,
    workers: config.workers,
  };
}

const MOST_SHOWN = 20;

function summary(file: string, config: Config): string {
  const lines = [`${file} is valid`];
  for (const { name, address } of config.listeners.slice(0, MOST_SHOWN)) {
    lines.push(
      `  listener ${name}: ${address.host.includes(':') ? `[${address.host}]` : address.host}:${address.port}`,
    );
  }
  for (const backend of config.backends.slice(0, MOST_SHOWN)) {
    const runs =
      backend.source.driver === 'process'
        ? backend.source.process.command.join(' ')
        : many(backend.source.servers.length, 'server');
    const scale = backend.source.driver === 'process' ? `, ${backend.scale.min} to ${backend.scale.max} instances` : '';
    lines.push(`  backend ${backend.name}: ${runs}${scale}`);
  }
  const more = config.backends.length - MOST_SHOWN;
  if (more > 0) lines.push(`  and ${more} more backends`);
  const unused = config.backends.filter(
    ({ name }) =>
      !config.routes.some((route) => route.rules.some((rule) => rule.backends.some((to) => to.name === name))),
  );
  const depended = new Set(config.backends.flatMap((backend) => backend.wake.with));
  for (const { name } of unused.filter((backend) => !depended.has(backend.name)).slice(0, MOST_SHOWN)) {
    lines.push(`  note: no route leads to backend ${name}; only dormouse wake ${name} wakes it`);
  }
  const { listeners, backends, routes, workers } = counts(config);
  lines.push(
    [many(listeners, 'listener'), many(backends, 'backend'), many(routes, 'route'), many(workers, 'worker')].join(', '),
  );
  return `${lines.join('\n')}\n`;
}

function many(count: number, noun: string): string {
  return `${count} ${noun}${count === 1 ? '' : 's'}`;
}
