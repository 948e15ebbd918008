/** What sources answer that is not what it should be: each is a failure with the next step, and never a report. */
import assert from 'node:assert/strict';
import { once } from 'node:events';
import net from 'node:net';
import { test } from 'node:test';
import { ServerCredentials } from '@grpc/grpc-js';
import { Authority } from '../gateway/fixtures/certificates.ts';
import { FakePrometheus } from '../idle/prometheus.fixture.ts';
import { redisSentence } from './redis-client.ts';
import { FakeScaler } from './external-scaler.fixture.ts';
import { TriggerRun } from './trigger.contract.ts';

const OFTEN = { pollingInterval: '100ms' };

async function fails(type: string, options: object, how: RegExp, secrets = {}): Promise<void> {
  const run = new TriggerRun(type, { ...options, ...OFTEN }, secrets);
  try {
    await run.until('failure', () => run.failures.length > 0);
    assert.match(run.failures[0]!, how);
    assert.deepEqual(run.reports, []);
  } finally {
    await run.stop();
  }
}

test('Prometheus: one number or a failure', async () => {
  await using server = await FakePrometheus.start(Date.now);
  const options = { serverAddress: server.url, query: 'depth', threshold: 5, timeout: '500ms' };
  const series = (value: number | Record<string, number>): void => void server.queries.set('depth', () => value);
  series({ a: 1, b: 2 });
  await fails(
    'prometheus',
    options,
    /the query gives 2 series in Prometheus http:.*: write one that gives one, for example sum/,
  );
  series(NaN);
  await fails('prometheus', options, /NaN.*: see that it never divides 0 by 0/);
  series(Infinity);
  await fails('prometheus', options, /the query gives Infinity/);
  server.queries.delete('depth');
  await fails(
    'prometheus',
    { ...options, ignoreNullValues: 'off' },
    /gives nothing.*: see that its series exist, or write ignoreNullValues: on/,
  );
  for (const [reply, expected] of [
    [{ status: 500, body: 'x' }, /answers 500: its own log says more/],
    [{ status: 401, body: 'x' }, /answers 401: give username and password, or token/],
    [
      { status: 400, body: { status: 'error', errorType: 'bad_data', error: 'parse error' } },
      /answers 400 \(bad_data: parse error\): correct the query/,
    ],
    [{ status: 200, body: '<html>' }, /not of Prometheus' HTTP API/],
    ['hang', /does not answer within 0\.5 s: see that it runs/],
    ['break', /does not answer \(ECONNRESET\)/],
  ] as const) {
    server.reply = () => reply;
    await fails('prometheus', options, expected);
  }
  server.reply = null;
  series(-3);
  const run = new TriggerRun('prometheus', { ...options, ...OFTEN, username: 'u', password: 'p', namespace: 'shop' });
  await run.until('report', () => run.reports.length > 0);
  assert.deepEqual([run.last!.metric?.value, run.last!.active], [0, false], 'less than nothing is nothing');
  series(1e15);
  await run.until('much', () => run.last!.active);
  assert.equal(run.last!.metric?.value, 1e15);
  await run.stop();
  const { authorization, form } = server.asked.at(-1)!;
  assert.deepEqual([authorization, form.get('namespace')], [`Basic ${Buffer.from('u:p').toString('base64')}`, 'shop']);
  const empty = new TriggerRun('prometheus', { ...options, query: 'none', ...OFTEN });
  await empty.until('report', () => empty.reports.length > 0);
  assert.equal(empty.last!.metric?.value, 0, 'as in KEDA');
  await empty.stop();
});

test('an external scaler is told who asks, and the metric that asks for most counts', async (t) => {
  const scaler = new FakeScaler();
  t.after(() => scaler.stop());
  await scaler.start();
  scaler.active = true;
  scaler.specs = [
    { metricName: 'a', target: 5 },
    { metricName: 'b', target: 0.5 },
  ];
  scaler.values = new Map([
    ['a', 12],
    ['b', 3.25],
  ]);
  const run = new TriggerRun('external', {
    scalerAddress: scaler.address,
    metadata: { queue: 'jobs', length: 5 },
    namespace: 'shop',
    ...OFTEN,
  });
  await run.until('report', () => run.reports.length > 0);
  assert.deepEqual([run.last!.desired, run.last!.metric?.target, run.last!.reason], [6.5, 0.5, 'b is 3.25, active']);
  assert.deepEqual(
    { ...scaler.asked[0], scalerMetadata: { ...scaler.asked[0]!.scalerMetadata } },
    { name: 'shop', namespace: 'shop', scalerMetadata: { queue: 'jobs', length: '5' } },
  );
  await run.stop();
  scaler.stop();
});

test('an external scaler that pushes is believed at once; one without a stream is asked', async (t) => {
  const scaler = new FakeScaler();
  t.after(() => scaler.stop());
  await scaler.start();
  const seldom = { scalerAddress: scaler.address, pollingInterval: '1h' };
  const run = new TriggerRun('external', seldom);
  await run.until('report', () => run.reports.length > 0);
  await run.until('its stream', () => scaler.listeners === 1);
  scaler.push(false);
  scaler.active = true;
  scaler.values.set('depth', 5);
  scaler.push(true);
  await run.until('active', () => run.last!.active);
  await run.stop();
  await run.until('the stream is given back', () => scaler.listeners === 0);
  scaler.active = false;
  scaler.streams = false;
  const asked = new TriggerRun('external', { ...seldom, pollingInterval: '100ms' });
  await asked.until('word of it', () => asked.infos.length > 0);
  assert.match(asked.infos[0]!, /asking only.*no StreamIsActive/);
  scaler.active = true;
  await asked.until('active', () => asked.last!.active);
  assert.deepEqual(asked.failures, []);
  await asked.stop();
  scaler.stop();
});

test('an external scaler that is none, hangs, or says what can not be', async (t) => {
  const scaler = new FakeScaler();
  t.after(() => scaler.stop());
  await scaler.start();
  const options = { scalerAddress: scaler.address, timeout: '300ms' };
  scaler.specs = [];
  await fails('external', options, /has no metric for this metadata: see what keys it wants/);
  scaler.specs = [{ metricName: 'x'.repeat(300), target: 5 }];
  await fails('external', options, /a metric whose name is longer than 256 characters/);
  scaler.specs = [{ metricName: 'depth', target: -5 }];
  await fails('external', options, /wants -5 of depth for each instance, which is no target/);
  scaler.specs = [{ metricName: 'depth', target: 5 }];
  scaler.values.set('depth', NaN);
  const odd = new TriggerRun('external', { ...options, ...OFTEN });
  await odd.until('word', () => odd.failures.length + odd.reports.length > 0);
  await odd.stop();
  assert.ok(
    odd.reports.every(({ desired }) => desired >= 0),
    'NaN is no number of instances',
  );
  scaler.hangs = true;
  await fails('external', options, /does not answer within 0\.3 s: see that it runs and is not overloaded/);
  scaler.stop();
  await fails(
    'external',
    options,
    /can't be reached .*: see that it runs, that scalerAddress is right, and whether it wants enableTLS/,
  );
  const other = net.createServer((socket) => socket.end('HTTP/1.1 400 Bad Request\r\n\r\n')).listen(0, '127.0.0.1');
  await once(other, 'listening');
  await fails(
    'external',
    { ...options, scalerAddress: `127.0.0.1:${(other.address() as net.AddressInfo).port}` },
    /the external scaler .*: \S/,
  );
  other.close();
});

test('an external scaler with mutual TLS: certificates come from a Secret, and without one it refuses', async (t) => {
  const authority = await Authority.create();
  const server = await authority.issue({ names: ['scaler.example.com'] });
  const client = await authority.issue({ names: ['dormouse.example.com'] });
  const pair = { private_key: Buffer.from(server.key), cert_chain: Buffer.from(server.cert) };
  const scaler = new FakeScaler(ServerCredentials.createSsl(Buffer.from(authority.pem), [pair], true));
  t.after(() => scaler.stop());
  await scaler.start();
  const options = {
    scalerAddress: scaler.address,
    enableTLS: 'on',
    serverName: 'scaler.example.com',
    authentication: { secret: 'scaler' },
    timeout: '2s',
  };
  const secret = { ca: authority.pem, cert: client.cert, key: client.key };
  const run = new TriggerRun('external', { ...options, ...OFTEN }, { scaler: secret });
  await run.until('report', () => run.reports.length > 0);
  await run.stop();
  await fails('external', options, /the external scaler .*: \S/, { scaler: { ca: authority.pem } });
  await fails(
    'external',
    { ...options, serverName: 'other.example.com' },
    /can't be reached .*certificate is for this name/,
    { scaler: secret },
  );
  await fails(
    'external',
    { ...options, authentication: { secret: 'scaler', keys: { ca: 'nothing' } } },
    /the Secret scaler has no key nothing: add it, or correct authentication\.keys\.ca/,
    { scaler: secret },
  );
  scaler.stop();
});

test('what Redis says, in sentences with the next step', () => {
  const key = { name: 'jobs', type: 'list', option: 'listName' };
  for (const [said, expected] of [
    [
      'MOVED 3999 10.0.0.7:6379',
      /is one node of a Redis Cluster, and jobs is at 10\.0\.0\.7:6379: write that as address/,
    ],
    [
      "NOPERM this user has no permissions to run the 'llen' command",
      /its user may not do this .*: allow it with ACL SETUSER/,
    ],
    ['LOADING Redis is loading the dataset in memory', /can't answer now .*: it is asked again/],
    ['TIMEOUT 5', /does not answer within 5 s: see that it runs/],
    [
      'ERR AUTH <password> called without any password configured for the default user',
      /has no password: remove password/,
    ],
    ['unable to verify the first certificate', /TLS fails .*: see enableTLS, caFile and serverName/],
  ] as const)
    assert.match(redisSentence(new Error(said), 'r:6379', key), expected);
});
