/** A thousand HTTPRoutes: how long a change of one takes to be in force in a gateway, and what they cost in memory. */
import assert from 'node:assert/strict';
import { readFileSync, readdirSync } from 'node:fs';
import { after, before, test } from 'node:test';
import { setTimeout as delay } from 'node:timers/promises';
import { INSTALLATION_NAMESPACE, installDormouse } from '../fixtures/installation.ts';
import { Scene } from '../fixtures/scene.ts';
import { ensureCluster, until } from '../machine/index.ts';
import { Edge } from './gateway.fixture.ts';

const ROUTES = 1000;
const CHANGES = 20;
/** For the slowest of the changes, on a machine that others use too. */
const BOUND_MS = 10_000;
const AT_ONCE = 8;
const REST_MS = 1200;
const HTTP_ROUTES = {
  group: 'gateway.networking.k8s.io',
  version: 'v1',
  plural: 'httproutes',
  namespaced: true,
  kind: 'HTTPRoute',
};

let scene: Scene;
let edge: Edge;

before(async () => {
  const cluster = await ensureCluster();
  await installDormouse(cluster);
  scene = await Scene.open(cluster, 'many');
  edge = await Edge.open(scene, [{ name: 'http', port: 80, protocol: 'HTTP' }]);
});

after(async () => {
  edge?.close();
  await scene?.[Symbol.asyncDispose]();
});

const rulesOf = (value: string): object[] => [
  {
    filters: [{ type: 'ResponseHeaderModifier', responseHeaderModifier: { set: [{ name: 'x-version', value }] } }],
    backendRefs: [{ name: 'one', port: 80 }],
  },
];

/** Resident, MB, all processes of each pod of the part together. */
async function memory(part: string): Promise<number[]> {
  const { stdout } = await scene.cluster.kubectl([
    ...['-n', INSTALLATION_NAMESPACE, 'get', 'pods', '-l', `app.kubernetes.io/component=${part}`],
    ...['-o', 'jsonpath={.items[*].metadata.uid}'],
  ]);
  const pods = new Map(
    stdout
      .trim()
      .split(' ')
      .map((uid) => [uid, 0]),
  );
  for (const pid of readdirSync('/proc')) {
    if (!/^\d+$/.test(pid)) continue;
    try {
      const of = readFileSync(`/proc/${pid}/cgroup`, 'utf8');
      const kilobytes = Number(/^VmRSS:\s+(\d+)/m.exec(readFileSync(`/proc/${pid}/status`, 'utf8'))?.[1] ?? 0);
      for (const [uid, sum] of pods) if (of.includes(uid)) pods.set(uid, sum + kilobytes / 1024);
    } catch {
      // It has ended meanwhile.
    }
  }
  return [...pods.values()].map(Math.round);
}

test('a change of one of a thousand routes', { timeout: 600_000 }, async (t) => {
  await scene.guarded({ name: 'one', backend: null });
  const { name: namespace } = scene.namespace;
  const before = { gateways: await memory('gateway'), operators: await memory('operator') };
  const startedAtMs = performance.now();
  const numbers = Array.from({ length: ROUTES }, (_, number) => number);
  await Promise.all(
    Array.from({ length: AT_ONCE }, async () => {
      for (let number = numbers.pop(); number !== undefined; number = numbers.pop()) {
        const name = `r${number}`;
        const object = {
          apiVersion: 'gateway.networking.k8s.io/v1',
          kind: 'HTTPRoute',
          metadata: { name, namespace },
          spec: { parentRefs: [{ name: 'edge' }], hostnames: [edge.host(name)], rules: rulesOf('0') },
        };
        await scene.client.create(HTTP_ROUTES, object);
      }
    }),
  );
  const createdMs = performance.now() - startedAtMs;
  await until('all are attached', async () => {
    const { status } = edge.gateways.get('edge') as unknown as { status: { listeners: { attachedRoutes: number }[] } };
    return status.listeners[0]!.attachedRoutes === ROUTES;
  });
  await Promise.all(Array.from({ length: 50 }, (_, number) => edge.untilRouted(`r${number * 20}`)));
  const inForceMs = performance.now() - startedAtMs;
  const tookMs: number[] = [];
  for (let change = 1; change <= CHANGES; change++) {
    const name = `r${(change * 37) % ROUTES}`;
    const value = String(change);
    const atMs = performance.now();
    await scene.client.patch(
      HTTP_ROUTES,
      { namespace, name },
      { type: 'merge', body: { spec: { rules: rulesOf(value) } } },
    );
    await until(`change ${change} is in force`, async () => (await edge.ask(name)).headers['x-version'] === value, {
      everyMs: 2,
    });
    tookMs.push(performance.now() - atMs);
    // Large configurations rest for up to a second between two: each change is measured by itself.
    await delay(REST_MS);
  }
  tookMs.sort((a, b) => a - b);
  const round = (ms: number): string => `${Math.round(ms)} ms`;
  t.diagnostic(
    `${ROUTES} routes created in ${(createdMs / 1000).toFixed(1)} s, in force after ${(inForceMs / 1000).toFixed(1)} s`,
  );
  t.diagnostic(
    `a change in force in a gateway: median ${round(tookMs[CHANGES / 2]!)}, slowest ${round(tookMs.at(-1)!)}`,
  );
  t.diagnostic(`MB before: gateways ${before.gateways.join(', ')}; operators ${before.operators.join(', ')}`);
  t.diagnostic(
    `MB after: gateways ${(await memory('gateway')).join(', ')}; operators ${(await memory('operator')).join(', ')}`,
  );
  assert.ok(tookMs.at(-1)! < BOUND_MS, round(tookMs.at(-1)!));
});
