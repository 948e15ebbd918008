import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { test } from 'node:test';
import { COMMANDS } from './command-list.ts';
import type { CommandContext } from './command.ts';
import { runCli } from './cli.ts';
import { packageVersion } from './package-version.ts';

async function install(...args: string[]): Promise<{ code: number; out: string; err: string }> {
  let out = '';
  let err = '';
  const context: CommandContext = {
    env: {},
    cwd: '/',
    out: (text) => (out += text),
    err: (text) => (err += text),
    input: () => null,
    terminal: {
      isTTY: false,
      attached: false,
      colours: false,
      size: () => ({ columns: 0, rows: 0 }),
      onKey: () => () => {},
    },
    interrupted: () => new AbortController().signal,
  };
  const code = await runCli(['install', ...args], COMMANDS, context);
  return { code, out, err };
}

/** Kind and name of each document. */
function objects(manifests: string): string[] {
  return manifests
    .split(/^---$/m)
    .map((text) => `${/^kind: (.*)$/m.exec(text)?.[1]} ${/^ {2}name: (.*)$/m.exec(text)?.[1]}`);
}

test('prints everything that an installation needs, with defaults', async () => {
  const { code, out } = await install('--no-crds');
  assert.equal(code, 0);
  const found = objects(out);
  assert.equal(found[0], 'Namespace dormouse-system');
  for (const object of [
    'Deployment dormouse-operator',
    'Deployment dormouse-gateway',
    'Service dormouse-operator',
    'Service dormouse-gateway',
    'ClusterRole dormouse-operator',
    'ValidatingAdmissionPolicy dormouse-backends',
    'NetworkPolicy dormouse-gateway',
    'PodDisruptionBudget dormouse-operator',
  ])
    assert.ok(found.includes(object), object);
  assert.ok(!found.some((object) => object.startsWith('GatewayClass') || object.startsWith('Job')));
  assert.equal(out.match(new RegExp(`image: "dormouse:${packageVersion().replaceAll('.', '\\.')}"`, 'g'))?.length, 2);
  assert.doesNotMatch(out, /\$\{|undefined|Helm|npm run/);
});

test('fills in what the options say, everywhere', async () => {
  const { code, out } = await install(
    ...['--namespace', 'sleepers', '--image', 'registry.example:5000/a/dormouse@sha256:00', '--replicas', '3'],
    ...['--set', 'gateway.replicas=5', 'gateway.service.type=LoadBalancer', '--set', 'image.pullPolicy=Never'],
    ...['--gateway-class', '--no-crds'],
  );
  assert.equal(code, 0);
  assert.doesNotMatch(out, /dormouse-system|\$\{/);
  assert.match(out, /--operator=dormouse-operator\.sleepers\.svc:8443/);
  assert.match(out, /system:serviceaccount:sleepers:dormouse-operator/);
  assert.equal(out.match(/image: "registry\.example:5000\/a\/dormouse@sha256:00"/g)?.length, 2);
  assert.deepEqual(
    [...out.matchAll(/ replicas: (.*)/g)].map(([, number]) => number),
    ['5', '3'],
  );
  assert.match(out, /type: LoadBalancer/);
  assert.equal(out.match(/imagePullPolicy: Never/g)?.length, 2);
  assert.ok(objects(out).includes('GatewayClass dormouse'));
});

for (const [args, message] of [
  [['--namespace', 'A b'], /--namespace takes a name of a namespace, not "A b"/],
  [['--image', 'x"\nkind: Secret'], /--image takes a name of an image/],
  [['--replicas', '0'], /--replicas takes a whole number from 1 to 10/],
  [['--set', 'gateway.replica=2'], /did you mean gateway\.replicas\?/],
  [['--set', 'gateway.replicas'], /--set takes KEY=VALUE/],
  [['--set', 'gateway.service.type=External'], /ClusterIP, NodePort or LoadBalancer/],
] as const) {
  test(`refuses ${JSON.stringify(args)}`, async () => {
    const { code, out, err } = await install(...args);
    assert.deepEqual([code, out], [2, '']);
    assert.match(err, message);
  });
}

test("the chart has the package's version", () => {
  const chart = readFileSync(new URL('../../charts/dormouse/Chart.yaml', import.meta.url), 'utf8');
  assert.deepEqual(
    [...chart.matchAll(/^(?:version|appVersion): (.*)$/gm)].map(([, version]) => version),
    [packageVersion(), packageVersion()],
  );
});

test('every value of the chart stands in its README with its default, and none that is gone', () => {
  const values = readFileSync(new URL('../../charts/dormouse/values.yaml', import.meta.url), 'utf8');
  const page = readFileSync(new URL('../../charts/dormouse/README.md', import.meta.url), 'utf8');
  const listed = [...page.matchAll(/^\| `([\w.]+)` \|/gm)].map(([, key]) => key!);
  assert.deepEqual(listed.toSorted(), leaves(values).toSorted());
});

/** Dotted keys of a block of plain YAML, two spaces per level; flow collections and lists are one value. `resources` is one, too. */
function leaves(yaml: string): string[] {
  const keys: string[] = [];
  const path: string[] = [];
  for (const line of yaml.split('\n')) {
    const [, spaces, key] = /^( *)([A-Za-z]\w*):/.exec(line) ?? [];
    if (key === undefined) continue;
    path.length = spaces!.length / 2;
    path.push(key);
    const key_ = path.join('.');
    if (path.includes('resources', 1) && key !== 'resources') continue;
    const parent = keys.indexOf(path.slice(0, -1).join('.'));
    if (parent !== -1) keys.splice(parent, 1);
    keys.push(key_);
  }
  return keys;
}
