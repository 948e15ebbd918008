/** Wakes that can't succeed are told with their reason after a short time, and requests that shall wake nobody are answered while it sleeps. */
import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { installDormouse } from '../fixtures/installation.ts';
import { Scene, type Guarded } from '../fixtures/scene.ts';
import { APP_IMAGE, appObjects, ensureCluster, type Cluster } from '../machine/index.ts';

let cluster: Cluster;
let scene: Scene;

before(async () => {
  cluster = await ensureCluster();
  await installDormouse(cluster);
  scene = await Scene.open(cluster, 'failing');
});
after(() => scene?.[Symbol.asyncDispose]());

const FAIL_FAST_MS = 2000;
const wake = { failFastAfter: `${FAIL_FAST_MS}ms` };

const container = (changes: object): object => ({
  containers: [
    {
      name: 'app',
      image: APP_IMAGE,
      imagePullPolicy: 'Never',
      ports: [{ name: 'http', containerPort: 8080 }],
      ...changes,
    },
  ],
});

/** Its first request is answered 503 with the reason, the next one at once; corrected, it wakes. */
async function fails(
  where: Scene,
  name: string,
  podSpec: object,
  reason: RegExp,
  mend: () => unknown,
): Promise<string> {
  const app = await where.guarded({ name, replicas: 0, podSpec, backend: { wake } });
  await app.untilAsleep();
  const beganMs = performance.now();
  const answer = await app.get();
  const tookMs = performance.now() - beganMs;
  assert.equal(answer.status, 503, `${name}: ${answer.text}`);
  assert.match(answer.text, reason, name);
  assert.ok(Number(answer.headers.get('retry-after')) > 0, `${name}: Retry-After`);
  assert.ok(tookMs >= FAIL_FAST_MS - 100, `${name}: after ${tookMs} ms`);
  const condition = await app.untilCondition('Crashing', 'True');
  assert.match(condition.message, reason);
  await where.events.until(`event of ${name}`, () => where.eventsOf(name).includes(condition.reason));
  await mend();
  await untilItWakes(app);
  await app.untilCondition('Crashing', 'False');
  await app.delete();
  return `${name}: 503 after ${(tookMs / 1000).toFixed(1)} s: ${answer.text.trim().slice(0, 300)}`;
}

/** Clients try again, as Retry-After tells them. */
async function untilItWakes(app: Guarded): Promise<void> {
  const endsAtMs = performance.now() + 90_000;
  for (;;) {
    const { status, headers, text } = await app.get();
    if (status === 200) return;
    assert.equal(status, 503, text);
    assert.ok(performance.now() < endsAtMs, text);
    await new Promise((resolve) => setTimeout(resolve, Number(headers.get('retry-after') ?? 1) * 1000));
  }
}

test('a start that hangs is a 503 with its reason after failFastAfter, until it is corrected', async (t) => {
  await using narrow = await Scene.open(cluster, 'failing-quota');
  await narrow.namespace.apply([
    { apiVersion: 'v1', kind: 'ResourceQuota', metadata: { name: 'none' }, spec: { hard: { pods: '0' } } },
  ]);
  const mended = (name: string) => () =>
    scene.namespace.apply(scene.witnessed(appObjects({ name, replicas: 1 }).slice(0, 1)));
  const results = await Promise.all([
    fails(
      scene,
      'crashes',
      container({ command: ['/usr/local/bin/node', '-e', 'process.exit(3)'] }),
      /container app ended with exit code 3/,
      mended('crashes'),
    ),
    fails(
      scene,
      'unpulled',
      container({ image: 'dormouse.test/no-such-image:latest', imagePullPolicy: 'Never' }),
      /can't start container app \(ErrImageNeverPull\)/,
      mended('unpulled'),
    ),
    fails(
      scene,
      'greedy',
      container({ resources: { requests: { cpu: '100' } } }),
      /can't be scheduled: .*Insufficient cpu/,
      mended('greedy'),
    ),
    fails(narrow, 'unquoted', {}, /exceeded quota: none/, () =>
      narrow.namespace.kubectl('delete', 'resourcequota', 'none'),
    ),
  ]);
  for (const result of results) t.diagnostic(result);
});

test('probes, user agents and addresses are answered at zero without a wake', async () => {
  const app = await scene.guarded({
    name: 'quiet',
    replicas: 0,
    backend: {
      wake: {
        answers: [
          {
            match: { path: { exact: '/probe' }, methods: ['GET'] },
            status: 200,
            headers: { 'x-answered-by': 'dormouse' },
            body: 'sleeping',
          },
          { match: { path: { prefix: '/any' }, headers: { 'x-scraper': { exact: 'yes' } } }, status: 204 },
        ],
        never: {
          userAgents: [{ regex: '(?i).*curious-robot.*' }, { regex: 'probe/[0-9]+' }],
          clients: ['192.0.2.0/24'],
        },
      },
    },
  });
  await app.untilAsleep();
  const began = app.steps.length;
  const probe = await app.get('/probe');
  assert.deepEqual([probe.status, probe.text], [200, 'sleeping']);
  assert.equal(probe.headers.get('x-answered-by'), 'dormouse');
  assert.equal((await app.get('/any/metrics', { headers: { 'x-scraper': 'yes' } })).status, 204);
  for (const agent of ['Mozilla (compatible; Curious-Robot/2.1)', 'probe/7']) {
    const refused = await app.get('/', { headers: { 'user-agent': agent } });
    assert.equal(refused.status, 503, agent);
  }
  // Everybody's address.
  const { metadata } = await app.patch({ spec: { wake: { never: { clients: ['0.0.0.0/0', '::/0'] } } } });
  await scene.backends.until(
    'the change is in force',
    () => app.object?.status?.observedGeneration === metadata.generation,
  );
  const refused = await app.get();
  assert.equal(refused.status, 503, refused.text);
  // Long enough for a wake to be seen.
  await new Promise((resolve) => setTimeout(resolve, 1000));
  assert.equal(app.replicas, 0);
  assert.deepEqual(app.steps.slice(began), []);

  await app.patch({ spec: { wake: { never: { clients: [] } } } });
  await untilItWakes(app);
  await app.untilPassed('serving', began);
  assert.equal((await app.get('/probe')).headers.get('x-answered-by'), null);
  await app.delete();
});
