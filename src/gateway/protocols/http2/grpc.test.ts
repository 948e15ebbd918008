import assert from 'node:assert/strict';
import { connect as connectHttp2 } from 'node:http2';
import type { IncomingHttpHeaders } from 'node:http2';
import { once } from 'node:events';
import { afterEach, describe, it } from 'node:test';
import { RequestParser } from '../../../http1/request-parser.ts';
import type { GatewayConfig } from '../../../link/messages.ts';
import {
  backendConfig,
  gatewayConfig,
  GatewayHarness,
  listenerConfig,
  routeConfig,
} from '../../fixtures/gateway-harness.ts';
import { RawBackend } from '../../fixtures/raw-backend.ts';
import { grpcStatusOf, grpcTimeoutMs, isGrpc, percentEncoded } from './grpc.ts';

const open: { close(): Promise<void> | void }[] = [];

async function serve(config: GatewayConfig) {
  const harness = await GatewayHarness.start(config);
  open.push(harness);
  const session = connectHttp2(`http://127.0.0.1:${harness.port}`);
  session.on('error', () => {});
  open.unshift({ close: () => session.destroy() });
  const call = async (headers: Record<string, string> = {}, body = ''): Promise<IncomingHttpHeaders> => {
    const stream = session.request({
      ':method': 'POST',
      ':path': '/test.Words/Upper',
      'content-type': 'application/grpc+proto',
      te: 'trailers',
      ...headers,
    });
    stream.end(body);
    const response = once(stream, 'response') as Promise<[IncomingHttpHeaders, number]>;
    stream.resume();
    const [received, flags] = await response;
    await once(stream, 'close');
    // Trailers only: the head ends the stream.
    assert.equal(flags & 1, 1);
    assert.equal(stream.rstCode, 0);
    return received;
  };
  return { harness, call };
}

function parsed(lines: string) {
  const parser = new RequestParser({ headerBytes: 8000, headers: 50, uriBytes: 1000 });
  const bytes = Buffer.from(`POST / HTTP/1.1\r\nHost: a\r\n${lines}\r\n`);
  assert.equal(parser.execute(bytes, 0, bytes.length), bytes.length);
  return parser.head;
}

describe('gRPC at the gateway', () => {
  afterEach(async () => {
    for (const part of open.splice(0)) await part.close();
  });

  it('is known by its content type', () => {
    for (const [type, expected] of [
      ['application/grpc', true],
      ['application/grpc+proto', true],
      ['Application/gRPC;x=y', true],
      ['application/grpc-web', false],
      ['application/grpc-web+proto', false],
      ['application/json', false],
    ] as const)
      assert.equal(isGrpc(parsed(`Content-Type: ${type}\r\n`)), expected, type);
  });

  it('names its deadline in several units', () => {
    for (const [value, ms] of [
      ['1H', 3_600_000],
      ['2M', 120_000],
      ['3S', 3000],
      ['250m', 250],
      ['1500u', 2],
      ['99999999n', 100],
      ['0n', 1],
      ['123456789S', Infinity],
      ['5', Infinity],
      ['-5S', Infinity],
    ] as const)
      assert.equal(grpcTimeoutMs(parsed(`grpc-timeout: ${value}\r\n`)), ms, value);
    assert.equal(grpcTimeoutMs(parsed('')), Infinity);
  });

  it('has a status for each answer of the gateway', () => {
    for (const [http, outcome, status] of [
      [401, 'filter', 16],
      [403, 'client-refused', 7],
      [404, 'no-route', 12],
      [408, 'body-timeout', 4],
      [413, 'too-large', 8],
      [429, 'filter', 8],
      [500, 'filter-failed', 13],
      [502, 'upstream-closed', 14],
      [503, 'crashing', 14],
      [503, 'breaker-open', 14],
      [504, 'hold-timeout', 14],
      [504, 'request-timeout', 4],
      [504, 'client-deadline', 4],
      [418, 'filter', 3],
      [302, 'filter', 2],
    ] as const)
      assert.equal(grpcStatusOf(http, outcome), status, outcome);
  });

  it('has its messages percent-encoded', () => {
    assert.equal(percentEncoded('50 % wörds\n'), '50 %25 w%C3%B6rds%0A');
  });

  it('is UNAVAILABLE when it was held for too long', async () => {
    const { call, harness } = await serve(gatewayConfig([backendConfig('app', { wake: { timeoutMs: 200 } })]));
    const headers = await call();
    assert.equal(headers[':status'], 200);
    assert.equal(headers['content-type'], 'application/grpc');
    assert.equal(headers['content-length'], undefined);
    assert.equal(headers['grpc-status'], '14');
    assert.match(String(headers['grpc-message']), /^app did not wake within 0.2 s/);
    assert.equal(harness.log[0]!.outcome, 'hold-timeout');
  });

  it('is DEADLINE_EXCEEDED when its own time is over, held or at an endpoint', async () => {
    const { call, harness } = await serve(gatewayConfig([backendConfig('app')]));
    const held = await call({ 'grpc-timeout': '150m' });
    assert.equal(held['grpc-status'], '4');
    assert.equal(harness.log[0]!.outcome, 'client-deadline');
    assert.ok(harness.log[0]!.heldMs >= 100);
    const backend = await RawBackend.start(() => {});
    open.push(backend);
    harness.update('app', [{ port: backend.port }]);
    const sent = await call({ 'grpc-timeout': '150m' });
    assert.equal(sent['grpc-status'], '4');
    assert.equal(backend.requests.length, 1);
    // Nobody needs its answer any more.
    if (!backend.requests[0]!.socket.destroyed) await once(backend.requests[0]!.socket, 'close');
  });

  it('is UNIMPLEMENTED without a route, RESOURCE_EXHAUSTED when it is too large', async () => {
    const path = { kind: 'prefix', value: '/test.Words' } as const;
    const matches = [{ path, methods: [], headers: [], query: [] }];
    const { call } = await serve(
      gatewayConfig([backendConfig('app')], {
        listeners: [listenerConfig({ limits: { bodyBytes: 1000 } })],
        routes: [routeConfig('app', { matches })],
      }),
    );
    assert.equal((await call({ ':path': '/other.Service/Call' }))['grpc-status'], '12');
    assert.equal((await call({}, 'x'.repeat(2000)))['grpc-status'], '8');
  });
});
