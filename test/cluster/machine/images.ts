/** The images that the cluster and its tests need. */
import { existsSync, readFileSync, realpathSync } from 'node:fs';
import { join } from 'node:path';
import { ensurePrograms, findProgram } from '../../../bench/packages.ts';
import { buildImage, type Image, type ImageRequest } from './image.ts';
import { PAUSE_IMAGE } from './node.ts';
import { REPOSITORY } from './places.ts';
import { program } from './programs.ts';
import { run } from './run.ts';

export const APP_IMAGE = 'dormouse.test/app:latest';
export const DORMOUSE_IMAGE = 'dormouse:test';
export const COREDNS_IMAGE = 'dormouse.test/coredns:latest';
export const KEDA_IMAGES = {
  keda: 'dormouse.test/keda:latest',
  'keda-metrics-apiserver': 'dormouse.test/keda-metrics-apiserver:latest',
  'keda-admission-webhooks': 'dormouse.test/keda-admission-webhooks:latest',
};

const NOBODY = '65532:65532';
const NODE = '/usr/local/bin/node';

export const buildPauseImage = (): Promise<Image> => buildGoImage(PAUSE_IMAGE, 'pause');
export const buildCorednsImage = (): Promise<Image> => buildGoImage(COREDNS_IMAGE, 'coredns', '0:0');

/** The programs are where KEDA's manifests look for them. */
export function buildKedaImages(): Promise<Image[]> {
  return inTurn([
    () => buildGoImage(KEDA_IMAGES.keda, 'keda'),
    () => buildGoImage(KEDA_IMAGES['keda-metrics-apiserver'], 'keda-adapter'),
    () => buildGoImage(KEDA_IMAGES['keda-admission-webhooks'], 'keda-admission-webhooks'),
  ]);
}

/** Those of the Gateway API's conformance suite, under the names that its manifests have. */
export async function buildConformanceImages(names: readonly string[]): Promise<Image[]> {
  const [echo, coredns] = [
    await buildGoImage('dormouse.test/echo-basic:latest', 'echo-basic'),
    await buildCorednsImage(),
  ];
  return names.map((name) => {
    const of = name.includes('/echo-basic:') ? echo : name.includes('/coredns:') ? coredns : null;
    if (of === null) throw new Error(`the conformance suite wants the image ${name}, which nothing here builds`);
    return { name, archive: of.archive };
  });
}

/** A static program and nothing else. */
function buildGoImage(name: string, file: string, user = NOBODY): Promise<Image> {
  return buildImage({ name, files: { [`/${file}`]: program(file) }, entrypoint: [`/${file}`], user });
}

/** The application that tests put to sleep: images/app/server.ts says what it answers. */
export async function buildAppImage(): Promise<Image> {
  return buildImage({
    name: APP_IMAGE,
    base: await nodeBase(),
    files: {
      '/app/server.ts': join(REPOSITORY, 'test/cluster/images/app/server.ts'),
      '/app/package.json': { text: '{ "type": "module" }\n' },
      '/app/node_modules/ws': join(REPOSITORY, 'node_modules/ws'),
    },
    entrypoint: [NODE, '/app/server.ts'],
    user: NOBODY,
    workingFolder: '/app',
  });
}

/** Dormouse as this checkout has it. Runs as nobody and writes nowhere but in /tmp. */
export async function buildDormouseImage(): Promise<Image> {
  return buildImage({
    name: DORMOUSE_IMAGE,
    base: {
      name: 'dormouse.test/dormouse-packages:latest',
      base: await nodeBase(),
      files: Object.fromEntries(productionPackages().map((path) => [`/dormouse/${path}`, join(REPOSITORY, path)])),
      entrypoint: [NODE],
    },
    files: {
      '/dormouse/package.json': join(REPOSITORY, 'package.json'),
      '/dormouse/src': join(REPOSITORY, 'src'),
      '/dormouse/examples/queue-demo': join(REPOSITORY, 'examples/queue-demo'),
    },
    entrypoint: [NODE, '/dormouse/src/commands/main.ts'],
    user: NOBODY,
    workingFolder: '/dormouse',
  });
}

/** A server of the distribution's (redis-server, nats-server), with the libraries that it is linked with. */
export async function buildServerImage(server: 'redis-server' | 'nats-server'): Promise<Image> {
  ensurePrograms([server]);
  const file = realpathSync(findProgram(server)!);
  return buildImage({
    name: `dormouse.test/${server}:latest`,
    files: { [`/usr/local/bin/${server}`]: file, '/tmp/.keep': { text: '' }, ...(await librariesOf(file)) },
    entrypoint: [`/usr/local/bin/${server}`],
  });
}

async function librariesOf(file: string): Promise<Record<string, string>> {
  const paths = Array.from((await run(['ldd', file])).matchAll(/(\/\S+) \(0x/g), (match) => match[1]!);
  return Object.fromEntries(paths.map((path) => [path, realpathSync(path)]));
}

/** Node as the lock file pins it, the libraries that it is linked with, and what a C library reads. */
async function nodeBase(): Promise<ImageRequest> {
  const node = realpathSync(process.execPath);
  return {
    name: 'dormouse.test/node:latest',
    files: {
      [NODE]: node,
      ...(await librariesOf(node)),
      '/etc/passwd': { text: 'root:x:0:0:root:/:/sbin/nologin\nnobody:x:65532:65532:nobody:/tmp:/sbin/nologin\n' },
      '/etc/group': { text: 'root:x:0:\nnobody:x:65532:\n' },
      '/etc/nsswitch.conf': { text: 'hosts: files dns\n' },
    },
    entrypoint: [NODE],
  };
}

/** Folders below node_modules that an installation without development would have, except the pinned Node, which is in the base. */
function productionPackages(): string[] {
  const lock = JSON.parse(readFileSync(join(REPOSITORY, 'package-lock.json'), 'utf8')) as {
    packages: Record<string, { dev?: boolean; devOptional?: boolean; optional?: boolean }>;
  };
  const wanted = Object.entries(lock.packages)
    .filter(([path, { dev, optional }]) => path !== '' && !dev && !optional && existsSync(join(REPOSITORY, path)))
    .map(([path]) => path);
  // A package's own node_modules come with it, one kept out by these rules too.
  return wanted.filter((path) => !wanted.some((other) => path.startsWith(`${other}/`)));
}

async function inTurn<T>(tasks: readonly (() => Promise<T>)[]): Promise<T[]> {
  const results: T[] = [];
  for (const task of tasks) results.push(await task());
  return results;
}
