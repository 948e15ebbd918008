import assert from 'node:assert/strict';
import { once } from 'node:events';
import type net from 'node:net';
import { test } from 'node:test';
import { createServer } from 'node:tls';
import { Authority } from '../../gateway/fixtures/certificates.ts';
import { DormouseError } from '../../model/errors.ts';
import { painter } from '../text-table.ts';
import { readHops, readServerTiming } from './server-timing.ts';
import { timedRequest, type TimedRequestOptions, type TimedResponse } from './timed-request.ts';
import { traceLines } from './trace-view.ts';
import { waterfall } from './waterfall.ts';

test('entries of Server-Timing are read by its grammar, and what is none is passed over', () => {
  assert.deepEqual(
    readServerTiming('db;dur=5.3;desc="a, \\"b\\"; c", miss, ;x, cache;DUR=1;dur=2, bad name;dur=1, odd;dur=x').map(
      ({ name, durMs, desc }) => [name, durMs, desc],
    ),
    [
      ['db', 5.3, 'a, "b"; c'],
      ['miss', 0, ''],
      ['cache', 1, ''],
      ['odd', 0, ''],
    ],
  );
});

const LINES = [
  'db;dur=4',
  'dormouse;dur=9;desc="app-1";listener="inner";route="r";backend="app", accept;start=-0.5;dur=0.5, filter;start=0.5;dur=1;desc="jwt", first-byte;start=2;dur=7;desc="app-1"',
  'dormouse;dur=12;desc="inner-1";listener="outer", connect;start=0;dur=1;desc="new", first-byte;start=1;dur=11',
];
const SEEN: TimedResponse = {
  status: 200,
  httpVersion: '1.1',
  headers: [],
  bodyBytes: 10,
  address: '127.0.0.1:1',
  lookedUpMs: 0,
  connectedMs: 2,
  securedMs: 2,
  firstByteMs: 18,
  totalMs: 20,
};

test('each gateway is the hop inside of the one before it, and the application inside of the last', () => {
  const hops = readHops(LINES);
  assert.deepEqual(
    hops.gateways.map((hop) => [hop.listener, hop.durMs, hop.spans.length]),
    [
      ['outer', 12, 2],
      ['inner', 9, 3],
    ],
  );
  assert.deepEqual(
    hops.application.map((entry) => entry.name),
    ['db'],
  );
  const bars = waterfall(SEEN, hops);
  for (const [name, from, to] of [
    ['gateway outer', 4, 16],
    ['gateway inner', 6, 15],
    ['db', 8, 12],
  ] as const) {
    const bar = bars.find((candidate) => candidate.label === name)!;
    assert.deepEqual([bar.startMs, bar.startMs + bar.durMs], [from, to], name);
  }
  const depths = bars.map((bar) => bar.depth);
  assert.deepEqual(Math.max(...depths), bars.find((bar) => bar.label === 'db')!.depth);
});

test('what follows a wait stands behind what is inside of it', () => {
  const lines = [
    'dormouse;dur=9;listener="inner", first-byte;start=2;dur=6;desc="app-1", response-filter;start=8;dur=1;desc="body"',
    'dormouse;dur=12;listener="outer", first-byte;start=1;dur=11;desc="inner-1"',
  ];
  assert.deepEqual(
    waterfall(SEEN, readHops(['db;dur=4', ...lines]))
      .slice(3)
      .map(({ depth, label }) => [depth, label]),
    [
      [2, 'gateway outer'],
      [3, 'wait for'],
      [4, 'gateway inner'],
      [5, 'wait for'],
      [6, 'db'],
      [5, 'response filter body'],
      [1, 'body'],
    ],
  );
});

test('lines keep to the width, and control characters of a response stay out of the terminal', () => {
  const bars = waterfall(SEEN, readHops([...LINES, 'dormouse;dur=1;desc="\x1b[31m"']));
  const lines = traceLines(bars, painter(false), 80);
  for (const line of lines) {
    assert.ok(line.length <= 80, line);
    assert.ok(!line.includes('\x1b'));
  }
});

function asked(port: number, changes: Partial<TimedRequestOptions> = {}): Promise<TimedResponse> {
  return timedRequest({
    url: new URL('https://example.com/a?b'),
    method: 'GET',
    headers: [['host', 'example.com']],
    body: null,
    connectTo: { host: '127.0.0.1', port },
    ca: null,
    insecure: false,
    signal: AbortSignal.timeout(5000),
    ...changes,
  });
}

const failure =
  (what: RegExp) =>
  (error: unknown): boolean =>
    error instanceof DormouseError && error.code === 'DORMOUSE_TRACE_REQUEST' && what.test(error.message);

test('a request over TLS is timed step by step; what keeps it from being sent is said, and nothing stays open', async () => {
  const authority = await Authority.create();
  const server = createServer(await authority.issue({ names: ['example.com'] }), (socket) => {
    socket.on('error', () => {});
    socket.on('data', (data) => {
      if (data.toString().startsWith('GET /a?b HTTP/1.1\r\nhost: example.com\r\n')) {
        socket.write('HTTP/1.1 200 OK\r\nServer-Timing: db;dur=1\r\nContent-Length: 5\r\n\r\nhello');
      }
    });
  });
  server.on('tlsClientError', () => {});
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  const { port } = server.address() as net.AddressInfo;
  const sockets = new Set<net.Socket>();
  server.on('connection', (socket: net.Socket) => sockets.add(socket.on('close', () => sockets.delete(socket))));

  const seen = await asked(port, { ca: authority.pem });
  assert.deepEqual([seen.status, seen.bodyBytes, seen.address], [200, 5, `127.0.0.1:${port}`]);
  const times = [0, seen.connectedMs, seen.securedMs, seen.firstByteMs, seen.totalMs];
  assert.deepEqual(
    times,
    times.toSorted((a, b) => a - b),
  );
  assert.ok(seen.connectedMs < seen.securedMs);
  assert.equal((await asked(port, { insecure: true })).status, 200);

  await assert.rejects(asked(port), failure(/--cacert/));
  const other = new URL('https://other.example/');
  await assert.rejects(asked(port, { url: other, ca: authority.pem }), failure(/other\.example/));
  const path = new URL('https://example.com/hangs');
  const signal = AbortSignal.timeout(100);
  await assert.rejects(asked(port, { url: path, ca: authority.pem, signal }), failure(/--timeout/));
  for (const socket of sockets) await once(socket, 'close');
  server.close();
  await once(server, 'close');
  await assert.rejects(asked(port), failure(/nobody listens/));
  await assert.rejects(asked(port, { signal: AbortSignal.abort() }), failure(/--timeout/));
});
