import assert from 'node:assert/strict';
import { afterEach, describe, it } from 'node:test';
import type { Filter, FilterServices, SideResponse } from './filters/filter.ts';
import { backendConfig, gatewayConfig, GatewayHarness, routeConfig } from './fixtures/gateway-harness.ts';
import { ok, RawBackend } from './fixtures/raw-backend.ts';
import type { RawRequest } from './fixtures/raw-backend.ts';

const open: { close(): Promise<void> }[] = [];
afterEach(async () => {
  for (const part of open.splice(0)) await part.close();
});

const request = (path: string): string => `GET ${path} HTTP/1.1\r\nHost: a\r\n\r\n`;
const MIRROR = { type: 'mirror', options: { backend: 'copy', percent: 100 } };

/** Once the whole request is there. */
const answer = (r: RawRequest): void => {
  const length = Number(/content-length: (\d+)/i.exec(r.head)?.[1] ?? 0);
  void r.bodyUntil((text) => text.length === length).then(() => r.socket.write(ok()));
};

async function mirrored(answerCopy = answer) {
  const app = await RawBackend.start(answer);
  const copy = await RawBackend.start(answerCopy);
  const harness = await GatewayHarness.start(
    gatewayConfig([backendConfig('app'), backendConfig('copy')], {
      routes: [routeConfig('app', { filters: [MIRROR] })],
    }),
  );
  open.push(harness, app, copy);
  harness.update('app', [{ port: app.port }]);
  return { app, copy, harness, client: await harness.connect() };
}

/** Polled by turns of the event loop: the runner's bound ends a wait in vain. */
async function seen(backend: RawBackend, requests: number): Promise<void> {
  while (backend.requests.length < requests) await new Promise(setImmediate);
}

describe('copies of requests', () => {
  it('have the head and the body as the backend gets them, and their answers go nowhere', async () => {
    const { app, copy, harness, client } = await mirrored();
    harness.update('copy', [{ port: copy.port }]);
    client.send('POST /a HTTP/1.1\r\nHost: a\r\nContent-Length: 6\r\n\r\nab');
    await seen(copy, 1);
    client.send('cdef');
    assert.equal((await client.response()).status, 200);
    assert.equal(copy.requests[0]!.head, app.requests[0]!.head);
    assert.equal(await copy.requests[0]!.bodyUntil((text) => text.length === 6), 'abcdef');
    assert.equal(harness.log.length, 1);
  });

  it('wake nobody', async () => {
    const { copy, harness, client } = await mirrored();
    client.send(request('/'));
    assert.equal((await client.response()).status, 200);
    assert.equal(copy.connections, 0);
    assert.equal(harness.messages.filter((message) => message.type === 'wake').length, 0);
  });

  it('end when the request breaks off, and delay nothing when their backend never answers', async () => {
    const { copy, harness, client } = await mirrored(() => {});
    harness.update('copy', [{ port: copy.port }]);
    for (let n = 0; n < 3; n++) {
      client.send(request(`/${n}`));
      assert.equal((await client.response()).status, 200);
    }
    const leaving = await harness.connect();
    leaving.send('POST /cut HTTP/1.1\r\nHost: a\r\nContent-Length: 100\r\n\r\nhalf');
    await seen(copy, 4);
    const cut = new Promise((resolve) => copy.requests[3]!.socket.once('close', resolve));
    leaving.socket.resetAndDestroy();
    await cut;
  });
});

describe('calls of filters', () => {
  async function calling(use: (services: FilterServices) => Filter) {
    const backend = await RawBackend.start((r) => r.socket.write(ok(`asked ${r.target}`, 'X-Said: yes\r\n')));
    const harness = await GatewayHarness.start(
      gatewayConfig([backendConfig('app'), backendConfig('auth')], {
        routes: [routeConfig('app', { filters: [{ type: 'asking', options: {} }] })],
      }),
      { filters: { asking: (_options, context) => use(context.services) } },
    );
    open.push(harness, backend);
    return { backend, harness, client: await harness.connect() };
  }

  const ask = {
    method: 'GET',
    target: '/auth?x',
    host: 'auth',
    headers: 'X-A: b\r\n',
    body: null,
    client: '192.0.2.1',
  };

  it('wake the backend that is asked and wait for it, as any request does', async () => {
    let answer: SideResponse | null = null;
    const { backend, harness, client } = await calling((services) => ({
      request: async () => {
        answer = await services.call('auth', ask, AbortSignal.timeout(5000));
        return { status: 202, headers: '', body: 'after' };
      },
    }));
    client.send(request('/'));
    const wake = await harness.nextOf('wake');
    assert.equal(wake.type === 'wake' && wake.backend, 'auth');
    harness.update('auth', [{ port: backend.port }]);
    assert.deepEqual([(await client.response()).status, answer!.status], [202, 200]);
    assert.equal(answer!.header('x-said'), 'yes');
    assert.equal(answer!.body.toString(), 'asked /auth?x');
    assert.match(
      backend.requests[0]!.head,
      /^GET \/auth\?x HTTP\/1\.1\r\nHost: auth\r\nX-A: b\r\nX-Forwarded-For: 192\.0\.2\.1\r\n/,
    );
  });

  it('end with their signal, and a filter that fails is answered 500', async () => {
    const { client } = await calling((services) => ({
      request: async () => {
        await services.call('auth', ask, AbortSignal.timeout(50));
        return null;
      },
    }));
    client.send(request('/'));
    assert.equal((await client.response()).status, 500);
  });

  it('of a client that left meanwhile lead nowhere', async () => {
    const { backend, harness, client } = await calling((services) => ({
      request: async () => {
        await services.call('auth', ask, AbortSignal.timeout(5000));
        return null;
      },
    }));
    client.send(request('/'));
    await harness.nextOf('wake');
    client.socket.resetAndDestroy();
    await new Promise((resolve) => client.socket.once('close', resolve));
    harness.update('auth', [{ port: backend.port }]);
    await seen(backend, 1);
    await new Promise(setImmediate);
    assert.equal(harness.messages.filter((m) => m.type === 'wake' && m.backend === 'app').length, 0);
  });
});
