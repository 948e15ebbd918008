/** What plugins bring to a worker. */
import type { StrategyFactory, StrategyRegistry } from '../gateway/balancing/strategy.ts';
import type { FilterFactory, FilterRegistry } from '../gateway/filters/filter.ts';
import type { PluginConfig } from '../model/config.ts';
import { DormouseError } from '../model/errors.ts';
import type { Logger } from '../model/ports.ts';
import { guardedFilter } from './guarded-filter.ts';
import { guardedStrategy } from './guarded-strategy.ts';
import { loadPlugin } from './load-plugin.ts';
import type { Plugin } from './plugin.ts';
import type { PluginFailures } from './plugin-failures.ts';

/** Less than the controller waits for a gateway to answer a configuration, ms. */
const LOAD_BOUND_MS = 8000;

export interface GatewayParts {
  filters: FilterRegistry;
  strategies: StrategyRegistry;
}

/** `own` and what the plugins bring. Rejects with DORMOUSE_PLUGIN when one can't be loaded (bounded: 8 s for all). */
export async function gatewayParts(
  plugins: readonly PluginConfig[],
  own: GatewayParts,
  deps: { failures: PluginFailures; logger: Logger },
): Promise<GatewayParts> {
  const filters: Record<string, FilterFactory> = { ...own.filters };
  const strategies: Record<string, StrategyFactory> = { ...own.strategies };
  const loaded = await Promise.all(plugins.map(load));
  for (const [index, plugin] of loaded.entries()) {
    deps.failures.loaded(plugin.name, plugins[index]!.path);
    for (const [part, definition] of Object.entries(plugin.filters ?? {}))
      filters[part] ??= guardedFilter({ plugin: plugin.name, kind: 'filter', part }, definition, deps.failures);
    for (const [part, definition] of Object.entries(plugin.strategies ?? {})) {
      const place = { plugin: plugin.name, kind: 'strategy', part } as const;
      strategies[part] ??= guardedStrategy(place, definition, own.strategies['round-robin']!, deps);
    }
  }
  return { filters, strategies };
}

async function load(plugin: PluginConfig): Promise<Plugin> {
  try {
    return await loadPlugin(plugin, LOAD_BOUND_MS);
  } catch (error) {
    const reason = error instanceof Error ? error.message : String(error);
    throw new DormouseError('DORMOUSE_PLUGIN', `the plugin ${plugin.path} can't be loaded: ${reason}`, {
      cause: error,
      userFault: true,
    });
  }
}
