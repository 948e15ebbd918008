/** A request, or the end of the Backend, at every step of falling asleep and waking: nothing is lost, and what was begun is taken back. */
import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { installDormouse } from '../fixtures/installation.ts';
import { Scene, type Guarded } from '../fixtures/scene.ts';
import { summary } from '../fixtures/traffic.ts';
import { ensureCluster, type Cluster } from '../machine/index.ts';
import type { HandoverStep } from '../../../src/model/handover-step.ts';

let cluster: Cluster;
let scene: Scene;

before(async () => {
  cluster = await ensureCluster();
  await installDormouse(cluster);
  scene = await Scene.open(cluster);
});
after(() => scene?.[Symbol.asyncDispose]());

const FALLING: HandoverStep[] = ['listening', 'redirecting', 'redirected', 'pausing', 'settling', 'sleeping'];

/** A request while it falls asleep, as a real Prometheus and the gateways see it. */
async function asked(step: HandoverStep): Promise<string> {
  const prometheus = await scene.prometheus();
  const name = `asked-${step}`;
  const app = await scene.guarded({
    name,
    backend: { scale: { idleAfter: '3s' }, idle: { prometheus: prometheus.idle(name), settle: '500ms' } },
  });
  const pod = scene.pods.list().find(({ metadata }) => metadata.labels?.['app'] === name)?.metadata.name;
  let least = Number.POSITIVE_INFINITY;
  const stop = scene.deployments.onChange((one) => {
    if (one.metadata.name === name) least = Math.min(least, one.spec.replicas ?? 1);
  });
  await app.untilStep(step);
  const before = app.steps.length;
  const { status, text, headers } = await app.get('/', { headers: { 'x-id': `${name}-1` } });
  assert.equal(status, 200, `${step}: ${text}`);
  if (step === 'sleeping') {
    // It may have been at zero already.
    await app.untilPassed('serving', before);
    stop();
    return `${step}: answered${headers.has('x-cold-start') ? ' after a wake' : ' by the running pod'}`;
  }
  assert.equal(headers.get('x-pod'), pod, step);
  await app.untilPassed('handing-back', before);
  await app.untilPassed('serving', before);
  stop();
  assert.ok(least >= 1, `${step}: it was scaled to zero`);
  assert.deepEqual(scene.witness.pods(`${name}-1`), [pod]);
  await app.untilWithoutGateways();
  await scene.events.until(`event of ${name}`, () => scene.eventsOf(name).includes('SleepTakenBack'));
  await app.delete();
  return `${step}: answered, taken back`;
}

test('a request at any step of falling asleep is answered by the pods that run, and takes the sleep back', async (t) => {
  const results = await Promise.all(FALLING.map((step) => asked(step)));
  for (const result of results) t.diagnostic(result);
});

/** The Backend ends in the middle of a step, and clients begin at that moment. */
async function deleted(step: HandoverStep): Promise<string> {
  const name = `deleted-${step}`;
  const app: Guarded = await scene.guarded({ name, replicas: 2, backend: { scale: { idleAfter: '3s' } } });
  const isWaking = step === 'handing-back' || step === 'resuming';
  if (isWaking) {
    await app.untilAsleep();
    const wake = app.get();
    await app.untilStep(step);
    void wake.catch(() => {});
  } else if (step === 'serving') await app.untilCondition('Ready', 'True');
  else await app.untilStep(step);
  const gone = app.delete();
  await using traffic = await app.traffic({
    fresh: { everyMs: 40 },
    kept: { clients: 1, everyMs: 40 },
    methods: 'both',
  });
  await gone;
  await app.untilRestored(2);
  const before = await traffic.look();
  await new Promise((resolve) => setTimeout(resolve, 1000));
  const report = await traffic.end();
  assert.ok(report.sent > before.sent);
  assert.equal(report.lost.length, 0, `${step}: ${summary(report)}\n${app.story.join('\n')}`);
  return `${step}: ${report.sent} requests, ${report.lost.length} lost`;
}

test('a Backend that is deleted at any step leaves everything as it was, and loses nothing', async (t) => {
  const steps: HandoverStep[] = ['serving', ...FALLING, 'asleep', 'handing-back', 'resuming'];
  // Not all side by side: each has clients of its own.
  for (let at = 0; at < steps.length; at += 4) {
    for (const result of await Promise.all(steps.slice(at, at + 4).map((step) => deleted(step)))) t.diagnostic(result);
  }
  assert.deepEqual(scene.witness.duplicates, []);
});
