import assert from 'node:assert/strict';
import { once } from 'node:events';
import http from 'node:http';
import type { AddressInfo, Socket } from 'node:net';
import { afterEach, beforeEach, describe, it } from 'node:test';
import type { TracesConfig } from '../model/config.ts';
import type { Logger } from '../model/ports.ts';
import type { TraceRecord } from '../model/trace.ts';
import { TraceExporter } from './trace-exporter.ts';

const RECORD: TraceRecord = {
  traceId: '4bf92f3577b34da6a3ce929d0e0e4736',
  spanId: '00f067aa0ba902b7',
  parentSpanId: '',
  tracestate: '',
  startedAtMs: 1_800_000_000_000,
  durationMs: 12.5,
  method: 'GET',
  path: '/',
  host: 'a',
  client: '127.0.0.1',
  status: 200,
  route: 'all',
  backend: 'app',
  endpoint: 'app-1',
  outcome: '',
  requestId: 'x',
  attempts: 1,
  coldStart: false,
  spans: [{ name: 'connect', spanId: '', fromMs: 1, toMs: 2, detail: 'new' }],
};

describe('the exporter of traces', () => {
  let server: http.Server;
  let sockets: Set<Socket>;
  let exporter: TraceExporter;
  let warnings: unknown[];
  let answer: (request: http.IncomingMessage, response: http.ServerResponse) => void;
  let received: { spans: number; asked(count: number): Promise<void> };

  beforeEach(async () => {
    sockets = new Set();
    warnings = [];
    answer = (_request, response) => response.end('{}');
    let asked = 0;
    let changed = (): void => {};
    received = {
      spans: 0,
      async asked(count) {
        while (asked < count) await new Promise<void>((resolve) => (changed = resolve));
      },
    };
    server = http.createServer(async (request, response) => {
      const parts: Buffer[] = [];
      try {
        for await (const part of request) parts.push(part as Buffer);
      } catch {
        return;
      }
      received.spans +=
        Buffer.concat(parts)
          .toString('utf8')
          .match(/"spanId"/g)?.length ?? 0;
      asked++;
      answer(request, response);
      changed();
    });
    server.on('connection', (socket: Socket) => {
      sockets.add(socket);
      socket.on('close', () => sockets.delete(socket)).on('error', () => {});
    });
    await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  });

  afterEach(async () => {
    await exporter.close(0);
    server.closeAllConnections();
    await new Promise((resolve) => server.close(resolve));
  });

  function start(withinMs: number): void {
    const logger = { warn: (...told: unknown[]) => warnings.push(told) } as unknown as Logger;
    const nowMs = (): number => performance.now();
    exporter = new TraceExporter({ logger, version: '1', nowMs, random: () => 0, withinMs });
    exporter.configure(config());
  }

  function config(changes: Partial<TracesConfig> = {}): TracesConfig {
    const { port } = server.address() as AddressInfo;
    return { otlp: `http://127.0.0.1:${port}`, samplePercent: 100, headers: {}, serviceName: 'gw', ...changes };
  }

  function counted(): Record<string, number> {
    return Object.fromEntries(
      exporter.families().map(({ name, series }) => [/_([a-z]+)_total/.exec(name)![1]!, series[0]!.value ?? NaN]),
    );
  }

  async function settled(count: number): Promise<void> {
    for (;;) {
      const { exported, dropped, failed } = counted();
      if (exported! + dropped! + failed! >= count) return;
      await new Promise((resolve) => setImmediate(resolve));
    }
  }

  it('sends many records on one connection, in batches', async () => {
    start(5000);
    exporter.traces(
      '1',
      Array.from({ length: 1000 }, () => RECORD),
      3,
    );
    await settled(1003);
    assert.deepEqual(counted(), { exported: 1000, dropped: 3, failed: 0 });
    assert.equal(received.spans, 2000);
    assert.equal(sockets.size, 1);
  });

  it('sends once more what the receiver had no time for', async () => {
    start(5000);
    answer = (_request, response) => {
      answer = (_again, good) => good.end('{}');
      response.writeHead(503, { 'retry-after': '0' }).end();
    };
    exporter.traces('1', [RECORD], 0);
    await settled(1);
    assert.deepEqual(counted(), { exported: 1, dropped: 0, failed: 0 });
    assert.equal(received.spans, 4);
  });

  it('gives up what is refused, hangs or breaks, counts it, tells it once, and keeps nothing open', async () => {
    start(30);
    const ways = [
      (_: unknown, response: http.ServerResponse) => response.writeHead(400).end(),
      (_: unknown, response: http.ServerResponse) => response.writeHead(301, { location: 'http://127.0.0.1:1/' }).end(),
      (request: http.IncomingMessage) => request.socket.resetAndDestroy(),
      () => {},
      (_: unknown, response: http.ServerResponse) => response.writeHead(429, { 'retry-after': '999999' }).end(),
    ];
    const rounds = 40;
    for (let i = 0; i < rounds; i++) {
      for (const [index, way] of ways.entries()) {
        answer = way as typeof answer;
        exporter.traces('1', [RECORD], 0);
        await settled(i * ways.length + index + 1);
      }
    }
    assert.deepEqual(counted(), { exported: 0, dropped: 0, failed: rounds * ways.length });
    assert.equal(warnings.length, 1);
    assert.ok(sockets.size <= 1, `${sockets.size} connections`);
  });

  it('keeps a bounded number of records while the receiver hangs, and ends within the bound', async () => {
    start(60_000);
    answer = () => {};
    for (let i = 0; i < 10; i++)
      exporter.traces(
        '1',
        Array.from({ length: 1000 }, () => RECORD),
        0,
      );
    await received.asked(1);
    const { dropped } = counted();
    assert.ok(dropped! >= 10_000 - 4096 - 256, String(dropped));
    const since = performance.now();
    await exporter.close(50);
    assert.ok(performance.now() - since < 2000);
    if (sockets.size > 0) await once([...sockets][0]!, 'close');
  });

  it('a change of the configuration holds for what waits, and an export under way ends as it began', async () => {
    start(5000);
    let release = (): void => {};
    answer = (request, response) => {
      assert.equal(request.url, '/v1/traces');
      answer = (next, good) => {
        assert.equal(next.url, '/other');
        good.end('{}');
      };
      release = () => response.end('{}');
    };
    exporter.traces('1', [RECORD], 0);
    await received.asked(1);
    exporter.configure(config({ otlp: `${config().otlp}/other` }));
    exporter.traces('1', [RECORD], 0);
    release();
    await settled(2);
    assert.equal(counted()['exported'], 2);
  });
});
