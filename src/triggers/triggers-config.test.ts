/** What the file may say of triggers, and what is said about what it may not. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { ConfigError } from '../config/config-error.ts';
import { ObjectCompiler } from '../config/objects/object-compiler.ts';
import { parseConfig } from '../config/parse.ts';
import { filterSchemas } from '../gateway/filters/filters.schema.ts';
import { triggers } from './registry.ts';
import { triggerSchemas } from './triggers.schema.ts';

const registry = { filters: filterSchemas, strategies: ['round-robin'], triggers: triggerSchemas };
const files = {
  stat: (path: string) => {
    if (path.includes('missing')) throw Object.assign(new Error(path), { code: 'ENOENT' });
    return { isFile: () => true, size: 1 };
  },
  read: () => Buffer.from('x'),
};

function parse(list: string, scale = '') {
  const text = `backends: { app: { process: { command: [a], port: none }, ${scale === '' ? '' : `scale: ${scale}, `}triggers: [${list}] } }`;
  const env = { REDIS_PASSWORD: '12345', HOME: '/root' };
  return parseConfig(text, { file: '/srv/dormouse.yaml', env, registry, files, cores: 1 }).backends[0]!;
}

function refused(list: string, scale = ''): string {
  try {
    parse(list, scale);
  } catch (error) {
    assert.ok(error instanceof ConfigError, String(error));
    return error.message;
  }
  return assert.fail(`${list} was taken`);
}

test('schemas and triggers have the same names', () => {
  assert.deepEqual(Object.keys(triggerSchemas).toSorted(), Object.keys(triggers).toSorted());
});

test("KEDA's defaults", () => {
  const [list, stream, nats, prometheus] = parse(
    `{ redis-list: { address: 127.0.0.1, listName: jobs } }`.replace('127.0.0.1', '127.0.0.1:6379') +
      `, { redis-streams: { host: redis, stream: s, consumerGroup: g } }` +
      `, { nats-jetstream: { natsServerMonitoringEndpoint: "nats:8222", account: $G, stream: S, consumer: c } }`.replace(
        '$G',
        '$$G',
      ) +
      `, { prometheus: { serverAddress: http://p:9090, query: up, threshold: 3 } }`,
  ).triggers.map(({ options }) => options as Record<string, unknown>);
  assert.deepEqual([list!['target'], list!['activation']], [5, 0]);
  assert.deepEqual([stream!['mode'], stream!['target'], stream!['activation']], ['pending', 5, 0]);
  assert.equal((stream!['server'] as { port: number }).port, 6379);
  assert.deepEqual(
    [nats!['target'], nats!['activation'], nats!['monitoring']],
    [10, 0, { url: 'http://nats:8222', account: '$G' }],
  );
  assert.deepEqual([prometheus!['activation'], prometheus!['ignoreNull']], [0, true]);
});

test('a password comes out of the environment, also one that looks like a number, and files become absolute', () => {
  const [list] = parse(
    '{ redis-list: { address: "r:6379", listName: jobs, username: u, password: "${REDIS_PASSWORD}", enableTLS: on, caFile: ca.pem } }',
  ).triggers;
  const { server } = list!.options as { server: { credentials: unknown } };
  assert.deepEqual(server.credentials, {
    given: { username: 'u', password: '12345' },
    files: { ca: '/srv/ca.pem' },
    secret: null,
  });
});

test('what is wrong is said with its place and the next step', () => {
  const list = 'address: "r:6379", listName: jobs';
  for (const [written, expected] of [
    [
      `{ redis-list: { ${list}, activationThreshold: 1 } }`,
      /triggers\[0\]\.redis-list\.activationThreshold: unknown key; here it is "activationListLength"/,
    ],
    [`{ redis-list: { ${list}, listLenght: 1 } }`, /listLenght: unknown key; did you mean "listLength"\?/],
    [`{ redislist: { ${list} } }`, /unknown trigger; did you mean "redis-list"\?/],
    ['{ redis-list: { listName: jobs } }', /redis-list: has no address; add address: host:6379/],
    [`{ redis-list: { ${list}, host: r } }`, /host: has no place beside address/],
    [
      '{ redis-list: { address: "redis://:secret@r:6379", listName: jobs } }',
      /address: is a URL; write host:6379; password/,
    ],
    ['{ redis-list: { address: "r:6379" } }', /listName: is missing/],
    [`{ redis-list: { ${list}, listLength: 0 } }`, /listLength: expected a number above 0/],
    [`{ redis-list: { ${list}, listLength: -5 } }`, /listLength: expected a number above 0/],
    [`{ redis-list: { ${list}, listLength: 1e300 } }`, /listLength: expected a number above 0 and at most/],
    [`{ redis-list: { ${list}, caFile: x.pem } }`, /caFile: has no effect without TLS; add enableTLS: on/],
    [`{ redis-list: { ${list}, enableTLS: on, certFile: x.pem } }`, /certFile: stands without keyFile/],
    [`{ redis-list: { ${list}, passwordFile: missing } }`, /passwordFile: there is no file \/srv\/missing/],
    [`{ redis-list: { ${list}, password: a, passwordFile: b } }`, /passwordFile: has no place beside password/],
    [
      `{ redis-list: { ${list}, authentication: { secret: s } } }`,
      /authentication: names a Secret of a cluster; it is for objects of a cluster/,
    ],
    [
      `{ redis-list: { ${list}, authentication: { secret: s, keys: { pasword: x } } } }`,
      /keys\.pasword: .*there are username, password, ca, cert, key/,
    ],
    [`{ name: ${'x'.repeat(300)}, redis-list: { ${list} } }`, /name: the name of a trigger has at most 63 characters/],
    ['{ redis-streams: { host: r, stream: s, lagCount: 3 } }', /lagCount: has no meaning without consumerGroup/],
    [
      '{ redis-streams: { host: r, stream: s, consumerGroup: g, streamLength: 3 } }',
      /streamLength: has no place beside consumerGroup/,
    ],
    ['{ nats-jetstream: { stream: S, consumer: c } }', /needs exactly one of servers and natsServerMonitoringEndpoint/],
    [
      '{ nats-jetstream: { servers: ["nats://u:p@n"], stream: S, consumer: c } }',
      /servers\[0\]: has a user or a password/,
    ],
    ['{ nats-jetstream: { servers: [n], stream: a.b, consumer: c } }', /stream: expected the name of a stream/],
    [
      '{ nats-jetstream: { natsServerMonitoringEndpoint: "n:8222", stream: S, consumer: c } }',
      /natsServerMonitoringEndpoint needs account/,
    ],
    [
      '{ prometheus: { serverAddress: "p:9090", query: up, threshold: 1 } }',
      /serverAddress: is not an http or https URL/,
    ],
    ['{ prometheus: { serverAddress: "http://p", query: up } }', /threshold: is missing/],
    [
      '{ cron: { timezone: Europe/Berlln, start: "0 8 * * *", end: "0 9 * * *", desiredReplicas: 1 } }',
      /timezone: "Europe\/Berlln" is not a time zone; did you mean "Europe\/Berlin"\?/,
    ],
    [
      '{ cron: { timezone: UTC, start: "0 8 31 2 *", end: "0 9 * * *", desiredReplicas: 1 } }',
      /start: names no day that exists/,
    ],
    [
      '{ cron: { timezone: UTC, start: "0 8 * * *", end: "0  8 * * *", desiredReplicas: 1 } }',
      /end: is the same as start, so that it would never be between/,
    ],
    [
      '{ cron: { timezone: UTC, start: "0 8 * * *", end: "0 9 * * *", desiredReplicas: 0 } }',
      /desiredReplicas: expected a whole number from 1/,
    ],
    [
      '{ external: { scalerAddress: "http://s:1" } }',
      /scalerAddress: is not host:port; write host:port of a KEDA external scaler/,
    ],
    ['{ name: http, redis-list: { address: "r:1", listName: x } }', /name: http is the name of what requests ask for/],
    ['{ http: { concurrency: 1, rps: 1 } }', /rps: has no place beside concurrency/],
  ] as const)
    assert.match(refused(written), expected, written);
  assert.doesNotMatch(refused('{ redis-list: { address: "redis://:secret@r:6379", listName: jobs } }'), /secret/);
});

test('a formula names triggers, with - and . written as _', () => {
  const list = '{ name: a-b, cron: { timezone: UTC, start: "0 8 * * *", end: "0 9 * * *", desiredReplicas: 3 } }';
  const { scale } = parse(list, '{ formula: "max(http, a_b)", max: 5 }');
  assert.deepEqual(scale.formula!.names, { a_b: 'a-b', http: 'http' });
  assert.deepEqual([scale.formula!.target, scale.formula!.text], [null, 'max(http, a_b)']);
  const long = parse(list, '{ formula: { expression: a_b * 2, target: 4, activationTarget: 1 } }').scale.formula!;
  assert.deepEqual([long.target, long.activationTarget], [4, 1]);
  assert.match(
    refused(list, '{ formula: "max(http, ab)" }'),
    /scale\.formula: "ab" at position 11 is no trigger of this backend; did you mean a_b\?/,
  );
  assert.match(
    refused(list, '{ formula: { expression: a_b, activationTarget: 1 } }'),
    /activationTarget: has no meaning without target/,
  );
  assert.match(refused(`${list}, { name: a_b, http: {} }`), /a_b is the name of another trigger/);
  const counted = parse('{ name: web, http: { rps: 20, utilizationPercent: 50 } }', '{ formula: web * 2 }').scale;
  assert.deepEqual(counted.target, { metric: 'rps', value: 20, utilizationPercent: 50 });
  assert.match(
    refused('{ http: { rps: 20 } }', '{ target: { rps: 5 } }'),
    /scale\.target: says the same as the trigger http/,
  );
  assert.deepEqual(parse(list, '{ fallback: { replicas: 2 } }').scale.fallback, { failures: 3, replicas: 2 });
});

test('an object of a cluster names Secrets, and holds none', () => {
  const compiler = new ObjectCompiler(registry);
  const compile = (options: object) =>
    compiler.backend({
      metadata: { name: 'worker', namespace: 'shop' },
      spec: {
        kubernetes: { target: { apiVersion: 'apps/v1', kind: 'Deployment', name: 'worker' } },
        triggers: [{ name: 'jobs', 'redis-list': { address: 'redis:6379', listName: 'jobs', ...options } }],
      },
    });
  const compiled = compile({ username: 'u', authentication: { secret: 'redis', keys: { password: 'pw' } } });
  assert.ok('backend' in compiled, JSON.stringify(compiled));
  const { server } = compiled.backend.triggers[0]!.options as { server: { credentials: unknown } };
  assert.deepEqual(server.credentials, {
    given: { username: 'u' },
    files: {},
    secret: { name: 'redis', keys: { password: 'pw' } },
  });
  const { kubernetes } = compiled.backend.source as { kubernetes: { service: unknown; port: number } };
  assert.deepEqual([kubernetes.service, kubernetes.port], [null, 0], 'a worker needs neither Service nor port');
  for (const [options, expected] of [
    [
      { password: 'secret' },
      /password.*has no place in an object that others may read.*authentication: \{ secret: NAME \}/,
    ],
    [{ passwordFile: '/etc/shadow' }, /names a file/],
  ] as const) {
    const wrong = compile(options);
    assert.ok('problems' in wrong);
    assert.match(JSON.stringify(wrong.problems), expected);
  }
});

test('a worker that listens nowhere has nothing of what listens, and is not frozen with a message in its hands', () => {
  const of = (process: string, more = ''): string => {
    const text = `backends: { app: { process: { command: [a], port: none, ${process} } } }${more}`;
    try {
      parseConfig(text, { file: '/srv/dormouse.yaml', env: {}, registry, files, cores: 1 });
    } catch (error) {
      return (error as Error).message;
    }
    return 'taken';
  };
  assert.equal(of('stopGrace: 30s'), 'taken');
  assert.match(of('sleep: freeze'), /process\.sleep: has no place with port: none: a worker .* write sleep: stop/);
  assert.match(of('ready: { http: /x }'), /ready\.http: has no meaning with port: none/);
  assert.match(of('socket: inherited'), /socket: has no meaning with port: none/);
  assert.match(
    of('', '\nroutes: [{ backend: app }]'),
    /routes\[0\]\.backend: app listens nowhere \(process\.port is none\)/,
  );
});
