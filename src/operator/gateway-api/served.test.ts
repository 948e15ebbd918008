/** A translation in force in a real gateway: what stands in for references that can't be resolved answers as the specification wants it. */
import assert from 'node:assert/strict';
import { once } from 'node:events';
import { connect, type IncomingHttpHeaders } from 'node:http2';
import { test } from 'node:test';
import { GatewayHarness, gatewayConfig } from '../../gateway/fixtures/gateway-harness.ts';
import { ok, RawBackend } from '../../gateway/fixtures/raw-backend.ts';
import type { GatewayBackendConfig } from '../../link/messages.ts';
import type { BackendConfig } from '../../model/config.ts';
import { gateway, grpcRoute, httpRoute, listener, translated, v1, V1 } from './snapshot.fixture.ts';

function toldToGateways({
  source,
  health: _health,
  triggers: _triggers,
  idle,
  ...rest
}: BackendConfig): GatewayBackendConfig {
  return { ...rest, driver: source.driver, idle: { webSockets: idle.webSockets } };
}

test('answers 500, UNAVAILABLE and 404 where the specification says so, 503 without endpoints, and the rest goes on', async (t) => {
  const { translation } = translated({
    gateways: [gateway('edge', [listener(), listener({ name: 'narrow', hostname: 'a.test' })])],
    httpRoutes: [
      httpRoute(
        'r',
        [
          { matches: [{ path: { value: '/v1' } }], backendRefs: [v1] },
          { matches: [{ path: { value: '/none' } }], backendRefs: [{ name: 'none', port: 1 }] },
          { matches: [{ path: { value: '/zero' } }], backendRefs: [{ ...v1, weight: 0 }] },
          {
            matches: [{ path: { value: '/away' } }],
            filters: [{ type: 'RequestRedirect', requestRedirect: { hostname: 'b.test' } }],
          },
        ],
        { parents: [{ name: 'edge', sectionName: 'http' }] },
      ),
    ],
    grpcRoutes: [
      grpcRoute('g', [{ matches: [{ method: { service: 'x.Y' } }], backendRefs: [{ name: 'none', port: 1 }] }], {
        parents: [{ name: 'edge', sectionName: 'http' }],
      }),
    ],
  });
  const backend = await RawBackend.start((request) => request.socket.write(ok()));
  const listeners = translation.listeners.map((one) => ({ ...one, address: { host: '127.0.0.1', port: 0 } }));
  const config = gatewayConfig(translation.backends.map(toldToGateways), { listeners, routes: translation.routes });
  const harness = await GatewayHarness.start(config);
  for (const { name } of translation.backends) harness.update(name, []);
  t.after(() => Promise.all([harness.close(), backend.close()]));
  const ask = async (path: string, host = 'b.test'): Promise<string> => {
    const client = await harness.connect();
    client.send(`GET ${path} HTTP/1.1\r\nHost: ${host}\r\nConnection: close\r\n\r\n`);
    const { status, head } = await client.response();
    client.socket.destroy();
    return `${status} ${/^location: (\S+)/im.exec(head)?.[1] ?? ''}`.trim();
  };
  assert.equal(await ask('/v1'), '503');
  harness.update(V1, [{ port: backend.port }]);
  assert.equal(await ask('/v1'), '200');
  assert.equal(await ask('/none/x'), '500');
  assert.equal(await ask('/zero'), '500');
  assert.equal(await ask('/away'), '302 http://b.test/away');
  assert.equal(await ask('/other'), '404');
  assert.equal(await ask('/v1', 'a.test'), '404');
  const session = connect(`http://127.0.0.1:${harness.port}`);
  const call = session.request({
    ':method': 'POST',
    ':path': '/x.Y/Z',
    ':authority': 'b.test',
    'content-type': 'application/grpc',
    te: 'trailers',
  });
  call.end();
  const [headers] = (await once(call, 'response')) as [IncomingHttpHeaders];
  assert.deepEqual([headers[':status'], headers['grpc-status']], [200, '14']);
  session.destroy();
});
