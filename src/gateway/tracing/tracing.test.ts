import assert from 'node:assert/strict';
import { afterEach, describe, it } from 'node:test';
import { backendConfig, gatewayConfig, GatewayHarness, routeConfig } from '../fixtures/gateway-harness.ts';
import { ok, RawBackend } from '../fixtures/raw-backend.ts';
import { readTraceParent } from './traceparent.ts';

const PARENT = '00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01';

describe('traceparent', () => {
  it('is read as far as version 00 goes', () => {
    assert.deepEqual(readTraceParent(PARENT), {
      traceId: '4bf92f3577b34da6a3ce929d0e0e4736',
      parentId: '00f067aa0ba902b7',
      sampled: true,
    });
    assert.equal(readTraceParent(PARENT.replace('-01', '-00'))!.sampled, false);
    assert.equal(readTraceParent(`${PARENT.replace('00-', '01-')}-more`)!.sampled, true);
  });

  it('that is none begins a new trace', () => {
    const wrong = [
      '',
      'x',
      PARENT.toUpperCase(),
      `${PARENT}-more`,
      PARENT.replace('00-', 'ff-'),
      PARENT.replace('4bf92f3577b34da6a3ce929d0e0e4736', '0'.repeat(32)),
      PARENT.replace('00f067aa0ba902b7', '0'.repeat(16)),
      `${PARENT},${PARENT}`,
    ];
    for (const value of wrong) assert.equal(readTraceParent(value), null, value);
  });
});

describe('tracing', () => {
  const open: { close(): Promise<void> }[] = [];
  afterEach(async () => {
    for (const part of open.splice(0)) await part.close();
  });

  async function serve(telemetry: Record<string, unknown>, token = '') {
    const backend = await RawBackend.start((request) =>
      request.socket.write(ok('hello', 'Server-Timing: db;dur=5.3\r\n')),
    );
    const config = gatewayConfig([backendConfig('app')], {
      reportIntervalMs: 20,
      traceToken: token,
      routes: [
        routeConfig('app', {
          filters: [{ type: 'requestHeaders', options: { set: { 'x-by': 'gateway' }, add: {}, remove: [] } }],
        }),
      ],
    });
    Object.assign(config.telemetry, telemetry);
    const harness = await GatewayHarness.start(config);
    open.push(harness, backend);
    return { backend, harness, client: await harness.connect() };
  }

  /** Of the first report, which may have come already. */
  const recorded = async (harness: GatewayHarness) => {
    const known = harness.messages.find((message) => message.type === 'traces');
    return (known ?? (await harness.nextOf('traces'))).records[0]!;
  };

  it('continues a sampled trace: the endpoint is told the span that waits for it', async () => {
    const traces = { otlp: 'http://127.0.0.1:1', samplePercent: 0, headers: {}, serviceName: 'gw' };
    const { backend, harness, client } = await serve({ traces });
    client.send(`GET /a?b HTTP/1.1\r\nHost: a\r\ntraceparent: ${PARENT}\r\ntracestate: x=1\r\n\r\n`);
    await harness.nextOf('wake');
    harness.update('app', [{ port: backend.port }]);
    assert.doesNotMatch((await client.response()).head, /dormouse;/);
    const record = await recorded(harness);
    assert.equal(record.traceId, '4bf92f3577b34da6a3ce929d0e0e4736');
    assert.equal(record.parentSpanId, '00f067aa0ba902b7');
    assert.deepEqual(
      record.spans.map((span) => span.name),
      ['accept', 'filter', 'wake', 'balance', 'connect', 'first byte', 'body'],
    );
    const { head } = backend.requests[0]!;
    const sent = readTraceParent(/\r\ntraceparent: (.*)\r\n/.exec(head)![1]!)!;
    assert.equal(sent.traceId, record.traceId);
    assert.equal(sent.parentId, record.spans.find((span) => span.name === 'first byte')!.spanId);
    assert.match(head, /\r\ntracestate: x=1\r\n/);
    assert.equal(head.match(/traceparent/gi)!.length, 1);
    assert.deepEqual([record.path, record.status, record.backend, record.coldStart], ['/a', 200, 'app', true]);
  });

  it('begins a trace for the configured share, and leaves the others and their traceparent alone', async () => {
    const traces = { otlp: 'http://127.0.0.1:1', samplePercent: 100, headers: {}, serviceName: 'gw' };
    const { backend, harness, client } = await serve({ traces });
    harness.update('app', [{ port: backend.port }]);
    client.send('GET / HTTP/1.1\r\nHost: a\r\ntraceparent: nonsense\r\n\r\n');
    await client.response();
    assert.equal((await recorded(harness)).parentSpanId, '');
    assert.doesNotMatch(backend.requests[0]!.head, /nonsense/);

    const off = await serve({});
    off.harness.update('app', [{ port: off.backend.port }]);
    off.client.send(`GET / HTTP/1.1\r\nHost: a\r\ntraceparent: ${PARENT}\r\n\r\n`);
    await off.client.response();
    assert.match(off.backend.requests[0]!.head, new RegExp(PARENT));
  });

  it('tells the times of each request where that is configured, after what the endpoint says', async () => {
    const { backend, harness, client } = await serve({ serverTiming: true });
    harness.update('app', [{ port: backend.port }]);
    client.send('GET / HTTP/1.1\r\nHost: a\r\n\r\n');
    const { head } = await client.response();
    const lines = [...head.matchAll(/\r\nServer-Timing: (.*)/gi)].map((match) => match[1]!);
    assert.equal(lines[0], 'db;dur=5.3');
    assert.match(
      lines[1]!,
      /^dormouse;dur=[\d.]+;desc=".*", accept;.*filter;start=[\d.]+;dur=[\d.]+;desc="requestHeaders"/,
    );
  });

  it('tells what filters did with the whole body, and with the response', async () => {
    const backend = await RawBackend.start((request) => request.socket.write(ok('hello')));
    const json = { schema: { type: 'object' }, maxDepth: 8, required: true, status: 422 };
    const validate = {
      methods: [],
      contentTypes: [],
      maxBody: 0,
      headers: [],
      query: [],
      path: null,
      underscores: 'allow',
      json,
    };
    const config = gatewayConfig([backendConfig('app')], {
      routes: [
        routeConfig('app', {
          filters: [
            { type: 'validate', options: validate },
            { type: 'responseHeaders', options: { set: { 'x-a': 'b' }, add: {}, remove: [] } },
          ],
        }),
      ],
    });
    Object.assign(config.telemetry, { serverTiming: true });
    const harness = await GatewayHarness.start(config);
    open.push(harness, backend);
    harness.update('app', [{ port: backend.port }]);
    const client = await harness.connect();
    client.send('POST / HTTP/1.1\r\nHost: a\r\nContent-Type: application/json\r\nContent-Length: 2\r\n\r\n');
    client.send('{}');
    const { head } = await client.response();
    const [, line] = /\r\nServer-Timing: (.*)/i.exec(head)!;
    assert.deepEqual(
      line!.split(', ').map((entry) => entry.replace(/;start.*desc="(.*)"/, ' $1').replace(/;.*/, '')),
      [
        ...['dormouse', 'accept', 'filter validate', 'request-body', 'filter validate', 'balance app-0'],
        ...['connect new', 'first-byte app-0', 'response-filter responseHeaders'],
      ],
    );
  });

  it('tells the times of a request to who knows the token, and passes only the tokens of others on', async () => {
    const { backend, harness, client } = await serve({}, 'secret-of-this-run');
    harness.update('app', [{ port: backend.port }]);
    const ask = async (token: string): Promise<string> => {
      client.send(`GET / HTTP/1.1\r\nHost: a\r\nx-dormouse-trace: ${token}\r\n\r\n`);
      return (await client.response()).head;
    };
    assert.match(await ask('secret-of-this-run'), /dormouse;dur/);
    assert.doesNotMatch(await ask('guessed'), /dormouse;dur/);
    assert.match(await ask('of-the-next, secret-of-this-run'), /dormouse;dur/);
    assert.deepEqual(
      backend.requests.map((request) => /x-dormouse-trace: (.*)\r\n/.exec(request.head)?.[1]),
      [undefined, 'guessed', 'of-the-next'],
    );
  });
});
