import assert from 'node:assert/strict';
import { once } from 'node:events';
import { connect as connectHttp2 } from 'node:http2';
import { afterEach, describe, it } from 'node:test';
import type { MetricSeries } from '../model/metrics.ts';
import { backendConfig, gatewayConfig, GatewayHarness, routeConfig } from './fixtures/gateway-harness.ts';
import { ok, RawBackend, type RawRequest } from './fixtures/raw-backend.ts';

const GET = 'GET / HTTP/1.1\r\nHost: a\r\n\r\n';

describe('metrics of a gateway', () => {
  const open: { close(): Promise<void> }[] = [];
  afterEach(async () => {
    for (const part of open.splice(0)) await part.close();
  });

  async function serve(answers: (request: RawRequest) => void, filters: { type: string; options: unknown }[] = []) {
    const backend = await RawBackend.start(answers);
    const harness = await GatewayHarness.start(
      gatewayConfig([backendConfig('app')], { routes: [routeConfig('app', { filters })] }),
    );
    open.push(harness, backend);
    harness.update('app', [{ port: backend.port }]);
    return { backend, harness };
  }

  async function series(harness: GatewayHarness, name: string): Promise<MetricSeries[]> {
    const collected = harness.nextOf('collected');
    harness.link.send({ type: 'collect', id: 1 });
    return (await collected).metrics.find((family) => family.name === name)!.series;
  }

  async function values(harness: GatewayHarness, name: string): Promise<[labels: string, value: number][]> {
    return (await series(harness, name)).map(({ labels, value }) => [Object.values(labels).join(' '), value!]);
  }

  const count = ({ histogram }: MetricSeries): number => histogram!.counts.reduce((sum, one) => sum + one, 0);

  it('how long connections took to be made and endpoints to answer; which connections are busy and which are kept', async () => {
    let late: RawRequest | null = null;
    const { harness, backend } = await serve((request) => {
      if (request.target === '/late') late = request;
      else setTimeout(() => request.socket.write(ok('hello')), 20);
    });
    const client = await harness.connect();
    for (let i = 0; i < 5; i++) {
      client.send(GET);
      await client.response();
    }
    const [made] = await series(harness, 'dormouse_upstream_connect_duration_seconds');
    assert.equal(count(made!), 1);
    const [waited] = await series(harness, 'dormouse_upstream_first_byte_duration_seconds');
    assert.deepEqual(waited!.labels, { backend: 'app' });
    assert.equal(count(waited!), 5);
    const { sum } = waited!.histogram!;
    assert.ok(sum >= 5 * 0.019 && sum < 5, `${sum} s`);
    assert.deepEqual(await values(harness, 'dormouse_upstream_connections'), [
      ['app busy', 0],
      ['app idle', 1],
    ]);
    client.send(GET.replace('/', '/late'));
    while (backend.requests.length < 6) await new Promise(setImmediate);
    assert.deepEqual(await values(harness, 'dormouse_upstream_connections'), [
      ['app busy', 1],
      ['app idle', 0],
    ]);
    late!.socket.write(ok());
    await client.response();
  });

  it('what filters refuse, by route; what no route took, without one', async () => {
    const options = { scheme: 'https', status: 308 };
    const { harness } = await serve(() => {}, [{ type: 'redirect', options }]);
    const client = await harness.connect();
    client.send(GET);
    assert.equal((await client.response()).status, 308);
    client.send('GET / HTTP/1.1\r\nHost: a\r\nBad Header\r\n\r\n');
    assert.equal((await client.response()).status, 400);
    assert.deepEqual(await values(harness, 'dormouse_requests_refused_total'), [
      ['app 308', 1],
      [' 400', 1],
    ]);
  });

  it('HTTP/2 connections, and requests on them that are cut off', async () => {
    const { harness, backend } = await serve(() => {});
    const session = connectHttp2(`http://127.0.0.1:${harness.port}`);
    for (let i = 0; i < 3; i++) {
      const stream = session.request({ ':path': '/' });
      stream.on('error', () => {}).resume();
      while (backend.requests.length <= i) await new Promise(setImmediate);
      stream.close(8);
      await once(stream, 'close');
    }
    while ((await values(harness, 'dormouse_http2_resets_total'))[0]![1] < 3) await new Promise(setImmediate);
    assert.deepEqual(await values(harness, 'dormouse_http2_resets_total'), [
      ['client', 3],
      ['gateway', 0],
    ]);
    assert.deepEqual(await values(harness, 'dormouse_http2_connections'), [['', 1]]);
    assert.deepEqual(await values(harness, 'dormouse_http2_connections_total'), [['', 1]]);
    session.destroy();
    while ((await values(harness, 'dormouse_http2_connections'))[0]![1] > 0) await new Promise(setImmediate);
  });
});
