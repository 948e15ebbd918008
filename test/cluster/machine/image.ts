/** Images without a base image from anywhere: built from scratch with buildah out of this machine's files, kept as archives in the cache, loaded into containerd. */
import { createHash } from 'node:crypto';
import {
  existsSync,
  lstatSync,
  mkdirSync,
  readFileSync,
  readdirSync,
  renameSync,
  rmSync,
  writeFileSync,
} from 'node:fs';
import { dirname, join } from 'node:path';
import { planNodes, type ClusterNode } from './node-plan.ts';
import { CACHE_FOLDER } from './places.ts';
import { run } from './run.ts';
import { readState, withLock, writeState, type State } from './state.ts';

export interface ImageRequest {
  /** As pods name it: dormouse.test/app:latest, dormouse:test. */
  name: string;
  /** Place in the image -> file or folder of this machine (symbolic links are followed), or text. */
  files: Readonly<Record<string, string | { text: string }>>;
  entrypoint: readonly string[];
  env?: Readonly<Record<string, string>>;
  /** Number, maybe with a group: 65532, 65532:65532. Default: root. */
  user?: string;
  workingFolder?: string;
  /** An image that it stands on, whose layers are then shared. */
  base?: ImageRequest;
}

export interface Image {
  name: string;
  /** An archive in docker's format. Its name has the hash of what it was built from. */
  archive: string;
}

const ARCHIVES = join(CACHE_FOLDER, 'images');
const STORAGE = join(CACHE_FOLDER, 'buildah');
const BUILD_TIMEOUT_MS = 5 * 60_000;
const KEPT_VERSIONS = 6;

/** Builds it unless the cache has it: files are compared by their names, sizes and times. */
export async function buildImage(request: ImageRequest): Promise<Image> {
  const stem = request.name.replaceAll(/[^\w.-]/g, '_');
  const archive = join(ARCHIVES, `${stem}-${hashOf(request)}.tar`);
  if (!existsSync(archive)) {
    mkdirSync(CACHE_FOLDER, { recursive: true });
    // Checkouts share the cache: what one takes away as old may be what another one's build stands on.
    await withLock(() => build(request, stem, archive), `${STORAGE}.lock`);
  }
  return { name: request.name, archive };
}

async function build(request: ImageRequest, stem: string, archive: string): Promise<void> {
  if (existsSync(archive)) return;
  const reference = await commit(request);
  const temporary = `${archive}.${process.pid}`;
  mkdirSync(ARCHIVES, { recursive: true });
  try {
    await buildah(['push', '--quiet', reference, `docker-archive:${temporary}:${fullName(request.name)}`]);
    renameSync(temporary, archive);
  } finally {
    rmSync(temporary, { force: true });
  }
  dropOldArchives(stem);
  await dropOldVersions(reference);
}

/** Loads an archive into every node of the running cluster under `name`, and into those that are added later. Nothing where this very archive is loaded already. */
export function loadImage(image: Image): Promise<void> {
  return withLock(async () => {
    const state = readState();
    if (state === null || state.nodes === 0)
      throw new Error("the cluster has no node to load images into: 'npm run cluster -- up' first");
    await loadIntoNodes(state, planNodes(state.nodes), [image]);
  });
}

/** Remembers them in the state. */
export async function loadIntoNodes(
  state: State,
  nodes: readonly ClusterNode[],
  images: readonly Image[],
): Promise<void> {
  for (const image of images) for (const node of nodes) await loadIntoNode(node, image);
  for (const { name, archive } of images) state.images[name] = archive;
  writeState(state);
}

async function loadIntoNode(node: ClusterNode, { name, archive }: Image): Promise<void> {
  const { mtimeMs, size } = lstatSync(archive);
  const identity = `${archive} ${size} ${mtimeMs}`;
  const record = join(node.folder, 'images', encodeURIComponent(name));
  if (existsSync(record) && readFileSync(record, 'utf8') === identity) return;
  const ctr = ['ctr', '--address', node.containerdSocket, '--namespace', 'k8s.io', 'images'];
  const printed = await run([...ctr, 'import', archive], { timeoutMs: BUILD_TIMEOUT_MS });
  const imported = /^unpacking (\S+) /m.exec(printed)?.[1];
  if (imported === undefined) throw new Error(`${archive} holds no image: ctr printed\n${printed}`);
  if (imported !== fullName(name)) await run([...ctr, 'tag', '--force', imported, fullName(name)]);
  mkdirSync(dirname(record), { recursive: true });
  writeFileSync(record, identity);
}

/** What the container runtime makes of a short name: dormouse:test is docker.io/library/dormouse:test. */
export function fullName(name: string): string {
  const [first = '', ...rest] = name.split('/');
  const tagged = /:[^/]+$/.test(name) ? name : `${name}:latest`;
  if (rest.length === 0) return `docker.io/library/${tagged}`;
  return /[.:]|^localhost$/.test(first) ? tagged : `docker.io/${tagged}`;
}

/** The image's name in buildah's own storage. */
async function commit(request: ImageRequest): Promise<string> {
  const reference = `localhost/build/${request.name.replaceAll(/[^\w.-]/g, '_').toLowerCase()}:${hashOf(request)}`;
  const known = await buildah(['images', '--quiet', '--filter', `reference=${reference}`]);
  if (known.trim() !== '') return reference;
  const base = request.base === undefined ? 'scratch' : await commit(request.base);
  const context = join(STORAGE, `context-${process.pid}-${hashOf(request)}`);
  try {
    await stage(request, join(context, 'root'));
    writeFileSync(join(context, 'Containerfile'), containerfile(request, base));
    await buildah([
      'bud',
      '--quiet',
      '--pull-never',
      '--tag',
      reference,
      '-f',
      join(context, 'Containerfile'),
      context,
    ]);
  } finally {
    rmSync(context, { recursive: true, force: true });
  }
  return reference;
}

async function stage(request: ImageRequest, root: string): Promise<void> {
  for (const [place, source] of Object.entries(request.files)) {
    const target = join(root, place);
    mkdirSync(dirname(target), { recursive: true });
    if (typeof source !== 'string') writeFileSync(target, source.text);
    else await run(['cp', '--recursive', '--dereference', '--preserve=mode', '--no-target-directory', source, target]);
  }
  if (request.base === undefined) await run(['mkdir', '-p', '-m', '1777', join(root, 'tmp')]);
}

function containerfile(request: ImageRequest, base: string): string {
  return [
    `FROM ${base}`,
    'COPY root/ /',
    ...Object.entries(request.env ?? {}).map(([name, value]) => `ENV ${name}=${JSON.stringify(value)}`),
    ...(request.workingFolder === undefined ? [] : [`WORKDIR ${request.workingFolder}`]),
    ...(request.user === undefined ? [] : [`USER ${request.user}`]),
    `ENTRYPOINT ${JSON.stringify(request.entrypoint)}`,
    '',
  ].join('\n');
}

async function buildah(args: readonly string[]): Promise<string> {
  mkdirSync(STORAGE, { recursive: true });
  const storage = ['--root', join(STORAGE, 'root'), '--runroot', join(STORAGE, 'run'), '--storage-driver', 'overlay'];
  return run(['buildah', ...storage, ...args], { timeoutMs: BUILD_TIMEOUT_MS });
}

function hashOf(request: ImageRequest): string {
  const hash = createHash('sha256').update(JSON.stringify(request));
  const add = (path: string): void => {
    const stat = lstatSync(path);
    if (stat.isDirectory()) for (const name of readdirSync(path).toSorted()) add(join(path, name));
    else hash.update(`${path} ${stat.size} ${stat.mtimeMs} ${stat.mode}\n`);
  };
  for (let layer: ImageRequest | undefined = request; layer !== undefined; layer = layer.base)
    for (const source of Object.values(layer.files)) if (typeof source === 'string') add(source);
  return hash.digest('hex').slice(0, 12);
}

/** The newest few archives of an image stay. */
function dropOldArchives(stem: string): void {
  const archives = readdirSync(ARCHIVES)
    .filter((file) => file.startsWith(`${stem}-`) && /^[0-9a-f]{12}\.tar$/.test(file.slice(stem.length + 1)))
    .map((file) => join(ARCHIVES, file))
    .toSorted((one, other) => lstatSync(other).mtimeMs - lstatSync(one).mtimeMs);
  for (const old of archives.slice(KEPT_VERSIONS)) rmSync(old, { force: true });
}

/** Of buildah's own storage only the newest version stays, for images that stand on it. */
async function dropOldVersions(reference: string): Promise<void> {
  const name = reference.slice(0, reference.lastIndexOf(':'));
  const listed = await buildah(['images', '--format', '{{.Name}}:{{.Tag}}', '--filter', `reference=${name}`]);
  const old = listed.split('\n').filter((line) => line !== '' && line !== reference);
  // Another process may be using or removing one: it stays until the next time.
  if (old.length > 0) await buildah(['rmi', ...old]).catch(() => {});
}
