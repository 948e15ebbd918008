import assert from 'node:assert/strict';
import { test, type TestContext } from 'node:test';
import { silentLogger } from '../model/ports.ts';
import { startObserveServer, type ObserveServerOptions } from './observe-server.ts';

async function started(t: TestContext, options: Partial<ObserveServerOptions> = {}) {
  const server = await startObserveServer({
    address: { host: '127.0.0.1', port: 0 },
    metrics: async () => 'dormouse_x 1\n',
    ready: () => ({ ready: true, reasons: [] }),
    logger: silentLogger,
    ...options,
  });
  t.after(() => server.close());
  const base = `http://127.0.0.1:${server.address.port}`;
  return { server, get: (path: string, init?: RequestInit) => fetch(base + path, init) };
}

test('metrics, livez and readyz', async (t) => {
  const { get } = await started(t);
  const metrics = await get('/metrics?x=1');
  assert.equal(metrics.headers.get('content-type'), 'text/plain; version=0.0.4; charset=utf-8');
  assert.equal(await metrics.text(), 'dormouse_x 1\n');
  assert.equal((await get('/livez')).status, 200);
  assert.equal((await get('/readyz')).status, 200);
  const head = await get('/metrics', { method: 'HEAD' });
  assert.equal(head.headers.get('content-length'), '13');
  assert.equal(await head.text(), '');
});

test('what is missing is told on readyz, and livez stays alive', async (t) => {
  const { get } = await started(t, { ready: () => ({ ready: false, reasons: ['worker w0 is starting'] }) });
  const response = await get('/readyz');
  assert.equal(response.status, 503);
  assert.match(await response.text(), /worker w0 is starting/);
  assert.equal((await get('/livez')).status, 200);
});

test('nothing else is there', async (t) => {
  const { get } = await started(t);
  assert.equal((await get('/')).status, 404);
  const post = await get('/metrics', { method: 'POST', body: 'x' });
  assert.equal(post.status, 405);
  assert.equal(post.headers.get('allow'), 'GET, HEAD');
});

test('scrapes at the same time share one collection; a failed or late one is 503 and the next works', async (t) => {
  let collections = 0;
  let finish: (text: string) => void = () => {};
  let collect = (): Promise<string> => new Promise((resolve) => (finish = resolve));
  const { get } = await started(t, { metrics: () => (collections++, collect()), metricsTimeoutMs: 300 });
  const both = [get('/metrics'), get('/metrics')];
  await get('/livez');
  finish('dormouse_y 2\n');
  for (const response of await Promise.all(both)) assert.equal(response.status, 200);
  assert.ok(collections <= 2);
  collect = async () => {
    throw new Error('boom');
  };
  assert.equal((await get('/metrics')).status, 503);
  collect = () => new Promise(() => {});
  assert.equal((await get('/metrics')).status, 503);
  collect = async () => 'dormouse_z 3\n';
  assert.equal(await (await get('/metrics')).text(), 'dormouse_z 3\n');
});

test('a taken address is told with the next step', async (t) => {
  const { server } = await started(t);
  await assert.rejects(started(t, { address: server.address }), (error: Error) => {
    assert.match(
      error.message,
      new RegExp(`cannot listen on 127.0.0.1:${server.address.port} .*EADDRINUSE; another program.*observe.address`),
    );
    return true;
  });
});
