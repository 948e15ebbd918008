/** One scaler at a time: what is to be done next, for every step of a change. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { defaultBackend } from '../../model/config.fixture.ts';
import type { KubernetesConfig, ScaleConfig } from '../../model/config.ts';
import type { BackendObject } from '../backend-object.ts';
import type { HorizontalPodAutoscaler, ScaledObject } from '../kinds.ts';
import { autoscalerOf, isAsWanted, labelOf, quantityOf, scaledObjectOf, type ScalerAddress } from './objects.ts';
import { planScaler, type ScalerFacts, type ScalerPlan } from './plan.ts';

const object: BackendObject = {
  apiVersion: 'dormouse.dev/v1alpha1',
  kind: 'Backend',
  metadata: { name: 'users', namespace: 'shop', uid: 'u1', resourceVersion: '1' },
  spec: {},
};
const kubernetes: KubernetesConfig = {
  namespace: 'shop',
  target: { apiVersion: 'apps/v1', kind: 'Deployment', name: 'users' },
  service: 'users',
  port: 0,
  autoscaler: null,
  ready: 'probe',
};
const keda: ScalerAddress = {
  address: 'dormouse-operator.dormouse-system.svc:8444',
  authentication: 'dormouse',
  credentials: 'c1',
};
const metrics = [{ name: 'http', value: 0, target: 70, active: false, atMs: 0 }];

function backendBy(by: ScaleConfig['by'], more: Partial<ScaleConfig> = {}) {
  const standard = defaultBackend('shop/users');
  return {
    ...standard,
    source: { driver: 'kubernetes', kubernetes } as const,
    scale: { ...standard.scale, max: 5, by, ...more },
  };
}

function plan(by: ScaleConfig['by'], facts: Partial<ScalerFacts> = {}): ScalerPlan {
  const backend = facts.backend ?? backendBy(by);
  return planScaler({
    object,
    backend,
    kubernetes,
    inForce: by === 'keda' ? 'keda' : 'none',
    metrics,
    scaledObjects: [],
    autoscalers: [],
    keda,
    externalMetrics: null,
    ...facts,
  });
}

/** In a few words. */
function told({ by, changing, check, todo }: ScalerPlan): string {
  const made = todo === null ? '' : ` ${todo.action} ${(todo.object as ScaledObject).kind}`;
  return `${by}${changing === null ? '' : ' changing'} ${check === null ? '-' : `${check.ok} ${check.reason}`}${made}`;
}

const wanted = scaledObjectOf(object, backendBy('keda'), kubernetes, metrics, keda) as ScaledObject;
function ourScaledObject(status: ScaledObject['status'] = {}, more: object = {}): ScaledObject {
  return { ...wanted, metadata: { ...wanted.metadata, uid: 's1', ...more }, status };
}
const taken = ourScaledObject({ externalMetricNames: ['s0-http'], conditions: [{ type: 'Ready', status: 'True' }] });
const wantedHpa = autoscalerOf(object, backendBy('hpa'), kubernetes, metrics) as HorizontalPodAutoscaler;
const ourHpa: HorizontalPodAutoscaler = { ...wantedHpa, metadata: { ...wantedHpa.metadata, uid: 'h1' } };
const kedasHpa: HorizontalPodAutoscaler = {
  ...wantedHpa,
  metadata: {
    name: 'keda-hpa-users',
    namespace: 'shop',
    uid: 'h2',
    resourceVersion: '1',
    ownerReferences: [{ apiVersion: 'keda.sh/v1alpha1', kind: 'ScaledObject', name: 'users', uid: 's1' }],
  },
};

test('from dormouse to KEDA: dormouse stops first, then the ScaledObject is made, then KEDA has taken it up', () => {
  assert.equal(told(plan('keda', { inForce: 'dormouse' })), 'none changing false ScalerChanging');
  assert.equal(told(plan('keda', { inForce: 'none', scaledObjects: [taken] })), 'keda changing false ScalerChanging');
  assert.equal(told(plan('keda')), 'none changing false ScalerChanging apply ScaledObject');
  assert.equal(told(plan('keda', { scaledObjects: [ourScaledObject()] })), 'none changing false ScalerChanging');
  assert.equal(told(plan('keda', { scaledObjects: [taken], autoscalers: [kedasHpa] })), 'keda true Keda');
  assert.equal(plan('keda', { scaledObjects: [taken] }).scaledObject, 'users');
});

test('from KEDA to dormouse: the ScaledObject goes, then its HPA, and only then does dormouse act', () => {
  const step = (facts: Partial<ScalerFacts>): string => told(plan('dormouse', { inForce: 'keda', ...facts }));
  assert.equal(
    step({ scaledObjects: [taken], autoscalers: [kedasHpa] }),
    'none changing false ScalerChanging delete ScaledObject',
  );
  const going = ourScaledObject(taken.status, { deletionTimestamp: 'now' });
  assert.equal(step({ scaledObjects: [going], autoscalers: [kedasHpa] }), 'none changing false ScalerChanging');
  assert.equal(step({ autoscalers: [kedasHpa] }), 'none changing false ScalerChanging');
  assert.equal(step({}), 'dormouse -');
});

test('between HPA and KEDA: never both', () => {
  assert.equal(
    told(plan('keda', { autoscalers: [ourHpa] })),
    'none changing false ScalerChanging delete HorizontalPodAutoscaler',
  );
  assert.equal(told(plan('hpa', { scaledObjects: [taken] })), 'none changing false ScalerChanging delete ScaledObject');
  assert.equal(told(plan('hpa', { autoscalers: [kedasHpa] })), 'none changing false ScalerChanging');
  assert.equal(told(plan('hpa')), 'none changing false ScalerChanging apply HorizontalPodAutoscaler');
  assert.equal(told(plan('hpa', { autoscalers: [ourHpa] })), 'hpa true Hpa');
});

test('what changes in the Backend changes what was made for it', () => {
  const more = backendBy('keda', { max: 9 });
  assert.equal(told(plan('keda', { scaledObjects: [taken], backend: more })), 'keda true Keda apply ScaledObject');
  const renewed = { ...keda, credentials: 'c2' };
  assert.equal(told(plan('keda', { scaledObjects: [taken], keda: renewed })), 'keda true Keda apply ScaledObject');
  const other = [{ ...metrics[0]!, target: 7 }];
  assert.equal(told(plan('keda', { scaledObjects: [taken], metrics: other })), 'keda true Keda apply ScaledObject');
  assert.equal(
    told(plan('hpa', { autoscalers: [ourHpa], backend: backendBy('hpa', { max: 9 }) })),
    'hpa true Hpa apply HorizontalPodAutoscaler',
  );
});

test('what stands against it is said with what to do, and breaks nothing', () => {
  const said = (made: ScalerPlan): string => `${told(made)}: ${made.check?.message}`;
  assert.match(said(plan('keda', { scaledObjects: null })), /^none false KedaNotInstalled.*has no KEDA/);
  assert.match(said(plan('keda', { keda: { problem: 'no rights' } })), /^none false KedaNotSetUp: no rights/);
  const others: ScaledObject = {
    ...taken,
    spec: { ...taken.spec, triggers: [] },
    metadata: { ...taken.metadata, name: 'old', uid: 'x', labels: {}, ownerReferences: [] },
  };
  assert.match(
    said(plan('keda', { scaledObjects: [others] })),
    /^none false ScalerConflict.*ScaledObject old scales Deployment users already/,
  );
  assert.match(said(plan('hpa', { scaledObjects: [others] })), /^none false ScalerConflict/);
  const theirs = {
    ...ourHpa,
    metadata: { ...ourHpa.metadata, name: 'cpu', uid: 'y', labels: {}, ownerReferences: [] },
  };
  assert.match(said(plan('hpa', { autoscalers: [theirs] })), /^none false ScalerConflict.*HorizontalPodAutoscaler cpu/);
  assert.match(
    said(plan('keda', { autoscalers: [theirs] })),
    /^none false ScalerConflict.*HorizontalPodAutoscaler cpu/,
  );
  const elsewhere = { reason: 'ExternalMetricsElsewhere', message: 'KEDA serves them' };
  assert.equal(told(plan('hpa', { externalMetrics: elsewhere })), 'none false ExternalMetricsElsewhere');
  assert.equal(
    told(plan('hpa', { externalMetrics: elsewhere, autoscalers: [ourHpa] })),
    'none false ExternalMetricsElsewhere delete HorizontalPodAutoscaler',
  );
  const long = { ...object, metadata: { ...object.metadata, name: 'x'.repeat(64) } };
  assert.match(said(plan('hpa', { object: long })), /NameTooLong.*63 characters/);
  const paused = ourScaledObject({ ...taken.status!, conditions: [{ type: 'Paused', status: 'True' }] });
  assert.match(said(plan('keda', { scaledObjects: [paused] })), /^keda changing false KedaPaused/);
  const unready = ourScaledObject({ ...taken.status!, conditions: [{ type: 'Ready', status: 'False', message: 'x' }] });
  assert.match(said(plan('keda', { scaledObjects: [unready] })), /^keda false KedaNotReady.*: x/);
});

test("a user's ScaledObject that asks us is enough, and another one's is left alone", () => {
  const theirs: ScaledObject = {
    ...taken,
    metadata: { ...taken.metadata, name: 'by-hand', uid: 'x', labels: {}, ownerReferences: [] },
  };
  for (const scalerAddress of [
    'dormouse-operator.dormouse-system:8444',
    'dns:///dormouse-operator.dormouse-system.svc.cluster.local:8444',
  ]) {
    const asking = {
      ...theirs,
      spec: { ...theirs.spec, triggers: [{ type: 'external-push', metadata: { scalerAddress } }] },
    };
    const made = plan('keda', { scaledObjects: [asking] });
    assert.equal(told(made), 'keda true Keda');
    assert.equal(made.scaledObject, 'by-hand');
  }
  // Beside dormouse's own scaling it stays theirs: a condition says so elsewhere.
  assert.equal(
    told(plan('dormouse', { scaledObjects: [theirs], autoscalers: [kedasHpa] })),
    'none changing false ScalerChanging',
  );
  const theirHpa = {
    ...kedasHpa,
    metadata: { ...kedasHpa.metadata, ownerReferences: [{ ...kedasHpa.metadata.ownerReferences![0]!, uid: 'x' }] },
  };
  assert.equal(told(plan('dormouse', { scaledObjects: [theirs], autoscalers: [theirHpa] })), 'dormouse -');
});

test('objects that are made', () => {
  assert.deepEqual(
    [quantityOf(7), quantityOf(0.5), quantityOf(1000), quantityOf(2_500_000), quantityOf(1e9), quantityOf(0.0001)],
    ['7', '500m', '1k', '2500k', '1G', '1m'],
  );
  assert.equal(labelOf('users'), 'users');
  assert.equal(labelOf('x'.repeat(100)).length, 63);
  assert.ok(isAsWanted({ a: 1, b: [{ c: 2, d: 3 }] }, { b: [{ c: 2 }] }));
  assert.ok(!isAsWanted({ b: [{ c: 2 }, { c: 3 }] }, { b: [{ c: 2 }] }));
  assert.ok(!isAsWanted({ b: null }, { b: { c: 2 } }));
  assert.equal(wantedHpa.spec.minReplicas, 1);
  assert.equal(
    (autoscalerOf(object, backendBy('hpa', { min: 3, max: 2 }), kubernetes, metrics) as HorizontalPodAutoscaler).spec
      .minReplicas,
    3,
  );
});
