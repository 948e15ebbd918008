/** Rules that span entries: who refers to whom, what must be unique, what goes round in a circle. */
import type { BackendConfig, ListenerConfig, RouteConfig } from '../model/config.ts';
import type { Path, Problem } from './config-error.ts';
import { problem } from './explain.ts';
import type { BackendMention } from './named-things.ts';
import { didYouMean } from './nearest.ts';

export interface Placed<T> {
  entry: T;
  /** Position in the file's list; -1 when it stands there by default. */
  index: number;
  /** A route with `backend:` in place of rules. */
  shortForm?: boolean;
}

/** Each listener's name and address is its own, and none is observe's. */
export function checkListeners(
  listeners: readonly Placed<ListenerConfig>[],
  observe: { host: string; port: number } | null,
): Problem[] {
  const problems: Problem[] = [];
  const names = new Map<string, number>();
  const addresses: { host: string; port: number; label: string }[] = [];
  for (const { entry, index } of listeners) {
    if (names.has(entry.name))
      problems.push(
        problem(
          ['listeners', index, 'name'],
          `${entry.name} is the name of another listener`,
          'give each a name of its own',
        ),
      );
    names.set(entry.name, index);
    const clash = entry.address.port === 0 ? undefined : addresses.find((other) => overlaps(other, entry.address));
    if (clash !== undefined) {
      problems.push(
        problem(
          ['listeners', index, 'address'],
          `port ${entry.address.port} is taken by ${clash.label}`,
          'choose another port',
        ),
      );
    }
    addresses.push({ ...entry.address, label: `listener ${entry.name}` });
  }
  const taken =
    observe === null || observe.port === 0 ? undefined : addresses.find((other) => overlaps(other, observe));
  if (taken !== undefined) {
    const known = listeners.find(({ entry }) => `listener ${entry.name}` === taken.label)!;
    const path = known.index < 0 ? ['observe', 'address'] : ['listeners', known.index, 'address'];
    problems.push(
      problem(path, `port ${taken.port} is observe's and ${taken.label}'s`, 'choose another port for one of them'),
    );
  }
  return problems;
}

/**
 * A fixed port of a process is nobody else's: the second would never become ready, or its requests would reach the other. Only what listens
 * on the loopback address counts, which is where processes are reached; port 0 and auto are any free port.
 */
export function checkProcessPorts(
  backends: readonly BackendConfig[],
  listeners: readonly Placed<ListenerConfig>[],
  observe: { host: string; port: number } | null,
): Problem[] {
  const takers = new Map<number, string>();
  const take = ({ host, port }: { host: string; port: number }, label: string): void => {
    const local = { host: host === 'localhost' ? LOOPBACK : host, port };
    if (overlaps(local, { host: LOOPBACK, port }) && !takers.has(port)) takers.set(port, label);
  };
  for (const { entry } of listeners) take(entry.address, `listener ${entry.name}`);
  if (observe !== null) take(observe, 'observe');
  const problems: Problem[] = [];
  for (const { name, source } of backends) {
    if (source.driver !== 'process' || typeof source.process.port !== 'number') continue;
    const { port } = source.process;
    const taker = takers.get(port);
    if (taker !== undefined)
      problems.push(
        problem(
          ['backends', name, 'process', 'port'],
          `port ${port} is taken by ${taker}`,
          'choose another port, or write port: auto',
        ),
      );
    else takers.set(port, `backend ${name}`);
  }
  return problems;
}

const LOOPBACK = '127.0.0.1';

function overlaps(a: { host: string; port: number }, b: { host: string; port: number }): boolean {
  if (a.port !== b.port || a.port === 0) return false;
  const every = (host: string): boolean => host === '::' || host === '0.0.0.0';
  return a.host === b.host || every(a.host) || every(b.host);
}

/** `names`: every backend in the file, those that could not be compiled too. */
export function checkBackends(backends: readonly BackendConfig[], names: ReadonlySet<string>): Problem[] {
  const problems: Problem[] = [];
  const byName = new Map(backends.map((backend) => [backend.name, backend]));
  for (const backend of backends) {
    for (const [index, name] of backend.wake.with.entries()) {
      const path = ['backends', backend.name, 'wake', 'with', index];
      if (!names.has(name)) problems.push(unknownName(path, name, 'backend', names));
      else if (byName.get(name)?.source.driver === 'static') {
        problems.push(problem(path, `${name} has servers: that somebody else runs, so it can't be woken`, 'remove it'));
      }
    }
  }
  for (const cycle of wakeCycles(byName)) {
    const [first] = cycle as [string];
    const text =
      cycle.length === 1 ? `${first} waits for itself` : `goes round in a circle: ${[...cycle, first].join(' -> ')}`;
    problems.push(problem(['backends', first, 'wake', 'with'], text, 'take one of these dependencies away'));
  }
  return problems;
}

/** Each circle once, starting with its member that stands first in the file. Iterative, since a chain may be as long as the file. */
function wakeCycles(byName: ReadonlyMap<string, BackendConfig>): string[][] {
  const cycles: string[][] = [];
  const state = new Map<string, 'open' | 'done'>();
  for (const start of byName.keys()) {
    if (state.has(start)) continue;
    const stack: { name: string; next: number }[] = [{ name: start, next: 0 }];
    state.set(start, 'open');
    while (stack.length > 0) {
      const top = stack.at(-1)!;
      const target = byName.get(top.name)?.wake.with[top.next++];
      if (target === undefined) {
        state.set(top.name, 'done');
        stack.pop();
      } else if (state.get(target) === 'open') {
        const from = stack.findIndex((frame) => frame.name === target);
        cycles.push(stack.slice(from).map((frame) => frame.name));
      } else if (!state.has(target) && byName.has(target)) {
        state.set(target, 'open');
        stack.push({ name: target, next: 0 });
      }
    }
  }
  return cycles;
}

/** `listeners`: their protocols by name; null when not all names are known. */
export function checkRoutes(
  routes: readonly Placed<RouteConfig>[],
  backends: ReadonlySet<string>,
  listeners: ReadonlyMap<string, ListenerConfig['protocol']> | null,
): Problem[] {
  const problems: Problem[] = [];
  const names = new Set<string>();
  for (const { entry, index, shortForm } of routes) {
    if (index < 0) continue;
    if (names.has(entry.name))
      problems.push(
        problem(['routes', index], `${entry.name} is the name of another route`, 'give each a name of its own'),
      );
    names.add(entry.name);
    for (const [position, name] of entry.listeners.entries()) {
      if (listeners !== null && !listeners.has(name))
        problems.push(
          unknownName(['routes', index, 'listeners', position], name, 'listener', new Set(listeners.keys())),
        );
    }
    for (const [ruleIndex, rule] of entry.rules.entries()) {
      for (const [position, backend] of rule.backends.entries()) {
        if (backends.has(backend.name)) continue;
        const path = shortForm
          ? ['routes', index, 'backend']
          : ['routes', index, 'rules', ruleIndex, 'backends', position, 'name'];
        problems.push(unknownName(path, backend.name, 'backend', backends));
      }
    }
  }
  return problems;
}

/** Whether its instances have an address. Workers of a queue have none. */
export function listens({ source }: BackendConfig): boolean {
  if (source.driver === 'process') return source.process.port !== 'none';
  return source.driver === 'static' || source.kubernetes.service !== null || source.kubernetes.port !== 0;
}

/** Nothing leads to a backend that listens nowhere: what is sent there would wait for ever. */
export function checkListening(
  listeners: readonly Placed<ListenerConfig>[],
  routes: readonly Placed<RouteConfig>[],
  mentions: readonly BackendMention[],
  backends: readonly BackendConfig[],
): Problem[] {
  const silent = new Map(backends.filter((backend) => !listens(backend)).map(({ name, source }) => [name, source]));
  if (silent.size === 0) return [];
  const named: BackendMention[] = [...mentions];
  for (const { entry, index } of listeners)
    if (entry.backend !== null) named.push({ name: entry.backend, path: ['listeners', index, 'backend'] });
  for (const { entry, index, shortForm } of routes) {
    for (const [rule, { backends: leads }] of entry.rules.entries())
      for (const [position, { name }] of leads.entries())
        named.push({
          name,
          path:
            shortForm === true
              ? ['routes', index, 'backend']
              : ['routes', index, 'rules', rule, 'backends', position, 'name'],
        });
  }
  return named.flatMap(({ name, path }) => {
    const source = silent.get(name);
    if (source === undefined) return [];
    return source.driver === 'process'
      ? problem(path, `${name} listens nowhere (process.port is none)`, 'remove it, or write port: auto there')
      : problem(path, `${name} has neither a Service nor a port`, 'remove it, or name its Service there');
  });
}

/** Backends that filters ask, copy to or otherwise name. They are spoken to in HTTP. */
export function checkMentions(
  mentions: readonly BackendMention[],
  backends: readonly BackendConfig[],
  names: ReadonlySet<string>,
): Problem[] {
  const raw = new Set(backends.filter(({ endpoints }) => endpoints.protocol === 'tcp').map(({ name }) => name));
  return mentions.flatMap(({ name, path }) => {
    if (!names.has(name)) return unknownName(path, name, 'backend', names);
    return raw.has(name) ? problem(path, `${name} speaks raw TCP, not HTTP`, 'name another backend') : [];
  });
}

export function unknownName(path: Path, name: string, kind: string, names: ReadonlySet<string>): Problem {
  const few = names.size > 0 && names.size <= 10 ? `there are ${[...names].join(', ')}` : undefined;
  return problem(path, `there is no ${kind} ${JSON.stringify(name)}`, didYouMean(name, names) ?? few);
}
