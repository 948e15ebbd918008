/** Who asks: the API server in front says so in headers, and is believed when its certificate is of the authority that it has published for that (requestheader). */
import type { IncomingMessage } from 'node:http';
import type { TLSSocket } from 'node:tls';

/** Out of the ConfigMap kube-system/extension-apiserver-authentication. */
export interface RequestHeaderConfig {
  /** PEM. */
  clientCa: string;
  /** Common names that certificates may have; empty: any. */
  allowedNames: readonly string[];
  /** Lower case, in the order in which they are looked at. */
  userHeaders: readonly string[];
  groupHeaders: readonly string[];
  /** Headers that begin with one of these. */
  extraPrefixes: readonly string[];
}

export interface Caller {
  user: string;
  groups: string[];
  extra: Record<string, string[]>;
}

const USUAL = { user: 'x-remote-user', group: 'x-remote-group', extra: 'x-remote-extra-' } as const;
/** The API server's own limit is 1 MiB of headers; nobody is in more groups, or has more to say. */
const MAX_VALUES = 1000;

/** null: the ConfigMap doesn't have what is needed. `data` holds JSON lists. */
export function requestHeaderConfig(data: Readonly<Record<string, string>> | undefined): RequestHeaderConfig | null {
  const clientCa = data?.['requestheader-client-ca-file'] ?? '';
  if (clientCa === '') return null;
  const list = (key: string, usual: readonly string[]): string[] => {
    try {
      const value: unknown = JSON.parse(data?.[`requestheader-${key}`] ?? '');
      if (Array.isArray(value) && value.every((one) => typeof one === 'string')) return value;
    } catch {
      // As if it were not there.
    }
    return [...usual];
  };
  const lower = (names: readonly string[]): string[] => names.map((name) => name.toLowerCase());
  return {
    clientCa,
    allowedNames: list('allowed-names', []),
    userHeaders: lower(list('username-headers', [USUAL.user])),
    groupHeaders: lower(list('group-headers', [USUAL.group])),
    extraPrefixes: lower(list('extra-headers-prefix', [USUAL.extra])),
  };
}

/** null: whoever asks is not the API server, or says nobody's name. */
export function callerOf(request: IncomingMessage, config: RequestHeaderConfig): Caller | null {
  const socket = request.socket as TLSSocket;
  if (!socket.authorized) return null;
  const { subject } = socket.getPeerCertificate();
  const names = [subject?.CN ?? []].flat();
  if (config.allowedNames.length > 0 && !names.some((name) => config.allowedNames.includes(name))) return null;
  const user = config.userHeaders.flatMap((name) => valuesOf(request, name))[0];
  if (user === undefined || user === '') return null;
  const extra: Record<string, string[]> = Object.create(null) as Record<string, string[]>;
  for (const prefix of config.extraPrefixes) {
    for (const name of Object.keys(request.headersDistinct)) {
      if (name.startsWith(prefix) && name.length > prefix.length)
        extra[decoded(name.slice(prefix.length))] = valuesOf(request, name);
    }
  }
  return { user, groups: config.groupHeaders.flatMap((name) => valuesOf(request, name)), extra };
}

function valuesOf(request: IncomingMessage, name: string): string[] {
  return (request.headersDistinct[name] ?? []).slice(0, MAX_VALUES);
}

function decoded(text: string): string {
  try {
    return decodeURIComponent(text);
  } catch {
    return text;
  }
}
