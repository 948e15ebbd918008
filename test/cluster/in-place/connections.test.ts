/** Connections of every kind across redirect and hand-back, all ports of a Service, and the way to the pods while it is awake: no gateway is on it. */
import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { gatewayCounters, installDormouse } from '../fixtures/installation.ts';
import { Calls, FURTHER_PORTS, furtherContainer, keepExchanging, sayLine } from '../fixtures/many-ports.ts';
import { Scene } from '../fixtures/scene.ts';
import { summary } from '../fixtures/traffic.ts';
import { appObjects, ensureCluster, type Cluster } from '../machine/index.ts';

let cluster: Cluster;
let scene: Scene;

before(async () => {
  cluster = await ensureCluster();
  await installDormouse(cluster);
  scene = await Scene.open(cluster, 'connections');
});
after(() => scene?.[Symbol.asyncDispose]());

test('while it is awake no connection of the service passes a gateway', async (t) => {
  const app = await scene.guarded({ name: 'awake', backend: { scale: { idleAfter: '10m' } } });
  await app.untilCondition('Ready', 'True');
  const before = await gatewayCounters(cluster);
  await using traffic = await app.traffic({
    fresh: { everyMs: 4 },
    kept: { clients: 2, everyMs: 4 },
    webSockets: { clients: 1, everyMs: 20 },
    methods: 'both',
  });
  while ((await traffic.look()).answered < 1000) await new Promise((resolve) => setTimeout(resolve, 50));
  const report = await traffic.end();
  assert.equal(report.lost.length, 0, summary(report));
  assert.deepEqual(await gatewayCounters(cluster), before);
  t.diagnostic(`${report.answered} requests; at the gateways: ${JSON.stringify(before)} before and after`);
});

type Containers = { spec: { template: { spec: { containers: object[] } } } };
type Ports = { spec: { ports: object[] } };

test('keep-alive, WebSocket, gRPC and raw TCP at all ports of a Service, across redirects and hand-backs', async (t) => {
  const name = 'every';
  const [deployment, service] = appObjects({ name, replicas: 2 }) as [Containers & object, Ports & object];
  deployment.spec.template.spec.containers.push(furtherContainer);
  service.spec.ports.push(...FURTHER_PORTS);
  const app = await scene.take(name, [deployment, service], 2);
  await app.declare({ scale: { idleAfter: '3s' } });

  await using traffic = await app.traffic({
    fresh: { everyMs: 40 },
    kept: { clients: 3, everyMs: 30 },
    webSockets: { clients: 2, everyMs: 30 },
    methods: 'both',
  });
  const ending = new AbortController();
  t.after(() => ending.abort());
  let paused = false;
  using calls = new Calls(app.host, 9090);
  const others = Promise.all([
    keepExchanging(
      (number) => calls.echo(number),
      ending.signal,
      () => paused,
    ),
    keepExchanging(
      (number) => sayLine(app.host, 7000, number),
      ending.signal,
      () => paused,
    ),
  ]);
  // Traffic runs through a redirect, which is taken back because of it.
  await scene.events.until('a sleep taken back', () => scene.eventsOf(name).includes('SleepTakenBack'));
  await app.untilPassed('serving');
  for (let round = 0; round < 2; round++) {
    await traffic.pause();
    paused = true;
    await app.untilAsleep();
    const passed = app.steps.length;
    traffic.resume();
    paused = false;
    await app.untilPassed('serving', passed);
    await app.untilWithoutGateways();
    await app.untilReady(2);
  }
  ending.abort();
  const [grpc, tcp] = await others;
  const report = await traffic.end();
  const { webSocket } = report;
  t.diagnostic(summary(report));
  t.diagnostic(`WebSockets ${JSON.stringify(webSocket)}; gRPC ${grpc.done} calls; raw TCP ${tcp.done} exchanges`);
  assert.equal(report.lost.length, 0, `${summary(report)}\n${app.story.join('\n')}`);
  assert.deepEqual(grpc.failed, []);
  assert.deepEqual(tcp.failed, []);
  assert.deepEqual(webSocket.failed, []);
  assert.deepEqual(
    Object.keys(webSocket.closed).filter((code) => code.includes('under way')),
    [],
  );
  assert.deepEqual(scene.witness.duplicates, []);
  assert.ok(report.cold > 0);
  await app.delete();
  await app.untilRestored(2);
});

test('each port wakes it by itself', async () => {
  const name = 'each';
  const [deployment, service] = appObjects({ name }) as [Containers & object, Ports & object];
  deployment.spec.template.spec.containers.push(furtherContainer);
  service.spec.ports.push(...FURTHER_PORTS);
  const app = await scene.take(name, [deployment, service], 1);
  await app.declare({ scale: { idleAfter: '1s' } });
  using calls = new Calls(app.host, 9090);
  for (const ask of [() => calls.echo(1), () => sayLine(app.host, 7000, 1), () => app.get()]) {
    await app.untilAsleep();
    const passed = app.steps.length;
    await ask();
    await app.untilPassed('serving', passed);
  }
  await app.delete();
});

test('a named target port that is another number in new pods', async () => {
  const name = 'moved';
  const app = await scene.guarded({ name, backend: { scale: { idleAfter: '1s' } } });
  await app.untilAsleep();
  const [deployment] = scene.witnessed(appObjects({ name, replicas: 0, env: { PORT: '9191' } })) as [
    { spec: { template: { spec: { containers: { ports: object[] }[] } } } },
  ];
  deployment.spec.template.spec.containers[0]!.ports = [{ name: 'http', containerPort: 9191 }];
  await scene.namespace.apply([deployment]);
  const passed = app.steps.length;
  const answer = await app.get();
  assert.equal(answer.status, 200, answer.text);
  await app.untilPassed('serving', passed);
  await app.untilWithoutGateways();
  assert.equal((await app.get()).headers.get('x-cold-start'), null);
  await app.delete();
});
