/** `dormouse check`: a summary of a valid file, every error of another. Needs no running dormouse. */
import { ConfigError } from '../config/config-error.ts';
import { addressText } from '../model/address-text.ts';
import type { BackendSource, Config } from '../model/config.ts';
import type { CommandContext, CommandOptions } from './command.ts';
import { loadConfigApart } from './load-config-apart.ts';
import { configFile } from './running-dormouse.ts';

export async function run(context: CommandContext, _args: readonly string[], options: CommandOptions): Promise<number> {
  const file = configFile(context, options);
  try {
    // Apart, since plugins are run to see what they bring.
    const { config, warnings } = await loadConfigApart(file, { env: context.env });
    context.out(
      options.json === true
        ? `${JSON.stringify({ file, valid: true, issues: [], warnings, ...counts(config) })}\n`
        : summary(file, config) + warnings.map((warning) => `warning: ${warning}\n`).join(''),
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

function runsText(source: BackendSource): string {
  switch (source.driver) {
    case 'process':
      return source.process.command.join(' ');
    case 'static':
      return many(source.servers.length, 'server');
    case 'kubernetes': {
      const { namespace, target } = source.kubernetes;
      return `${target.kind} ${namespace}/${target.name}`;
    }
  }
}

function summary(file: string, config: Config): string {
  const lines = [`${file} is valid`];
  for (const { name, address, protocol } of config.listeners.slice(0, MOST_SHOWN)) {
    lines.push(`  listener ${name}: ${protocol === 'http' ? '' : `${protocol} `}${addressText(address)}`);
  }
  for (const { path } of config.plugins.slice(0, MOST_SHOWN)) lines.push(`  plugin ${path}`);
  for (const backend of config.backends.slice(0, MOST_SHOWN)) {
    const runs = runsText(backend.source);
    const scale = backend.source.driver !== 'static' ? `, ${backend.scale.min} to ${backend.scale.max} instances` : '';
    lines.push(`  backend ${backend.name}: ${runs}${scale}`);
  }
  const more = config.backends.length - MOST_SHOWN;
  if (more > 0) lines.push(`  and ${more} more backends`);
  const unused = config.backends.filter(
    ({ name }) =>
      !config.routes.some((route) => route.rules.some((rule) => rule.backends.some((to) => to.name === name))),
  );
  const depended = new Set([
    ...config.backends.flatMap((backend) => backend.wake.with),
    ...config.backends.filter(({ triggers }) => triggers.length > 0).map(({ name }) => name),
    ...config.listeners.map(({ backend }) => backend),
    ...askedByFilters(config, 'forwardAuth', 'jwt'),
  ]);
  const copiedTo = askedByFilters(config, 'mirror');
  for (const { name, source } of unused.filter((backend) => !depended.has(backend.name)).slice(0, MOST_SHOWN)) {
    if (source.driver === 'process')
      lines.push(`  note: no route leads to backend ${name}; only dormouse wake ${name} wakes it`);
    else if (!copiedTo.has(name)) lines.push(`  note: no route leads to backend ${name}`);
  }
  const { listeners, backends, routes, workers } = counts(config);
  lines.push(
    [many(listeners, 'listener'), many(backends, 'backend'), many(routes, 'route'), many(workers, 'worker')].join(', '),
  );
  return `${lines.join('\n')}\n`;
}

/** The backends that filters of these types name in their options: `backend` itself, or `jwks.backend`. */
function askedByFilters(config: Config, ...types: readonly string[]): Set<string> {
  const names = new Set<string>();
  for (const { type, options } of config.routes.flatMap((route) => route.rules.flatMap((rule) => rule.filters))) {
    if (!types.includes(type)) continue;
    const { backend, jwks } = options as { backend?: string | null; jwks?: { backend?: string | null } };
    for (const name of [backend, jwks?.backend]) if (typeof name === 'string') names.add(name);
  }
  return names;
}

function many(count: number, noun: string): string {
  return `${count} ${noun}${count === 1 ? '' : 's'}`;
}
