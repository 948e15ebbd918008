import { z } from 'zod';
import { adminSection } from './admin.ts';
import { backendSchema } from './backend.ts';
import { clientsSection, networks } from './clients.ts';
import { eventsSection } from './events.ts';
import { listenerSchema } from './listener.ts';
import { partEntry, type PartSchemas } from './named-parts.ts';
import { pluginOptions } from './plugin-options.ts';
import { filterEntry, routeSchema } from './route.ts';
import {
  Rejected,
  address,
  duration,
  headerName,
  httpUrl,
  nameFault,
  number,
  oneOf,
  percent,
  responseHeaders,
  scalar,
  section,
  text,
  toggle,
  TIMER_MS,
} from './scalars.ts';
import type { HostPort } from '../../model/config.ts';
import type { OptionsSchema } from '../../model/options-schema.ts';

/** What the program can do, as far as the file can ask for it. */
export interface ConfigRegistry {
  /** Schema of each filter's options, by the filter's name. */
  filters: PartSchemas;
  /** Names of balancing strategies. */
  strategies: readonly string[];
  /** Filters that answer by themselves, so that their rule needs no backend; `redirect` when left out. */
  answeringFilters?: readonly string[];
  /** Schemas of triggers' options, by the triggers' names; none when left out. */
  triggers?: PartSchemas;
  /** What plugins add to that. */
  plugins?: PluginParts;
}

/** The parts that plugins bring, by the names that the file has for them. */
export interface PluginParts {
  filters: Readonly<Record<string, PluginPart & { answers?: boolean | undefined }>>;
  strategies: Readonly<Record<string, PluginPart>>;
  triggers: Readonly<Record<string, PluginPart>>;
  metricsSinks: Readonly<Record<string, PluginPart>>;
}

export interface PluginPart {
  options?: OptionsSchema | undefined;
  /** PluginConfig.version of its plugin. */
  version: string;
}

export interface FileSchema {
  /** Everything except `listeners`, `backends` and `routes`, which are parsed entry by entry so that one bad entry hides nothing of the others. */
  top: ReturnType<typeof topSchema>;
  listener: ReturnType<typeof listenerSchema>;
  backend: ReturnType<typeof backendSchema>;
  route: ReturnType<typeof routeSchema>;
  /** An item of a rule's filters. */
  filter: ReturnType<typeof filterEntry>;
  /** All of it in one: for known keys and for the JSON Schema. */
  whole: z.ZodType;
}

export function fileSchema(registry: ConfigRegistry): FileSchema {
  const { plugins } = registry;
  const top = topSchema(optionsOf(plugins?.metricsSinks));
  const listener = listenerSchema();
  const backend = backendSchema({
    strategies: registry.strategies,
    pluginStrategies: optionsOf(plugins?.strategies),
    triggers: { ...registry.triggers, ...optionsOf(plugins?.triggers) },
  });
  const filters = { ...registry.filters, ...optionsOf(plugins?.filters) };
  const route = routeSchema(filters);
  const backendName = z.string().refine((value) => nameFault(value) === undefined);
  const whole = top.extend({
    listeners: z.array(listener).optional(),
    backends: z.record(backendName, backend).optional(),
    routes: z.array(route).optional(),
  });
  return { top, listener, backend, route, filter: filterEntry(filters), whole };
}

function optionsOf(parts: Readonly<Record<string, PluginPart>> = {}): PartSchemas {
  return Object.fromEntries(Object.entries(parts).map(([name, { options }]) => [name, pluginOptions(options)]));
}

function topSchema(metricsSinks: PartSchemas) {
  return section({
    workers: number({ min: 1, max: 1024 }).optional(),
    stateDir: text().prefault('.dormouse'),
    shutdown: section({
      delay: duration({ maxMs: TIMER_MS }).prefault('0s'),
      drain: duration({ maxMs: TIMER_MS }).prefault('30s'),
    }).prefault({}),
    plugins: z.array(text()).max(100).prefault([]),
    security: section({ trustedProxies: networks(), clients: clientsSection() }).prefault({}),
    observe: observeSection().prefault({}),
    admin: adminSection().prefault({}),
    events: eventsSection(),
    telemetry: section({
      accessLog: section({
        format: oneOf(['json', 'common', 'off']).prefault('json'),
        file: text().prefault('stdout'),
        redact: z.array(headerName()).max(1000).prefault(['authorization', 'cookie']),
      }).prefault({}),
      log: section({
        level: oneOf(['debug', 'info', 'warn', 'error', 'silent']).prefault('info'),
        format: oneOf(['auto', 'json', 'pretty']).prefault('auto'),
      }).prefault({}),
      traces: section({
        otlp: httpUrl(),
        samplePercent: percent({ min: 0, max: 100 }).prefault(10),
        headers: responseHeaders().prefault({}),
        serviceName: text({ max: 256 }).prefault('dormouse'),
      }).optional(),
      serverTiming: toggle().prefault('off'),
      metricsSinks: z
        .array(
          partEntry('metrics sink', metricsSinks, {
            interval: duration({ minMs: 100, maxMs: 3_600_000 }).prefault('10s'),
          }),
        )
        .max(100)
        .prefault([]),
    }).prefault({}),
  });
}

/** `{ address }`, or off (null, false). */
function observeSection() {
  const off = scalar<null>({ enum: ['off', null, false] }, (value) =>
    value === 'off' || value === null || value === false ? null : new Rejected('expected a mapping or off'),
  );
  return z.union([section({ address: address().prefault('127.0.0.1:8082') }) as z.ZodType<{ address: HostPort }>, off]);
}

export type TopEntry = z.output<ReturnType<typeof topSchema>>;
