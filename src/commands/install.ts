/** `dormouse install`: the manifests of a cluster's installation, for those who don't use Helm. They are the chart's, rendered with its defaults (`npm run chart`). */
import { readFileSync, readdirSync } from 'node:fs';
import { DormouseError } from '../model/errors.ts';
import { nearestName } from '../model/nearest-name.ts';
import type { CommandContext, CommandOptions } from './command.ts';
import { packageVersion } from './package-version.ts';

/** At the same distance from src/ and from dist/. */
const CRDS = new URL('../../charts/dormouse/crds/', import.meta.url);
const RENDERED = new URL('../../charts/rendered/install.yaml', import.meta.url);

/** What `--set` takes; everything else is for Helm and Kustomize. */
interface Setting {
  /** As `${…}` in the rendered file. */
  variable: string;
  standard: string;
  accepted: RegExp;
  expected: string;
}

const UP_TO_1000 = /^([1-9]\d{0,2}|1000)$/;
const SETTINGS: Readonly<Record<string, Setting>> = {
  'operator.replicas': {
    variable: 'OPERATOR_REPLICAS',
    standard: '2',
    accepted: /^([1-9]|10)$/,
    expected: 'a whole number from 1 to 10',
  },
  'gateway.replicas': {
    variable: 'GATEWAY_REPLICAS',
    standard: '2',
    accepted: UP_TO_1000,
    expected: 'a whole number from 1 to 1000',
  },
  'gateway.service.type': {
    variable: 'SERVICE_TYPE',
    standard: 'ClusterIP',
    accepted: /^(ClusterIP|NodePort|LoadBalancer)$/,
    expected: 'ClusterIP, NodePort or LoadBalancer',
  },
  'image.pullPolicy': {
    variable: 'PULL_POLICY',
    standard: 'IfNotPresent',
    accepted: /^(Always|IfNotPresent|Never)$/,
    expected: 'Always, IfNotPresent or Never',
  },
};

const NAMESPACE = /^[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?$/;
/** What may stand in a reference of an image; where exactly is the container runtime's to say. */
const IMAGE = /^[a-z0-9][A-Za-z0-9._:/@-]{0,511}$/;

export async function run(context: CommandContext, _args: readonly string[], options: CommandOptions): Promise<number> {
  const text = manifests(valuesOf(options), {
    gatewayClass: options.gatewayClass === true,
    crds: options.crds !== false,
  });
  context.out(text);
  return 0;
}

/** Variable -> what it is filled with. Throws DORMOUSE_USAGE. */
function valuesOf(options: CommandOptions): Map<string, string> {
  const values = new Map<string, string>();
  values.set(
    'NAMESPACE',
    accepted('--namespace', options.namespace ?? 'dormouse-system', NAMESPACE, 'a name of a namespace'),
  );
  values.set(
    'IMAGE',
    accepted('--image', options.image ?? `dormouse:${packageVersion()}`, IMAGE, 'a name of an image'),
  );
  for (const { variable, standard } of Object.values(SETTINGS)) values.set(variable, standard);
  if (options.replicas !== undefined) {
    for (const key of ['operator.replicas', 'gateway.replicas'] as const)
      set(values, key, options.replicas, '--replicas');
  }
  for (const entry of (options.set as string[] | undefined) ?? []) {
    const [, key, value] = /^([^=]+)=(.*)$/s.exec(entry) ?? [];
    if (key === undefined) throw usage(`--set takes KEY=VALUE, not "${entry}"`);
    set(values, key, value, `--set ${key}`);
  }
  return values;
}

function set(values: Map<string, string>, key: string, value: unknown, option: string): void {
  const setting = SETTINGS[key];
  if (setting === undefined) {
    const near = nearestName(key, Object.keys(SETTINGS));
    throw usage(
      `--set does not know ${key}${near === null ? '' : ` (did you mean ${near}?)`}: it knows ${Object.keys(SETTINGS).join(', ')}. For all other values use the chart in charts/dormouse with Helm`,
    );
  }
  values.set(setting.variable, accepted(option, value, setting.accepted, setting.expected));
}

function accepted(option: string, value: unknown, pattern: RegExp, expected: string): string {
  if (typeof value === 'string' && pattern.test(value)) return value;
  throw usage(`${option} takes ${expected}, not "${String(value)}"`);
}

/** YAML documents in an order in which they can be applied: CRDs first. Throws DORMOUSE_PACKAGE when the files are missing. */
function manifests(values: ReadonlyMap<string, string>, wanted: { gatewayClass: boolean; crds: boolean }): string {
  const documents = read(RENDERED)
    .replace(/^# Written by .*\n/, '')
    .split(/^---\n/m)
    .filter((text) => wanted.gatewayClass || !/^kind: GatewayClass$/m.test(text))
    .map((text) => text.replace(/\$\{([A-Z_]+)\}/g, (whole, name: string) => values.get(name) ?? whole));
  const crds = wanted.crds ? crdFiles().map((name) => read(new URL(name, CRDS)).replace(/^---\n/, '')) : [];
  return [...crds, ...documents].map((text) => (text.endsWith('\n') ? text : `${text}\n`)).join('---\n');
}

function crdFiles(): string[] {
  try {
    return readdirSync(CRDS)
      .filter((name) => name.endsWith('.yaml'))
      .toSorted();
  } catch (error) {
    throw missing(error);
  }
}

function read(file: URL): string {
  try {
    return readFileSync(file, 'utf8');
  } catch (error) {
    throw missing(error);
  }
}

function missing(cause: unknown): DormouseError {
  return new DormouseError(
    'DORMOUSE_PACKAGE',
    `files of this package can't be read (${cause instanceof Error ? cause.message : String(cause)}); install it again`,
    { cause, userFault: true },
  );
}

function usage(message: string): DormouseError {
  return new DormouseError('DORMOUSE_USAGE', message, { userFault: true });
}
