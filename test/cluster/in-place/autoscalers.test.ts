/** What scales a target besides us: a ScaledObject of a real KEDA is paused while it sleeps and resumed exactly, an HPA is left alone, and what would fight is refused. */
import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import type { KubernetesObject } from '../../../src/kubernetes/client.ts';
import { AUTOSCALERS } from '../../../src/kubernetes/resources.ts';
import { SCALED_OBJECTS, type HorizontalPodAutoscaler, type ScaledObject } from '../../../src/operator/kinds.ts';
import { installDormouse } from '../fixtures/installation.ts';
import { Objects } from '../fixtures/objects.ts';
import { Scene, type Guarded } from '../fixtures/scene.ts';
import { ensureCluster, until } from '../machine/index.ts';

let scene: Scene;
let scaledObjects: Objects<ScaledObject>;
let hpas: Objects<HorizontalPodAutoscaler>;
const ending = new AbortController();

before(async () => {
  const cluster = await ensureCluster({ keda: true });
  await installDormouse(cluster);
  scene = await Scene.open(cluster, 'autoscalers');
  const { client, namespace } = scene;
  scaledObjects = await Objects.watch<ScaledObject>(client, SCALED_OBJECTS, namespace.name, ending.signal);
  hpas = await Objects.watch<HorizontalPodAutoscaler>(client, AUTOSCALERS, namespace.name, ending.signal);
});
after(async () => {
  ending.abort();
  await scene?.[Symbol.asyncDispose]();
});

/** Asks for two replicas at all times. */
function scaledObject(name: string, spec: object = {}, annotations: Record<string, string> = {}): object {
  return {
    apiVersion: 'keda.sh/v1alpha1',
    kind: 'ScaledObject',
    metadata: { name, annotations },
    spec: {
      scaleTargetRef: { name },
      minReplicaCount: 1,
      maxReplicaCount: 3,
      pollingInterval: 1,
      cooldownPeriod: 1,
      triggers: [
        { type: 'cron', metadata: { timezone: 'UTC', start: '0 0 1 1 *', end: '59 23 31 12 *', desiredReplicas: '2' } },
      ],
      ...spec,
    },
  };
}

function hpa(name: string, spec: object = {}): object {
  return {
    apiVersion: 'autoscaling/v2',
    kind: 'HorizontalPodAutoscaler',
    metadata: { name },
    spec: {
      scaleTargetRef: { apiVersion: 'apps/v1', kind: 'Deployment', name },
      minReplicas: 1,
      maxReplicas: 3,
      metrics: [
        { type: 'Resource', resource: { name: 'cpu', target: { type: 'Utilization', averageUtilization: 50 } } },
      ],
      ...spec,
    },
  };
}

/** With a Backend that names its ScaledObject. */
function scaledApp(name: string, spec: object = {}): Promise<Guarded> {
  return scene
    .guarded({ name, replicas: 2, backend: null })
    .then((app) => scene.namespace.apply([scaledObject(name, spec)]).then(() => app));
}

function backend(name: string): object {
  return {
    target: { apiVersion: 'apps/v1', kind: 'Deployment', name },
    service: name,
    autoscaler: { kind: 'ScaledObject', name },
  };
}

const isPaused = (name: string): boolean =>
  scaledObjects.get(name)?.status?.conditions?.some(({ type, status }) => type === 'Paused' && status === 'True') ===
  true;
const hpaOf = (name: string): HorizontalPodAutoscaler | undefined => hpas.get(`keda-hpa-${name}`);
/** What a user wrote of it. */
const written = ({ metadata, spec }: KubernetesObject & { spec: unknown }): unknown => ({
  annotations: metadata.annotations ?? {},
  labels: metadata.labels ?? {},
  spec,
});

async function untilKedaRuns(name: string): Promise<void> {
  await hpas.until(`HPA of ${name}`, () => hpaOf(name));
  await scaledObjects.until(`${name} is ready`, () =>
    scaledObjects.get(name)?.status?.conditions?.some(({ type, status }) => type === 'Ready' && status === 'True'),
  );
}

test('a ScaledObject is paused and seen to be paused before zero, and resumed exactly on the wake', async () => {
  const app = await scaledApp('woken');
  await untilKedaRuns('woken');
  const before = written(scaledObjects.get('woken')!);
  const atZero: { paused: boolean; hpa: boolean }[] = [];
  const stop = scene.deployments.onChange(({ metadata: { name }, spec }) => {
    if (name === 'woken' && spec.replicas === 0 && atZero.length === 0)
      atZero.push({ paused: isPaused('woken'), hpa: hpaOf('woken') !== undefined });
  });
  await app.declare({ kubernetes: backend('woken') });
  await app.untilAsleep();
  stop();
  assert.deepEqual(atZero, [{ paused: true, hpa: false }]);
  assert.equal(app.object?.status?.handover?.pausedAutoscaler, true);
  assert.equal(app.condition('AutoscalerReady')?.reason, 'Pausable');
  // KEDA asks for two every second, and leaves it asleep.
  await new Promise((resolve) => setTimeout(resolve, 5000));
  assert.equal(app.replicas, 0);

  const passed = app.steps.length;
  assert.equal((await app.get()).status, 200);
  await app.untilPassed('serving', passed);
  await scaledObjects.until('woken resumed', () => !isPaused('woken') && hpaOf('woken') !== undefined);
  assert.deepEqual(written(scaledObjects.get('woken')!), before);
  await app.delete();
  await app.untilRestored(2);
});

test('it is resumed exactly also when the Backend is deleted asleep', async () => {
  const app = await scaledApp('deleted', {});
  await untilKedaRuns('deleted');
  const before = written(scaledObjects.get('deleted')!);
  await app.declare({ kubernetes: backend('deleted') });
  await app.untilAsleep();
  await app.delete();
  await app.untilRestored(2);
  await scaledObjects.until('deleted resumed', () => !isPaused('deleted') && hpaOf('deleted') !== undefined);
  assert.deepEqual(written(scaledObjects.get('deleted')!), before);
});

test('a ScaledObject that somebody else has paused is left paused', async () => {
  const app = await scene.guarded({ name: 'theirs', replicas: 1, backend: null });
  await scene.namespace.apply([scaledObject('theirs', {}, { 'autoscaling.keda.sh/paused': 'true' })]);
  await scaledObjects.until('theirs paused', () => isPaused('theirs'));
  await app.declare({ kubernetes: backend('theirs') });
  await app.untilAsleep();
  const passed = app.steps.length;
  assert.equal((await app.get()).status, 200);
  await app.untilPassed('serving', passed);
  const { annotations } = scaledObjects.get('theirs')!.metadata;
  assert.equal(annotations?.['autoscaling.keda.sh/paused'], 'true');
  assert.equal(annotations?.['dormouse.dev/paused'], undefined);
  await app.delete();
});

test('what would fight is refused with what to do about it, and accepted when it is corrected', async () => {
  const refusals = async (
    name: string,
    objects: object[],
    kubernetes: object | undefined,
    reason: string,
    message: RegExp,
  ): Promise<Guarded> => {
    const app = await scene.guarded({ name, backend: null });
    if (objects.length > 0) await scene.namespace.apply(objects);
    await app.declare(kubernetes === undefined ? {} : { kubernetes });
    const condition = await app.untilCondition('AutoscalerReady', 'False', reason);
    assert.match(condition.message, message);
    await app.untilCondition('Ready', 'False', reason);
    await scene.events.until(`event of ${name}`, () => scene.eventsOf(name).includes(reason));
    return app;
  };
  const [zero, idle, unnamed, missing, other] = await Promise.all([
    refusals(
      'zero',
      [scaledObject('zero', { minReplicaCount: 0 })],
      backend('zero'),
      'AutoscalerScalesToZero',
      /minReplicaCount is 0.*Set minReplicaCount to 1/,
    ),
    refusals(
      'idle',
      [scaledObject('idle', { minReplicaCount: 1, idleReplicaCount: 0 })],
      backend('idle'),
      'AutoscalerScalesToZero',
      /idleReplicaCount is 0/,
    ),
    refusals(
      'unnamed',
      [scaledObject('unnamed')],
      undefined,
      'AutoscalerNotNamed',
      /Name it: kubernetes.autoscaler: \{ kind: ScaledObject, name: unnamed \}/,
    ),
    refusals('missing', [], backend('missing'), 'AutoscalerNotFound', /there is no ScaledObject missing/),
    refusals(
      'other',
      [scaledObject('another', { scaleTargetRef: { name: 'missing' } })],
      { ...backend('other'), autoscaler: { kind: 'ScaledObject', name: 'another' } },
      'AutoscalerForAnother',
      /scales Deployment missing, not Deployment other/,
    ),
  ]);
  // None of them sleeps, however idle it is.
  await new Promise((resolve) => setTimeout(resolve, 4000));
  for (const app of [zero, idle, unnamed, missing, other]) {
    assert.deepEqual(app.steps, [], app.name);
    assert.ok((app.replicas ?? 0) >= 1, app.name);
  }
  await scene.namespace.apply([scaledObject('zero')]);
  await zero.untilAsleep();
  await Promise.all([zero, idle, unnamed, missing, other].map((app) => app.delete()));
});

test('an HPA stands still at zero by itself and is not touched', async () => {
  const app = await scene.guarded({ name: 'steady', replicas: 2, backend: null });
  await scene.namespace.apply([hpa('steady')]);
  const versions = new Set<string>();
  const stop = hpas.onChange(({ metadata: { name }, ...object }) => {
    if (name === 'steady') versions.add(JSON.stringify(object.spec));
  });
  await app.declare({});
  await app.untilAsleep();
  const passed = app.steps.length;
  await until('the HPA stands still', async () => {
    const { status } = (await scene.client.get(AUTOSCALERS, {
      namespace: scene.namespace.name,
      name: 'steady',
    })) as unknown as { status: { conditions?: { type: string; reason: string }[] } };
    return status.conditions?.some(({ type, reason }) => type === 'ScalingActive' && reason === 'ScalingDisabled');
  });
  assert.equal(app.replicas, 0);
  assert.equal((await app.get()).status, 200);
  await app.untilPassed('serving', passed);
  await app.untilReady(2);
  stop();
  assert.ok(versions.size <= 1, [...versions].join('\n'));
  assert.deepEqual(Object.keys(hpas.get('steady')!.metadata.annotations ?? {}), []);
  await app.delete();
});
