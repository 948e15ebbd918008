/** Bodies that made backends, as entries of `backends:` and `routes:`. Loaded by the process that reads the configuration. */
import { fieldErrors, machineCreate, SETTINGS } from '../models.ts';

export interface MachineAdditions {
  source: string;
  backends: Record<string, unknown>;
  routes: { backend: string; route: unknown }[];
}

/** What is wrong with the form of a body. */
export interface BodyFault {
  name: string;
  /** Dotted, as keys of the configuration. */
  key: string;
  message: string;
  hint: string;
}

const KNOWN = ['hosts', 'path', 'listeners', 'process', 'servers', 'kubernetes', ...SETTINGS];

export function additionsOf(
  specs: Readonly<Record<string, Record<string, unknown>>>,
  source: string,
): { additions: MachineAdditions; faults: BodyFault[] } {
  const additions: MachineAdditions = { source, backends: {}, routes: [] };
  const faults: BodyFault[] = [];
  for (const [name, spec] of Object.entries(specs)) {
    const parsed = machineCreate.safeParse({ ...spec, name });
    if (!parsed.success) {
      for (const { field, detail, next } of fieldErrors(parsed.error, KNOWN))
        faults.push({ name, key: keyOf(field), message: detail, hint: next });
      continue;
    }
    const { hosts, path, listeners, name: _name, ...entry } = spec;
    additions.backends[name] = entry;
    if (parsed.data.hosts === undefined && parsed.data.path === undefined) {
      if (listeners !== undefined)
        faults.push({ name, key: 'listeners', message: 'has no effect without a route', hint: 'add hosts or path' });
      continue;
    }
    const matches = [{ path: { prefix: path ?? '/' } }];
    additions.routes.push({
      backend: name,
      route: {
        name: `api.${name}`,
        ...(hosts === undefined ? {} : { hosts }),
        ...(listeners === undefined ? {} : { listeners }),
        rules: [{ matches, backends: [{ name }] }],
      },
    });
  }
  return { additions, faults };
}

/** `/hosts/0` -> `hosts[0]`. */
function keyOf(pointer: string): string {
  return pointer
    .split('/')
    .slice(1)
    .map((part) => part.replaceAll('~1', '/').replaceAll('~0', '~'))
    .map((part, index) =>
      /^\d+$/.test(part)
        ? `[${part}]`
        : /^[\w-]{1,80}$/.test(part)
          ? `${index === 0 ? '' : '.'}${part}`
          : `[${JSON.stringify(part)}]`,
    )
    .join('');
}
