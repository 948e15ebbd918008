/**
 * kubectl's configuration file, as far as a program without plugins can use it: certificates, tokens and token files. What needs another program or is gone
 * from Kubernetes (exec, auth-provider, basic) is refused with what to use instead.
 */
import { delimiter, dirname, isAbsolute, join } from 'node:path';
import { parse } from 'yaml';
import { DormouseError } from '../model/errors.ts';
import type { Clock } from '../model/ports.ts';
import { checkPair, readCertificates } from '../tls/certificate-pair.ts';
import type { ClusterConfig, ClusterConfigOptions, Credentials, TlsSettings } from './cluster-config.ts';
import { TlsRevision } from './credential-files.ts';
import { readSmallFile, RotatingFile } from './rotating-file.ts';

const MAX_BYTES = 16 * 1024 * 1024;

type Fields = Record<string, unknown>;

/** A cluster, user or context, and where it was found: relative paths in it start there. */
interface Entry {
  file: string;
  name: string;
  fields: Fields;
}

interface Kubeconfig {
  /** Those that were there, for messages. */
  files: string[];
  current: string;
  clusters: Map<string, Entry>;
  users: Map<string, Entry>;
  contexts: Map<string, Entry>;
}

/** Rejects with DORMOUSE_KUBECONFIG, which names file, entry and key. */
export async function loadKubeconfig(options: ClusterConfigOptions): Promise<ClusterConfig> {
  const merged = await readAll(pathsOf(options));
  const contextName = options.context ?? merged.current;
  const where = merged.files.join(', ');
  if (contextName === '') {
    throw failure(`${where} has no current-context: choose one with "kubectl config use-context", or name a context`);
  }
  const context = merged.contexts.get(contextName);
  if (context === undefined) {
    const known = [...merged.contexts.keys()].slice(0, 20).join(', ');
    throw failure(`${where} has no context "${contextName}"; ${known === '' ? 'there is none' : `there are ${known}`}`);
  }
  const cluster = referred(context, 'cluster', merged.clusters);
  const user = text(context, 'user') === '' ? null : referred(context, 'user', merged.users);
  const { tls, read } = await tlsReader(cluster, user, options.clock);
  const token = user === null ? async () => null : tokenReader(user, options.clock);
  const revision = new TlsRevision();
  // Refuses at once what can't be used.
  await token();

  const groups = user?.fields['as-groups'];
  const impersonated = user === null ? '' : text(user, 'as');
  return {
    server: serverOf(cluster),
    source: `context "${contextName}" of ${context.file}`,
    namespace: text(context, 'namespace') || 'default',
    ...(impersonated === ''
      ? {}
      : { impersonate: { user: impersonated, groups: Array.isArray(groups) ? groups.map(String) : [] } }),
    credentials: async (fresh?: boolean): Promise<Credentials> => {
      const [bearer, now] = await Promise.all([token(fresh), read === null ? tls : read(fresh)]);
      return { token: bearer, tls: now, tlsRevision: revision.of(now) };
    },
  };
}

function pathsOf({ kubeconfig, env, home }: ClusterConfigOptions): { paths: string[]; mayMiss: boolean } {
  if (kubeconfig !== undefined) return { paths: [kubeconfig], mayMiss: false };
  const listed = (env['KUBECONFIG'] ?? '').split(delimiter).filter((path) => path !== '');
  return listed.length > 0
    ? { paths: listed, mayMiss: true }
    : { paths: [join(home, '.kube', 'config')], mayMiss: false };
}

/** Several files are one: what the first says of a name holds. */
async function readAll({ paths, mayMiss }: { paths: string[]; mayMiss: boolean }): Promise<Kubeconfig> {
  const merged: Kubeconfig = { files: [], current: '', clusters: new Map(), users: new Map(), contexts: new Map() };
  for (const path of paths) {
    let content: Buffer;
    try {
      content = await readSmallFile(path, MAX_BYTES);
    } catch (error) {
      if (mayMiss && paths.length > 1 && (error as NodeJS.ErrnoException).code === 'ENOENT') continue;
      throw failure(
        `${path} can't be read (${(error as Error).message}): name another kubeconfig file, or set KUBECONFIG`,
        error,
      );
    }
    let document: unknown;
    try {
      document = parse(content.toString('utf8'));
    } catch (error) {
      throw failure(`${path} is no YAML: ${(error as Error).message}`, error);
    }
    // An empty file is what `touch` leaves: kubectl takes it too.
    const fields = document === null ? {} : asFields(document, path);
    merged.files.push(path);
    if (merged.current === '') merged.current = String(fields['current-context'] ?? '');
    collect(merged.clusters, path, fields, 'clusters', 'cluster');
    collect(merged.users, path, fields, 'users', 'user');
    collect(merged.contexts, path, fields, 'contexts', 'context');
  }
  if (merged.files.length === 0) throw failure(`none of the files of KUBECONFIG exists: ${paths.join(', ')}`);
  return merged;
}

function collect(into: Map<string, Entry>, file: string, document: Fields, list: string, key: string): void {
  const items = document[list] ?? [];
  if (!Array.isArray(items)) throw failure(`${file}: ${list} must be a list`);
  for (const item of items) {
    const fields = asFields(item, `${file}: an entry of ${list}`);
    const name = fields['name'];
    if (typeof name !== 'string' || name === '') throw failure(`${file}: an entry of ${list} has no name`);
    if (into.has(name)) continue;
    into.set(name, { file, name, fields: asFields(fields[key] ?? {}, `${file}: ${key} "${name}"`) });
  }
}

function asFields(value: unknown, what: string): Fields {
  if (typeof value !== 'object' || value === null || Array.isArray(value)) throw failure(`${what} must be a mapping`);
  return value as Fields;
}

function text(entry: Entry, key: string): string {
  const value = entry.fields[key] ?? '';
  if (typeof value !== 'string') throw failure(`${entry.file}: ${key} of "${entry.name}" must be a text`);
  return value;
}

function referred(context: Entry, key: 'cluster' | 'user', among: Map<string, Entry>): Entry {
  const name = text(context, key);
  const found = among.get(name);
  if (found === undefined) {
    throw failure(`${context.file}: context "${context.name}" names the ${key} "${name}", which is not there`);
  }
  return found;
}

function serverOf(cluster: Entry): string {
  const server = text(cluster, 'server');
  const url = URL.canParse(server) ? new URL(server) : null;
  if (url === null || !/^https?:$/.test(url.protocol) || url.search !== '' || url.username !== '') {
    throw failure(
      `${cluster.file}: server of cluster "${cluster.name}" must be an address such as https://10.0.0.1:6443, not "${server}"`,
    );
  }
  if (text(cluster, 'proxy-url') !== '') {
    throw failure(
      `${cluster.file}: cluster "${cluster.name}" has a proxy-url, which is not supported: use an address of the API server that is reached without, such as "kubectl proxy" on this machine`,
    );
  }
  return url.origin + url.pathname.replace(/\/+$/, '');
}

/** A file's path or the content itself, base64; the content wins, as with kubectl. */
function source(entry: Entry, key: string, clock: Clock): Buffer | RotatingFile | null {
  const data = text(entry, `${key}-data`);
  if (data !== '') {
    const decoded = Buffer.from(data, 'base64');
    if (decoded.length === 0) throw failure(`${entry.file}: ${key}-data of "${entry.name}" is not base64`);
    return decoded;
  }
  const path = text(entry, key);
  return path === '' ? null : new RotatingFile(resolved(entry, path), clock);
}

function resolved(entry: Entry, path: string): string {
  return isAbsolute(path) ? path : join(dirname(entry.file), path);
}

async function contentOf(from: Buffer | RotatingFile | null, what: string, fresh = false): Promise<Buffer | null> {
  if (!(from instanceof RotatingFile)) return from;
  try {
    return await from.read(fresh);
  } catch (error) {
    throw failure(`${what}: ${from.path} can't be read (${(error as Error).message})`, error);
  }
}

/** `read` is null when nothing of it lies in files. */
async function tlsReader(
  cluster: Entry,
  user: Entry | null,
  clock: Clock,
): Promise<{ tls: TlsSettings; read: ((fresh?: boolean) => Promise<TlsSettings>) | null }> {
  const ca = source(cluster, 'certificate-authority', clock);
  const insecure = cluster.fields['insecure-skip-tls-verify'] === true;
  if (insecure && ca !== null) {
    throw failure(
      `${cluster.file}: cluster "${cluster.name}" has both insecure-skip-tls-verify and a certificate-authority: take one away`,
    );
  }
  const cert = user === null ? null : source(user, 'client-certificate', clock);
  const key = user === null ? null : source(user, 'client-key', clock);
  if ((cert === null) !== (key === null)) {
    throw failure(
      `${user!.file}: user "${user!.name}" has a client-${cert === null ? 'key' : 'certificate'} without its client-${cert === null ? 'certificate' : 'key'}`,
    );
  }
  const serverName = text(cluster, 'tls-server-name') || null;
  const ofCluster = `${cluster.file}: cluster "${cluster.name}"`;
  const ofUser = user === null ? '' : `${user.file}: user "${user.name}"`;

  let last: TlsSettings | null = null;
  const read = async (fresh?: boolean): Promise<TlsSettings> => {
    const authorities = await contentOf(ca, `${ofCluster}: certificate-authority`, fresh);
    const now: TlsSettings = {
      ca: authorities,
      cert: await contentOf(cert, `${ofUser}: client-certificate`, fresh),
      key: await contentOf(key, `${ofUser}: client-key`, fresh),
      serverName,
      insecure,
    };
    if (last !== null && last.ca === now.ca && last.cert === now.cert && last.key === now.key) return last;
    try {
      checkTls(now, ofCluster, ofUser);
    } catch (error) {
      // A certificate is replaced before its key, or the other way round: the pair that worked is used until both are there.
      if (last === null) throw error;
      return last;
    }
    last = now;
    return now;
  };
  const rotates = [ca, cert, key].some((from) => from instanceof RotatingFile);
  return { tls: await read(), read: rotates ? read : null };
}

function checkTls({ ca, cert, key }: TlsSettings, ofCluster: string, ofUser: string): void {
  const authorities = ca === null ? [] : readCertificates(ca);
  if (typeof authorities === 'string')
    throw failure(`${ofCluster}: certificate-authority can't be used: ${authorities}`);
  if (cert === null || key === null) return;
  const pair = checkPair(cert, key);
  if (!pair.ok) {
    throw failure(`${ofUser}: client-${pair.which === 'cert' ? 'certificate' : 'key'} can't be used: ${pair.reason}`);
  }
}

function tokenReader(user: Entry, clock: Clock): (fresh?: boolean) => Promise<string | null> {
  const instead =
    'use a token (kubectl create token), a tokenFile or a client certificate in a kubeconfig of its own; in a cluster the pod has its service account';
  const of = `${user.file}: user "${user.name}"`;
  if (user.fields['exec'] !== undefined) {
    throw failure(`${of} runs a program for its credentials (exec), which is not supported: ${instead}`);
  }
  if (user.fields['auth-provider'] !== undefined) {
    throw failure(`${of} uses an auth-provider, which Kubernetes 1.26 has dropped: ${instead}`);
  }
  if (user.fields['username'] !== undefined || user.fields['password'] !== undefined) {
    throw failure(`${of} has a username and password, which Kubernetes 1.19 has dropped: ${instead}`);
  }
  const path = text(user, 'tokenFile');
  const token = text(user, 'token') || null;
  if (path === '') return async () => token;
  const file = new RotatingFile(resolved(user, path), clock);
  return async (fresh) => (await contentOf(file, `${of}: tokenFile`, fresh))!.toString('latin1').trim();
}

function failure(message: string, cause?: unknown): DormouseError {
  return new DormouseError('DORMOUSE_KUBECONFIG', message, { cause, userFault: true });
}
