/** The settings of a translation that come from elsewhere in this program: documented defaults, checks of filters, expressions and certificates. */
import { createSecureContext } from 'node:tls';
import { parseConfig, type ConfigRegistry } from '../../config/index.ts';
import { partEntry, type PartSchemas } from '../../config/schema/named-parts.ts';
import { regex } from '../../config/schema/scalars.ts';
import type { FilterConfig } from '../../model/config.ts';
import { NamedBackend } from '../../model/named-backend.ts';
import { NamedFile } from '../../model/named-file.ts';
import { checkPair } from '../../tls/certificate-pair.ts';
import type { Secret } from './objects.ts';
import type { Compiled, Defaults, TranslationSettings } from './translation.ts';

/** The file with the least in it: everything else of it is a default. */
const LEAST = `
listeners: [{ name: web, address: "127.0.0.1:1" }]
backends: { one: { servers: ["http://127.0.0.1:1"] } }
`;

/** What the configuration fills in where nothing is written. */
export function documentedDefaults(registry: ConfigRegistry): Defaults {
  const config = parseConfig(LEAST, { file: 'defaults', env: {}, registry, cores: 1 });
  const {
    name: _name,
    address: _address,
    protocol: _protocol,
    backend: _backend,
    tls: _tls,
    ...listener
  } = config.listeners[0]!;
  const { name: _one, source: _source, ...backend } = config.backends[0]!;
  const { timeouts, retry, webSocket, sse } = config.routes[0]!.rules[0]!;
  return {
    listener,
    tls: { minVersion: '1.2', clientAuth: { caFile: null, mode: 'none' }, hsts: null },
    rule: { timeouts, retry, webSocket, sse },
    backend,
  };
}

/** Ports of a pod that its process may listen on without rights: those below 1024 are 8000 higher (80 is 8080, 443 is 8443). */
export function unprivilegedPort(port: number): number {
  return port < 1024 ? port + 8000 : port;
}

/** What is wrong with an expression (RE2's syntax), as a sentence; null: nothing. */
export function patternProblem(source: string): string | null {
  const { error } = regex().safeParse(source);
  return error === undefined ? null : (error.issues[0]?.message ?? 'is not a regular expression');
}

/** Checks Secrets' certificates, each content once for as long as its object is kept. */
export function certificateChecks(): TranslationSettings['checkCertificate'] {
  const known = new WeakMap<Secret, string | null>();
  return (secret, pem) => {
    let problem = known.get(secret);
    if (problem === undefined) {
      problem = certificateProblem(pem);
      known.set(secret, problem);
    }
    return problem;
  };
}

function certificateProblem({ cert, key }: { cert: string; key: string }): string | null {
  const checked = checkPair(Buffer.from(cert, 'latin1'), Buffer.from(key, 'latin1'));
  if (!checked.ok) return `${checked.which === 'cert' ? 'tls.crt' : 'tls.key'}: ${checked.reason}`;
  try {
    createSecureContext({ cert, key });
    return null;
  } catch (error) {
    return `OpenSSL refuses it (${(error as { code?: string }).code ?? 'unknown reason'})`;
  }
}

/**
 * Checks one entry of a rule's filters (`{ cors: { … } }`) with the schemas of the registry. Filters that name a file are refused: a gateway's pod has none of them.
 */
export function filterCompiler(registry: ConfigRegistry): TranslationSettings['compileFilter'] {
  const plugins = Object.entries(registry.plugins?.filters ?? {}).flatMap(([name, { options }]) =>
    options === undefined ? [] : [[name, options as PartSchemas[string]] as const],
  );
  const schema = partEntry('filter', { ...registry.filters, ...Object.fromEntries(plugins) }, {});
  return (entry, backendOf): Compiled<FilterConfig> => {
    const parsed = schema.safeParse(entry);
    if (!parsed.success) {
      const { path, message } = parsed.error.issues[0]!;
      return { ok: false, problem: `${path.length === 0 ? '' : `${path.join('.')}: `}${message}` };
    }
    try {
      return { ok: true, value: { type: parsed.data.type, options: withoutNames(parsed.data.options, backendOf) } };
    } catch (error) {
      if (error instanceof UnusableName) return { ok: false, problem: error.message };
      throw error;
    }
  };
}

class UnusableName extends Error {}

/** What schemas leave for the configuration to look up (model/named-file.ts, model/named-backend.ts). */
function withoutNames(value: unknown, backendOf: (name: string) => string | null): unknown {
  if (value instanceof NamedFile) {
    throw new UnusableName(`names the file ${value.written}, and a gateway's pod has no such file; write its content`);
  }
  if (value instanceof NamedBackend) {
    const name = backendOf(value.name);
    if (name === null) throw new UnusableName(`there is no Backend ${value.name} in this namespace`);
    return name;
  }
  if (Array.isArray(value)) return value.map((item) => withoutNames(item, backendOf));
  if (typeof value !== 'object' || value === null || Object.getPrototypeOf(value) !== Object.prototype) return value;
  return Object.fromEntries(Object.entries(value).map(([key, item]) => [key, withoutNames(item, backendOf)]));
}
