/** The settings of a translation that come from elsewhere in this program: documented defaults, checks of expressions and certificates. */
import { createSecureContext } from 'node:tls';
import { parseConfig, type ConfigRegistry } from '../../config/index.ts';
import { regex } from '../../config/schema/scalars.ts';
import { checkPair } from '../../tls/certificate-pair.ts';
import type { Secret } from './objects.ts';
import type { Defaults, TranslationSettings } from './translation.ts';

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

/** A pod's process may not listen below 1024 without rights: these ports are 10000 higher (80 is 10080, 443 is 10443), which leaves 8080 and 8443 to listeners of their own. */
const PRIVILEGED_OFFSET = 10_000;

/** Where gateways listen for a port of a Gateway's listener. `taken`: ports on which their pods listen for something else, of which none can be had. */
export function podPorts(taken: (port: number) => boolean): TranslationSettings['containerPort'] {
  return (port) => {
    const own = port < 1024 ? port + PRIVILEGED_OFFSET : port;
    return taken(own) ? null : own;
  };
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
