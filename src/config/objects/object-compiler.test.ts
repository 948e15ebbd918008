import assert from 'node:assert/strict';
import { test } from 'node:test';
import { filterSchemas } from '../../gateway/filters/filters.schema.ts';
import { parseConfig } from '../parse.ts';
import { ObjectCompiler, type SpecObject } from './object-compiler.ts';
import { renderObjectProblem } from './problem.ts';

const registry = { filters: filterSchemas, strategies: ['round-robin', 'consistent-hash'] };
const compiler = new ObjectCompiler(registry);

const object = (spec: unknown): SpecObject => ({ metadata: { name: 'users', namespace: 'shop' }, spec });
const KUBERNETES = { target: { apiVersion: 'apps/v1', kind: 'Deployment', name: 'users' }, service: 'users' };

function problemsOf(result: object): string[] {
  assert.ok('problems' in result, JSON.stringify(result));
  return (result.problems as Parameters<typeof renderObjectProblem>[0][]).map(renderObjectProblem);
}

test('a Backend means what the same entry of the file means, under the name of its namespace', () => {
  const spec = {
    kubernetes: { ...KUBERNETES, autoscaler: { kind: 'ScaledObject', name: 'users' } },
    scale: { max: 3, idleAfter: '10m' },
    idle: {
      prometheus: { serverAddress: 'http://prometheus:9090', query: 'up', threshold: 0.5 },
      schedule: { timezone: 'Europe/Berlin', allow: ['* 20-6 * * *'] },
    },
    wake: { with: ['db'], answers: [{ match: { path: { exact: '/healthz' } }, body: 'ok' }] },
    balance: { strategy: 'consistent-hash', hash: { header: 'x-user' } },
    breaker: null,
  };
  const compiled = compiler.backend(object(spec));
  assert.ok('backend' in compiled, JSON.stringify(compiled));
  assert.deepEqual(compiled.warnings, []);
  const { backend } = compiled;
  const file = { backends: { users: { ...spec, kubernetes: { ...spec.kubernetes, namespace: 'shop' } } } };
  const db = { servers: ['http://127.0.0.1:1'] };
  const [same] = parseConfig(
    JSON.stringify({
      backends: { users: { ...file.backends.users, wake: { ...spec.wake, with: [] } }, db },
      routes: [],
    }),
    { file: '/srv/dormouse.yaml', env: {}, registry, cores: 1 },
  ).backends;
  assert.deepEqual(backend, { ...same, name: 'shop/users', wake: { ...same!.wake, with: ['shop/db'] } });
  assert.equal(backend.wake.timeoutMs, 300_000);
  assert.ok(Object.isFrozen(backend.scale));
});

test('the object itself is not changed', () => {
  const spec = deepFreeze({ kubernetes: KUBERNETES, idle: { prometheus: null } });
  assert.ok('backend' in compiler.backend(object(spec)));
});

test('TLS towards pods asks for the name of their Service', () => {
  const compiled = compiler.backend(object({ kubernetes: KUBERNETES, tls: {} }));
  assert.ok('backend' in compiled);
  assert.equal(compiled.backend.tls?.serverName, 'users.shop.svc');
});

test('what is wrong with a Backend is told like an error of the file, with the path in its spec', () => {
  const wrong: readonly [spec: unknown, ...problems: string[]][] = [
    [undefined, 'spec: is missing; kubectl explain shows its keys'],
    [[], 'spec: expected a mapping; kubectl explain shows its keys'],
    [
      {},
      'spec: has neither kubernetes nor servers; add kubernetes: { target: { apiVersion: apps/v1, kind: Deployment, name: … }, service: … }',
    ],
    [
      { kubernetes: KUBERNETES, servers: [{ url: 'http://a' }] },
      'spec: has both kubernetes and servers; keep one of them',
    ],
    [
      { process: { command: ['node'] }, kubernetes: KUBERNETES },
      'spec.process: has no place in a cluster; name a workload with kubernetes; processes are for dormouse up',
    ],
    [
      { kubernetes: { ...KUBERNETES, namespace: 'other' } },
      "spec.kubernetes.namespace: is the object's own; remove it",
    ],
    [
      { kubernetes: KUBERNETES, idle: { prometheus: { serverAddress: 'http://p', query: 'up', threshold: 'high' } } },
      'spec.idle.prometheus.threshold: expected a number above 0 and at most 1000000000000000, got "high"',
    ],
    [{ kubernetes: KUBERNETES, scale: { mx: 3 } }, 'spec.scale.mx: unknown key; did you mean "max"?'],
    [
      { servers: [{ url: 'http://10.0.0.7' }], scale: { by: 'keda' } },
      'spec.scale.by: keda scales a workload, but there is no kubernetes; remove it',
    ],
    [
      {
        kubernetes: { ...KUBERNETES, autoscaler: { kind: 'ScaledObject', name: 'users' } },
        scale: { by: 'hpa' },
      },
      'spec.scale.by: hpa has no place beside kubernetes.autoscaler, which names another one; remove kubernetes.autoscaler, or write by: none to go on with the one that it names',
    ],
    [
      { kubernetes: KUBERNETES, tls: { ca: '/etc/passwd' } },
      'spec.tls.ca: names a file, which an object of a cluster can not; remove it',
    ],
    [
      { kubernetes: KUBERNETES, breaker: { fallback: { file: '/etc/passwd' } } },
      'spec.breaker.fallback.file: names a file, which an object of a cluster can not; remove it',
    ],
    [
      { kubernetes: KUBERNETES, wake: { with: ['db', 'users'] } },
      'spec.wake.with[1]: users waits for itself; remove it',
    ],
    [
      { kubernetes: { ...KUBERNETES, port: 80 }, scale: { min: 2 } },
      'spec.kubernetes.port: has no place beside service, whose ports count; keep one of them',
      'spec.scale.min: 2 is more than max, 1 (the default); raise max or lower min',
    ],
  ];
  for (const [spec, ...problems] of wrong) assert.deepEqual(problemsOf(compiler.backend(object(spec))), problems);
});

test('warnings have their path too', () => {
  const compiled = compiler.backend(object({ servers: [{ url: 'http://a' }], scale: { max: 3 } }));
  assert.ok('backend' in compiled);
  assert.deepEqual(compiled.warnings.map(renderObjectProblem), [
    'spec.scale: has no effect on servers: that somebody else runs; remove it',
  ]);
});

test('a hostile object gives twenty problems at most, in bounded time', () => {
  const keys = Object.fromEntries(Array.from({ length: 50_000 }, (_, index) => [`key${index}`, 1]));
  assert.equal(problemsOf(compiler.backend(object({ kubernetes: KUBERNETES, ...keys }))).length, 20);
  const polluted = JSON.parse('{"kubernetes":{"__proto__":{"namespace":"x"}},"constructor":1}') as unknown;
  assert.ok(
    problemsOf(compiler.backend(object(polluted))).includes('spec.kubernetes.target: is missing; add target: …'),
  );
});

test('a RouteFilter is one filter; backends that it asks are of its namespace', () => {
  const compiled = compiler.routeFilter(object({ mirror: { backend: 'shadow', percent: 10 } }));
  assert.deepEqual(compiled, {
    filter: { type: 'mirror', options: { backend: 'shop/shadow', percent: 10 } },
    backends: ['shop/shadow'],
    answers: false,
  });
  const redirect = compiler.routeFilter(object({ redirect: { scheme: 'https' } }));
  assert.ok('answers' in redirect && redirect.answers);
  const jwt = compiler.routeFilter(
    object({ jwt: { issuer: null, audience: ['shop'], jwks: { backend: 'keys', path: '/jwks' } } }),
  );
  assert.ok('backends' in jwt, JSON.stringify(jwt));
  assert.deepEqual(jwt.backends, ['shop/keys']);
});

test('what is wrong with a RouteFilter', () => {
  const wrong: readonly [spec: unknown, ...problems: string[]][] = [
    [{}, 'spec: expected one filter, got 0; give each filter a list item of its own'],
    [{ rateLimit: { limit: 0 } }, 'spec.rateLimit.limit: expected a whole number from 1 to 1000000, got 0'],
    [{ rateLimits: { limit: 1 } }, 'spec.rateLimits: unknown filter; did you mean "rateLimit"?'],
    [
      { basic: { file: '/etc/shadow' } },
      'spec.basic.file: names a file, which an object of a cluster can not; remove it',
    ],
    [
      { jwt: { issuer: ['a'], audience: null, jwks: { file: 'keys.json' } } },
      'spec.jwt.jwks.file: names a file, which an object of a cluster can not; remove it',
    ],
  ];
  for (const [spec, ...problems] of wrong) assert.deepEqual(problemsOf(compiler.routeFilter(object(spec))), problems);
});

test('a RoutePolicy says only what is written in it', () => {
  const target = { group: 'gateway.networking.k8s.io', kind: 'HTTPRoute', name: 'web' };
  const compiled = compiler.routePolicy(
    object({
      targetRefs: [target, { ...target, sectionName: 'api' }],
      timeouts: { request: '10s' },
      clients: { deny: ['10.0.0.0/8'] },
      retry: { attempts: 3, conditions: ['503', 'connect', '503'] },
    }),
  );
  assert.deepEqual(compiled, {
    policy: {
      targets: [
        { kind: 'HTTPRoute', name: 'web', sectionName: null },
        { kind: 'HTTPRoute', name: 'web', sectionName: 'api' },
      ],
      clients: { allow: [], deny: ['10.0.0.0/8'] },
      timeouts: { requestMs: 10_000 },
      retry: { attempts: 3, on: ['503', 'connect'] },
      webSocket: null,
      sse: null,
    },
  });
  assert.deepEqual(
    problemsOf(compiler.routePolicy(object({ targetRefs: [{ ...target, kind: 'TCPRoute' }], timeout: {} }))),
    [
      'spec.targetRefs[0].kind: expected HTTPRoute or GRPCRoute, got "TCPRoute"; did you mean "HTTPRoute"?',
      'spec.timeout: unknown key; did you mean "timeouts"?',
    ],
  );
});

function deepFreeze<T extends object>(value: T): T {
  for (const entry of Object.values(value))
    if (typeof entry === 'object' && entry !== null) deepFreeze(entry as object);
  return Object.freeze(value);
}
